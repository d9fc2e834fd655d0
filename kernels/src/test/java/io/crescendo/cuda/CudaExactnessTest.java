package io.crescendo.cuda;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.train.ExactnessContract;
import java.util.Random;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;

/** Splits, covers and recomputation on CUDA: on a GPU where there is one, otherwise on the stand-ins. */
@NullMarked
@Tag("cuda")
class CudaExactnessTest extends ExactnessContract {
    private final CudaTestEnvironment cuda = CudaTestEnvironment.open();
    private final long scheduleSeed = new Random().nextLong();

    @BeforeEach
    void chooseSchedule() {
        CudaTestEnvironment.open();
        cuda.schedule(StandIns.Schedule.RANDOM, scheduleSeed);
    }

    @AfterEach
    void nothingIsWrongOrLeft() {
        cuda.requireClean(scheduleSeed);
    }

    @Override
    protected Backend open() {
        return new CudaBackend(cuda.machine(), BackendOptions.DEFAULT);
    }

    @Override
    protected double tolerance() {
        return 0x1p-24; // float32 rounds to 24 binary digits
    }
}
