package io.crescendo.cuda;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.jspecify.annotations.NullMarked;

/** Compiles all kernels through the NVRTC in one directory; a process of its own, because a loaded library stays. */
@NullMarked
public final class CompilingProgram {
    private static final Pattern ENTRY = Pattern.compile("\\.entry (\\w+)");

    private CompilingProgram() {}

    /** Arguments: the directory of NVRTC, the cache, then compute capabilities such as 9.0. */
    public static void main(String[] arguments) {
        Path directory = Path.of(arguments[0]);
        Path cache = Path.of(arguments[1]);
        Map<String, String> environment = Map.of("LD_LIBRARY_PATH", directory.toString());
        Machine machine = new Machine(directory.resolve("none"), environment, directory, Machine.SUPPORTED);
        CudaInstallation installation = CudaInstallation.search(machine);
        CudaLibraryLoader.load(
                installation.found().stream()
                        .filter(found -> found.library() == CudaLibrary.NVRTC)
                        .toList(),
                installation.cudaMajor(),
                cache);
        KernelCompiler compiler = new KernelCompiler(KernelSources.packaged(), cache.resolve("kernels"));
        for (String capability : List.of(arguments).subList(2, arguments.length)) {
            String[] numbers = capability.split("\\.", -1);
            try {
                byte[] image = compiler.compile(Integer.parseInt(numbers[0]), Integer.parseInt(numbers[1]));
                String text = new String(image, StandardCharsets.ISO_8859_1);
                String kind = image[0] == 0x7f ? "machine code" : "assembler";
                System.out.println(
                        capability + " " + kind + " " + text.startsWith("\u007fELF") + " " + image[image.length - 1]
                                + " " + ENTRY.matcher(text).results().count());
            } catch (CudaException e) {
                System.out.println(capability + " failed: " + e.getMessage());
            }
        }
    }
}
