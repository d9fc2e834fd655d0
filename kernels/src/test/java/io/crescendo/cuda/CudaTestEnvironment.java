package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Assumptions;

/**
 * What the CUDA tests of this JVM run on: a GPU, or the stand-ins; decided once, because JCuda stays with the libraries
 * it was loaded with.
 *
 * <pre>{@code
 * CudaTestEnvironment cuda = CudaTestEnvironment.open();     // skips the test, saying why, where neither works
 * Machine machine = cuda.machine();                          // where the backend finds its libraries
 * StandIns standIns = cuda.standIns();                       // skips the test on a real GPU
 * }</pre>
 *
 * <p>{@code -Dcrescendo.cuda.standins=true} takes the stand-ins although there is a GPU; {@code false} never takes
 * them, for verification on a GPU. What was decided is printed. Tests that mean something on a GPU carry the tag
 * {@code cuda}.
 */
@NullMarked
final class CudaTestEnvironment {
    private static final String STAND_INS = "crescendo.cuda.standins";

    private final Machine machine;
    private final @Nullable StandIns standIns;

    private CudaTestEnvironment(Machine machine, @Nullable StandIns standIns) {
        this.machine = machine;
        this.standIns = standIns;
        CudaLibraryLoader.load(CudaInstallation.search(machine));
    }

    /** Decides when it is first asked. */
    private static final class Decision {
        private static final Optional<CudaTestEnvironment> ENVIRONMENT;
        private static final String REASON;

        static {
            String wanted = System.getProperty(STAND_INS, "");
            String reason = wanted.equals("false") ? "-D" + STAND_INS + "=false" : CudaOnHost.unavailable();
            if (!wanted.equals("true") && deviceHere()) {
                ENVIRONMENT = Optional.of(new CudaTestEnvironment(Machine.here(), null));
                System.err.println("CUDA tests run on the GPU of this machine");
            } else if (reason == null && Machine.here().supported()) {
                StandIns built = StandIns.build();
                ENVIRONMENT = Optional.of(new CudaTestEnvironment(built.machine(), built));
                System.err.println("CUDA tests run on stand-ins of NVIDIA's libraries, without a GPU");
            } else {
                ENVIRONMENT = Optional.empty();
                reason = reason == null ? "JCuda has no natives for this machine" : reason;
                // Printed as well: a skipped test is easily overlooked in a long log.
                System.err.println(
                        "the CUDA backend is not tested: there is no GPU, and no stand-in for one: " + reason);
            }
            REASON = String.valueOf(reason);
        }
    }

    /** Libraries, and a device that answers: asked through a program, so that a bad driver cannot be loaded here. */
    private static boolean deviceHere() {
        boolean files = Files.exists(Path.of("/dev/nvidiactl")) || Files.exists(Path.of("/dev/dxg"));
        return files && CudaInstallation.search(Machine.here()).usable() && listsDevices();
    }

    private static boolean listsDevices() {
        try {
            Process process = new ProcessBuilder("nvidia-smi", "-L")
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            return process.waitFor(60, TimeUnit.SECONDS) && process.exitValue() == 0;
        } catch (IOException e) {
            return true; // not installed: the device files decide
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** The environment of this JVM; skips the test where there is none. */
    static CudaTestEnvironment open() {
        Optional<CudaTestEnvironment> environment = Decision.ENVIRONMENT;
        Assumptions.assumeTrue(environment.isPresent(), () -> "no GPU and no stand-in: " + Decision.REASON);
        CudaTestEnvironment opened = environment.orElseThrow();
        if (opened.standIns != null) {
            opened.standIns.reset();
        }
        return opened;
    }

    /** When stand-ins run what they are given; a real device has its own way. */
    void schedule(StandIns.Schedule schedule, long seed) {
        if (standIns != null) {
            standIns.schedule(schedule, seed);
        }
    }

    /** Behind a test: stand-ins have seen no wrong call, and nothing that was not given back. */
    void requireClean(long seed) {
        if (standIns != null) {
            assertEquals("", standIns.problem(), "wrong calls; seed " + seed);
            assertEquals("", standIns.leaks(), "not released; seed " + seed);
        }
    }

    /** Where the libraries lie. */
    Machine machine() {
        return machine;
    }

    boolean realDevice() {
        return standIns == null;
    }

    /** For tests that look behind the scenes; skips them on a real GPU. */
    StandIns standIns() {
        Assumptions.assumeTrue(standIns != null, "this test needs the stand-ins, and here is a GPU");
        StandIns here = standIns;
        if (here == null) {
            throw new IllegalStateException("assumptions are not exceptions here");
        }
        return here;
    }
}
