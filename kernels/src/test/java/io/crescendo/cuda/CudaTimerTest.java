package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Program;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.DeviceTimer;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.Rig;
import io.crescendo.nn.BatchNorm;
import io.crescendo.nn.Dense;
import io.crescendo.nn.GlobalAveragePool;
import io.crescendo.nn.Layer;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import io.crescendo.train.StepProfile;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

@NullMarked
@Tag("cuda")
class CudaTimerTest {
    private static final int BATCH = 6;

    private final CudaTestEnvironment cuda = CudaTestEnvironment.open();

    @AfterEach
    void nothingIsWrongOrLeft() {
        cuda.requireClean(0);
    }

    @Test
    void timesWhatNobodyWaitedFor() {
        try (CudaBackend backend = new CudaBackend(cuda.machine(), BackendOptions.DEFAULT)) {
            Program program = CudaNetwork.training(BATCH, backend.fusions());
            try (ModelMemory model = ModelMemory.allocate(backend, program, 1);
                    DeviceTimer timer = backend.timer().orElseThrow();
                    Rig rig = new Rig(backend, program, model)) {
                assertThrows(IllegalStateException.class, timer::stop);
                long begin = System.nanoTime();
                timer.start();
                assertThrows(IllegalStateException.class, timer::seconds);
                for (int i = 0; i < 3; i++) {
                    rig.executable.run(CudaNetwork.feed(BATCH, i));
                }
                timer.stop();
                double seconds = timer.seconds();
                double host = (System.nanoTime() - begin) * 1e-9;
                // The device worked between the host's two looks; its clock counts in half microseconds.
                assertTrue(seconds > 0 && seconds <= host + 1e-6, seconds + " of " + host);
                timer.start();
                assertThrows(IllegalStateException.class, timer::seconds);
            }
        }
    }

    /** A profile's whole steps are launched as training's are, its operations one by one. */
    @Test
    void aProfileTimesStepsAndOperations() {
        Network network = new Network(
                "small",
                2,
                5,
                5,
                3,
                Layer.sequence(new GlobalAveragePool(), new BatchNorm("norm"), new Dense("logits", 3)));
        try (CudaBackend backend = new CudaBackend(cuda.machine(), BackendOptions.DEFAULT)) {
            StepProfile profile = StepProfile.measure(backend, network, 4, 2, Optimizer.momentum(5e-4), 1e-3);
            assertTrue(profile.stepSeconds() > 0 && profile.updateSeconds() > 0, profile.toString());
            assertTrue(profile.sumSeconds() > profile.updateSeconds(), profile.toString());
        }
    }

    /** Another thread has no context of its own. */
    @Test
    void closesOnAnyThread() throws InterruptedException {
        List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
        try (CudaBackend backend = new CudaBackend(cuda.machine(), BackendOptions.DEFAULT)) {
            DeviceTimer timer = backend.timer().orElseThrow();
            timer.start();
            timer.stop();
            Thread other = new Thread(timer::close);
            other.setUncaughtExceptionHandler((thread, failure) -> failures.add(failure));
            other.start();
            other.join();
        }
        assertEquals(List.of(), failures);
    }
}
