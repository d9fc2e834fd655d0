package io.crescendo.cpu;

import com.sun.jna.Function;
import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Platform;
import java.util.Map;

/**
 * The thread pool oneDNN computes with: OpenMP's, the only one in the process that does numeric work.
 *
 * <p>IMPLEMENTATION NOTES. By default GNU OpenMP's idle threads spin for milliseconds. As long as every core is ours
 * that saves a wake-up; as soon as anything else wants a core (a data thread, another process, the garbage collector)
 * the spinners take its time slices and a step slows down ten-fold. So idle threads spin briefly here and then sleep.
 * The runtime reads these settings once, when it is loaded, from the C environment; Java cannot write that, the C
 * library's {@code setenv} can. What the user has set is left alone.
 */
final class OpenMp {
    /**
     * Rounds an idle thread spins before it sleeps: some tens of microseconds, longer than most gaps between
     * operations.
     */
    private static final Map<String, String> SETTINGS =
            Map.of("OMP_WAIT_POLICY", "passive", "GOMP_SPINCOUNT", "4000", "KMP_BLOCKTIME", "0");

    private OpenMp() {}

    /** Before the runtime is loaded: how idle threads wait. */
    static void configure() {
        if (Platform.isWindows()) {
            return; // its C library has no setenv; the defaults there are mild
        }
        Function setenv = Function.getFunction(Platform.C_LIBRARY_NAME, "setenv");
        SETTINGS.forEach((name, value) -> setenv.invokeInt(new Object[] {name, value, 0}));
    }

    /**
     * After the runtime is loaded and visible to the whole process: finds its functions.
     *
     * @return whether the number of threads can be set; a build of oneDNN with another runtime works too, with as many
     *     threads as that runtime likes
     */
    static boolean attach() {
        try {
            Native.register(OpenMp.class, NativeLibrary.getProcess());
            return true;
        } catch (UnsatisfiedLinkError e) {
            return false;
        }
    }

    /**
     * Threads for parallel work that the calling thread starts from now on. Costs nanoseconds, so it is called before
     * each run: whichever Java thread comes, it gets the backend's number of threads.
     */
    static native void omp_set_num_threads(int threads);
}
