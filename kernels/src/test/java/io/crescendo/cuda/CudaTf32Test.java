package io.crescendo.cuda;

import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Precision;
import org.jspecify.annotations.NullMarked;

/** The contract in tf32: factors of products have 11 binary digits. */
@NullMarked
class CudaTf32Test extends CudaContract {
    CudaTf32Test() {
        super(BackendOptions.DEFAULT.withPrecision(Precision.TF32), StandIns.Schedule.EAGER);
    }
}
