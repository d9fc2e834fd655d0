package io.crescendo.cuda;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import jcuda.driver.JCudaDriver;
import jcuda.jcublas.JCublas2;
import jcuda.jcudnn.JCudnn;
import jcuda.nvrtc.JNvrtc;
import jcuda.nvrtc.nvrtcProgram;
import org.jspecify.annotations.NullMarked;

/**
 * Loads the libraries in one directory and prints the versions they answer; a process of its own, because a library
 * once loaded stays.
 */
@NullMarked
public final class LoadingProgram {
    private LoadingProgram() {}

    /** Arguments: the directory of the libraries, the cache, the libraries to load. */
    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[0]);
        Map<String, String> environment =
                Map.of("LD_LIBRARY_PATH", directory.toString(), "XDG_CACHE_HOME", arguments[1]);
        // A root that holds nothing: only the named directory counts.
        Machine machine = new Machine(directory.resolve("none"), environment, directory, Machine.SUPPORTED);
        CudaInstallation installation = CudaInstallation.search(machine);
        List<CudaLibrary> wanted = List.of(arguments).subList(2, arguments.length).stream()
                .map(CudaLibrary::valueOf)
                .toList();
        String temporary = System.getProperty("java.io.tmpdir");
        if (wanted.isEmpty()) {
            CudaLibraryLoader.load(installation);
            CudaLibraryLoader.load(installation); // harmless
        } else {
            CudaLibraryLoader.load(
                    installation.found().stream()
                            .filter(found -> wanted.contains(found.library()))
                            .toList(),
                    installation.cudaMajor(),
                    machine.cache());
        }
        int[] major = new int[1];
        int[] minor = new int[1];
        if (wanted.isEmpty()) {
            JCudaDriver.cuDriverGetVersion(major);
            System.out.println("driver " + major[0]);
        }
        JNvrtc.nvrtcVersion(major, minor);
        System.out.println("nvrtc " + major[0] + "." + minor[0]);
        JCublas2.cublasGetProperty(0, major);
        System.out.println("cublas " + major[0]);
        System.out.println("cudnn " + JCudnn.cudnnGetVersion());
        if (!wanted.isEmpty()) {
            System.out.println("compiled " + compile());
        }
        System.out.println("tmpdir restored " + temporary.equals(System.getProperty("java.io.tmpdir")));
        Files.readAllLines(Path.of("/proc/self/maps")).stream()
                .filter(line -> line.contains("libJ") && line.contains("12.6.0"))
                .map(line -> "mapped " + line.substring(line.indexOf('/')))
                .distinct()
                .forEach(System.out::println);
    }

    /** Whether NVRTC turns a kernel into PTX; it opens its built-in declarations by name for that. */
    private static boolean compile() {
        nvrtcProgram program = new nvrtcProgram();
        String source = "extern \"C\" __global__ void scale(float* x) { x[threadIdx.x] *= 2.0f; }";
        String[] ptx = new String[1];
        return JNvrtc.nvrtcCreateProgram(program, source, "scale.cu", 0, new String[0], new String[0]) == 0
                && JNvrtc.nvrtcCompileProgram(program, 1, new String[] {"--gpu-architecture=compute_80"}) == 0
                && JNvrtc.nvrtcGetPTX(program, ptx) == 0
                && ptx[0].contains(".entry scale");
    }
}
