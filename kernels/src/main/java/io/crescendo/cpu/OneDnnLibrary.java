package io.crescendo.cpu;

import static org.bytedeco.dnnl.global.dnnl.dnnl_get_effective_cpu_isa;
import static org.bytedeco.dnnl.global.dnnl.dnnl_version;

import io.crescendo.backend.BackendProvider.Availability;
import org.bytedeco.dnnl.dnnl_version_t;
import org.bytedeco.dnnl.global.dnnl;
import org.bytedeco.javacpp.Loader;

/**
 * Loads oneDNN, once per process, and says what to do where that fails.
 *
 * <p>JavaCPP unpacks the libraries from the jars on the class path into {@code ~/.javacpp/cache} (or where the system
 * property {@code org.bytedeco.javacpp.cachedir} points).
 */
final class OneDnnLibrary {
    private OneDnnLibrary() {}

    /**
     * Loads everything; harmless when it is loaded already.
     *
     * @return whether {@link OpenMp#omp_set_num_threads} can be called
     */
    static synchronized boolean load() {
        // JavaCPP refuses small allocations once the process as a whole exceeds a multiple of the Java heap; here the
        // arena is the large part of the process, and it has a budget of its own.
        unlessSet("org.bytedeco.javacpp.maxBytes");
        unlessSet("org.bytedeco.javacpp.maxPhysicalBytes");
        OpenMp.configure();
        String path = Loader.load(dnnl.class);
        // Visible to the whole process, so that the OpenMP runtime it brought along can be called.
        Loader.loadGlobal(path);
        return OpenMp.attach();
    }

    private static void unlessSet(String limit) {
        if (System.getProperty(limit) == null) {
            System.setProperty(limit, "0"); // no limit
        }
    }

    static Availability probe() {
        try {
            load();
            return new Availability(true, version());
        } catch (LinkageError e) {
            return new Availability(
                    false,
                    "oneDNN did not load (" + e + "). Searched: the class path for the jars dnnl, opencl and javacpp of"
                            + " group org.bytedeco, each with its natives of classifier '" + platform()
                            + "', and the libraries already unpacked in ~/.javacpp/cache. To get it, depend on those"
                            + " jars with that classifier; where ~/.javacpp cannot be written, set"
                            + " -Dorg.bytedeco.javacpp.cachedir to a directory that can.");
        }
    }

    private static String platform() {
        try {
            return Loader.getPlatform();
        } catch (LinkageError e) {
            return "of this machine";
        }
    }

    /** For example {@code oneDNN 3.11.0, AVX-512}. */
    static String version() {
        dnnl_version_t version = dnnl_version();
        return "oneDNN " + version.major() + "." + version.minor() + "." + version.patch() + ", "
                + instructionSet(dnnl_get_effective_cpu_isa());
    }

    private static String instructionSet(int isa) {
        if (isa >= dnnl.dnnl_cpu_isa_avx512_core) {
            return "AVX-512";
        }
        return isa >= dnnl.dnnl_cpu_isa_avx2 ? "AVX2" : isa >= dnnl.dnnl_cpu_isa_sse41 ? "SSE4.1" : "generic";
    }
}
