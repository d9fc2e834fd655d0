package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuStreamQuery;
import static jcuda.driver.JCudaDriver.cuStreamSynchronize;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.crescendo.autograd.Program;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.Rig;
import io.crescendo.backend.StepMetrics;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.UpdateScalars;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Steps that nobody waits for give what steps give that are waited for one by one, however far one stream runs ahead of
 * the others. On the stand-ins a missing event or a buffer that is reused too early shows here.
 */
@NullMarked
@Tag("cuda")
class CudaStreamsTest {
    private static final int BATCH = 6;
    private static final int STEPS = 20; // more than any ring of buffers has places
    private static final int UPDATES = 300; // the same of numbers
    private static final int SCHEDULES = 8;

    private final long seed = Long.getLong("crescendo.seed", new Random().nextLong());
    private CudaTestEnvironment cuda = CudaTestEnvironment.open();

    /** The sums of each step, and the weights after the last. */
    private record Result(List<StepMetrics.Sums> sums, List<Float> weights) {}

    @BeforeEach
    void reset() {
        cuda = CudaTestEnvironment.open();
    }

    @AfterEach
    void nothingIsWrongOrLeft() {
        cuda.requireClean(seed);
    }

    private Result steps(boolean waiting) {
        try (CudaBackend backend = new CudaBackend(cuda.machine(), BackendOptions.DEFAULT.withDeterministic(true))) {
            Program program = CudaNetwork.training(BATCH, backend.fusions());
            try (ModelMemory model = ModelMemory.allocate(backend, program, seed);
                    UpdateKernel update =
                            backend.prepareUpdate(new UpdateRule.Momentum(), model, program.parameters(), p -> true);
                    Rig rig = new Rig(backend, program, model)) {
                List<StepMetrics.Reading> readings = new ArrayList<>();
                for (int i = 1; i <= STEPS; i++) {
                    rig.executable.run(CudaNetwork.feed(BATCH, seed + i));
                    StepMetrics.Reading reading = backend.metrics().take();
                    readings.add(reading);
                    update.apply(new UpdateScalars(0.1 / i, 0.9, 1.0 / BATCH, 1e-3, i));
                    if (waiting) {
                        backend.device().await();
                        assertEquals(true, reading.isDone());
                    }
                }
                List<StepMetrics.Sums> sums =
                        readings.stream().map(StepMetrics.Reading::sums).toList();
                return new Result(sums, list(Rig.read(model.weights())));
            }
        }
    }

    private static List<Float> list(float[] values) {
        List<Float> list = new ArrayList<>();
        for (float value : values) {
            list.add(value);
        }
        return list;
    }

    @Test
    void stepsThatNobodyWaitsForAreTheSame() {
        Result expected = steps(true);
        cuda.schedule(StandIns.Schedule.LAZY, 1);
        assertEquals(expected, steps(false), "seed " + seed);
        cuda.schedule(StandIns.Schedule.EAGER, 1);
        assertEquals(expected, steps(false), "seed " + seed);
        for (int i = 0; i < SCHEDULES; i++) {
            cuda.schedule(StandIns.Schedule.RANDOM, seed + i);
            assertEquals(expected, steps(false), "seed " + seed + ", schedule " + (seed + i));
        }
    }

    /** Images arrive while the step before still runs. */
    @Test
    void uploadsDoNotWaitForTheStepBefore() {
        cuda.standIns().schedule(StandIns.Schedule.LAZY, 1);
        try (CudaBackend backend = new CudaBackend(cuda.machine(), BackendOptions.DEFAULT);
                Rig rig = new Rig(backend, CudaNetwork.training(BATCH, backend.fusions()), seed)) {
            for (int i = 1; i <= 3; i++) {
                rig.executable.run(CudaNetwork.feed(BATCH, seed + i));
                backend.device().await();
            }
            rig.executable.run(CudaNetwork.feed(BATCH, seed));
            rig.executable.run(CudaNetwork.feed(BATCH, seed + 1));
            cuStreamSynchronize(backend.device().uploadStream());
            jcuda.CudaException busy =
                    assertThrows(jcuda.CudaException.class, () -> cuStreamQuery(backend.device().stream()));
            assertEquals("CUDA_ERROR_NOT_READY", busy.getMessage());
        }
    }

    @Test
    void updatesThatNobodyWaitsForAreTheSame() {
        float[] waited = updates(true);
        for (int i = 0; i < SCHEDULES; i++) {
            cuda.schedule(i == 0 ? StandIns.Schedule.LAZY : StandIns.Schedule.RANDOM, seed + i);
            assertArrayEquals(waited, updates(false), "seed " + seed + ", schedule " + (seed + i));
        }
    }

    /** Many updates in a row, each with another learning rate, from one gradient that momentum keeps moving. */
    private float[] updates(boolean waiting) {
        try (CudaBackend backend = new CudaBackend(cuda.machine(), BackendOptions.DEFAULT)) {
            Program program = CudaNetwork.training(BATCH, backend.fusions());
            try (ModelMemory model = ModelMemory.allocate(backend, program, seed);
                    UpdateKernel update =
                            backend.prepareUpdate(new UpdateRule.Momentum(), model, program.parameters(), p -> true)) {
                float[] gradient = new float[Math.toIntExact(model.gradients().elements())];
                Random random = new Random(seed);
                for (int i = 0; i < gradient.length; i++) {
                    gradient[i] = (float) random.nextGaussian();
                }
                model.gradients().write(0, gradient);
                for (int i = 1; i <= UPDATES; i++) {
                    update.apply(new UpdateScalars(0.1 * i, 0.9, 1, 0, i));
                    if (waiting) {
                        backend.device().await();
                    }
                }
                return Rig.read(model.weights());
            }
        }
    }
}
