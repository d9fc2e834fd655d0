package io.crescendo.cuda;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendContract;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Precision;
import java.util.Random;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;

/**
 * The contract of every backend, on CUDA: on a GPU where there is one, otherwise on the stand-ins. On those each test
 * must also leave nothing behind, and may not make a single wrong call.
 */
@NullMarked
@Tag("cuda")
abstract class CudaContract extends BackendContract {
    private final BackendOptions options;
    private final StandIns.Schedule schedule;
    private final CudaTestEnvironment cuda = CudaTestEnvironment.open();
    private final long scheduleSeed = new Random().nextLong();

    CudaContract(BackendOptions options, StandIns.Schedule schedule) {
        this.options = options;
        this.schedule = schedule;
    }

    @BeforeEach
    void chooseSchedule() {
        CudaTestEnvironment.open();
        cuda.schedule(schedule, scheduleSeed);
    }

    @AfterEach
    void nothingIsWrongOrLeft() {
        cuda.requireClean(scheduleSeed);
    }

    @Override
    protected Backend open() {
        return new CudaBackend(cuda.machine(), options);
    }

    @Override
    protected double tolerance() {
        Precision precision = options.precision();
        return switch (precision) {
            case FP32 -> 0x1p-24; // 24 binary digits
            case TF32 -> 0x1p-11; // factors of products are rounded to 11
            case BF16 -> 0x1p-8; // what is kept in memory is rounded to 8
        };
    }
}
