package io.crescendo.cuda;

import io.crescendo.backend.BackendOptions;
import org.jspecify.annotations.NullMarked;

/** The contract in float32 without recording, deterministic algorithms only, work running now and then. */
@NullMarked
class CudaNoGraphsTest extends CudaContract {
    CudaNoGraphsTest() {
        super(BackendOptions.DEFAULT.withGraphs(false).withDeterministic(true), StandIns.Schedule.RANDOM);
    }
}
