package io.crescendo.cuda;

import io.crescendo.cuda.Finding.Found;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import jcuda.JCudaVersion;

/**
 * JCuda's own native libraries: taken from their jars, relinked for the CUDA version that was found, kept in the cache.
 */
final class JCudaNatives {
    private JCudaNatives() {}

    /** The file name under which JCuda looks for a binding, for example {@code libJNvrtc-12.6.0-linux-x86_64.so}. */
    static String fileName(CudaLibrary library) {
        return "lib" + library.binding() + "-" + JCudaVersion.get() + "-linux-x86_64.so";
    }

    /**
     * A binding as it lies in JCuda's jar.
     *
     * @throws CudaLibraryException if the jar is not on the class path
     */
    static byte[] fromJar(CudaLibrary library) {
        String resource = "/lib/" + fileName(library);
        try (InputStream stream = JCudaVersion.class.getResourceAsStream(resource)) {
            if (stream == null) {
                throw new CudaLibraryException("no resource " + resource + " on the class path; add JCuda's natives of"
                        + " version " + JCudaVersion.get()
                        + ", classifier linux-x86_64 (jcuda-natives, jcublas-natives,"
                        + " jcudnn-natives of group org.jcuda)");
            }
            return stream.readAllBytes();
        } catch (IOException e) {
            throw new CudaLibraryException("cannot read " + resource + " from JCuda's jar: " + e, e);
        }
    }

    /**
     * Puts the bindings of libraries that were found into the cache.
     *
     * @return each binding's file, all in one directory, which differs for each JCuda and CUDA version
     */
    static Map<CudaLibrary, Path> unpack(List<Found> libraries, int cudaMajor, Path cache) {
        NativesCache natives =
                new NativesCache(cache.resolve("jcuda-" + JCudaVersion.get()).resolve("cuda-" + cudaMajor));
        Map<CudaLibrary, Path> files = new LinkedHashMap<>();
        for (Found found : libraries) {
            byte[] content = fromJar(found.library());
            if (found.relinked()) {
                content = ElfRelinker.relink(
                        content,
                        found.library().name(CudaInstallation.JCUDA_MAJOR),
                        found.library().name(cudaMajor));
            }
            files.put(found.library(), natives.place(fileName(found.library()), content));
        }
        return files;
    }
}
