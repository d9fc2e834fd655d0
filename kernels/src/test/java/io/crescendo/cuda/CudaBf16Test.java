package io.crescendo.cuda;

import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Precision;
import org.jspecify.annotations.NullMarked;

/** The contract in bf16 activations and shadow weights. */
@NullMarked
class CudaBf16Test extends CudaContract {
    CudaBf16Test() {
        super(BackendOptions.DEFAULT.withPrecision(Precision.BF16), StandIns.Schedule.LAZY);
    }
}
