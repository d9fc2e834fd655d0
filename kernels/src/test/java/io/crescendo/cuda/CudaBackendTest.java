package io.crescendo.cuda;

import io.crescendo.backend.BackendOptions;
import org.jspecify.annotations.NullMarked;

/** The contract in float32 with recorded programs, everything as late as it may. */
@NullMarked
class CudaBackendTest extends CudaContract {
    CudaBackendTest() {
        super(BackendOptions.DEFAULT, StandIns.Schedule.LAZY);
    }
}
