package io.crescendo.cuda;

import static jcuda.nvrtc.JNvrtc.nvrtcCompileProgram;
import static jcuda.nvrtc.JNvrtc.nvrtcCreateProgram;
import static jcuda.nvrtc.JNvrtc.nvrtcDestroyProgram;
import static jcuda.nvrtc.JNvrtc.nvrtcGetCUBIN;
import static jcuda.nvrtc.JNvrtc.nvrtcGetCUBINSize;
import static jcuda.nvrtc.JNvrtc.nvrtcGetNumSupportedArchs;
import static jcuda.nvrtc.JNvrtc.nvrtcGetPTX;
import static jcuda.nvrtc.JNvrtc.nvrtcGetProgramLog;
import static jcuda.nvrtc.JNvrtc.nvrtcGetSupportedArchs;
import static jcuda.nvrtc.JNvrtc.nvrtcVersion;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import jcuda.nvrtc.JNvrtc;
import jcuda.nvrtc.nvrtcProgram;

/**
 * Compiles the packaged sources on this machine for one device, through NVRTC, once: the result is kept.
 *
 * <p>The file's name stands for sources, compiler, device and options, so nothing in the directory is ever out of date;
 * its first line is the digest of the rest, so that a damaged file is noticed and made anew.
 */
final class KernelCompiler {
    /** Older devices lack bf16. */
    static final int OLDEST_MAJOR = 8;

    /** The same for people. */
    static final String OLDEST = "compute capability 8.0 (Ampere) or newer";

    private static final int DIGEST_CHARACTERS = 64;

    private final KernelSources sources;
    private final NativesCache cache;

    /**
     * Makes a compiler; needs NVRTC to be loaded.
     *
     * @param directory of what was compiled before
     */
    KernelCompiler(KernelSources sources, Path directory) {
        this.sources = sources;
        this.cache = new NativesCache(directory);
        JNvrtc.setExceptionsEnabled(true);
    }

    /**
     * Machine code for a compute capability; or PTX, which the driver finishes, where the compiler is older than the
     * device.
     *
     * @throws CudaException if the device is too old or the sources do not compile
     */
    byte[] compile(int major, int minor) {
        String target = target(major, minor, supported());
        String release = release();
        List<String> options = options(target);
        String name = "kernels-" + target + "-nvrtc-" + release + "-"
                + sources.digest(release + " " + String.join(" ", options)).substring(0, 16);
        byte[] kept = kept(cache.directory().resolve(name));
        if (kept.length > 0) {
            return kept;
        }
        byte[] image = compile(target, options.toArray(String[]::new));
        byte[] digest = KernelSources.sha256(image).getBytes(StandardCharsets.US_ASCII);
        byte[] file = Arrays.copyOf(digest, digest.length + image.length);
        System.arraycopy(image, 0, file, digest.length, image.length);
        cache.place(name, file);
        return image;
    }

    /** What a file holds, or nothing if it is not there or not as it was written. */
    private static byte[] kept(Path file) {
        byte[] content;
        try {
            content = Files.isRegularFile(file) ? Files.readAllBytes(file) : new byte[0];
        } catch (IOException e) {
            return new byte[0]; // is made anew, and if it cannot be written that says why
        }
        if (content.length <= DIGEST_CHARACTERS) {
            return new byte[0];
        }
        byte[] image = Arrays.copyOfRange(content, DIGEST_CHARACTERS, content.length);
        String digest = new String(content, 0, DIGEST_CHARACTERS, StandardCharsets.US_ASCII);
        return KernelSources.sha256(image).equals(digest) ? image : new byte[0];
    }

    /**
     * The architecture to compile for: {@code sm_..} if the compiler knows the device's, else {@code compute_..} of the
     * newest it knows that the device is not older than.
     *
     * @param supported compute capabilities times ten
     */
    static String target(int major, int minor, int... supported) {
        int device = 10 * major + minor;
        int newest = Arrays.stream(supported)
                .filter(architecture -> architecture <= device)
                .max()
                .orElse(0);
        if (major < OLDEST_MAJOR || newest < 10 * OLDEST_MAJOR) {
            throw new CudaException("no kernels for a device of compute capability " + major + "." + minor
                    + ": they need " + OLDEST + ", and this NVRTC compiles for " + Arrays.toString(supported));
        }
        return (newest == device ? "sm_" : "compute_") + newest;
    }

    private static int[] supported() {
        int[] count = new int[1];
        CudaCalls.run(() -> "ask NVRTC for architectures", () -> nvrtcGetNumSupportedArchs(count));
        int[] architectures = new int[count[0]];
        CudaCalls.run(() -> "ask NVRTC for architectures", () -> nvrtcGetSupportedArchs(architectures));
        return architectures;
    }

    private static String release() {
        int[] major = new int[1];
        int[] minor = new int[1];
        CudaCalls.run(() -> "ask NVRTC for its version", () -> nvrtcVersion(major, minor));
        return major[0] + "." + minor[0];
    }

    /** What decides, beside sources and compiler, what becomes of them. */
    static List<String> options(String target) {
        return List.of("--gpu-architecture=" + target, "--std=c++17");
    }

    private byte[] compile(String target, String... options) {
        List<String> headers = new ArrayList<>(sources.files().keySet());
        headers.remove(KernelSources.PROGRAM);
        String[] names = headers.toArray(String[]::new);
        String[] texts = headers.stream().map(sources.files()::get).toArray(String[]::new);
        nvrtcProgram program = new nvrtcProgram();
        CudaCalls.run(
                () -> "give the kernels to NVRTC",
                () -> nvrtcCreateProgram(
                        program, sources.program(), KernelSources.PROGRAM, names.length, texts, names));
        try {
            CudaCalls.run(
                    () -> "compile the kernels for " + target + "\n" + log(program),
                    () -> nvrtcCompileProgram(program, options.length, options));
            byte[][] image = new byte[1][];
            CudaCalls.run(
                    () -> "read what NVRTC made of the kernels",
                    () -> image[0] = target.startsWith("sm_") ? machineCode(program) : assembler(program));
            return image[0];
        } finally {
            nvrtcDestroyProgram(program);
        }
    }

    private static byte[] machineCode(nvrtcProgram program) {
        long[] bytes = new long[1];
        nvrtcGetCUBINSize(program, bytes);
        byte[] code = new byte[Math.toIntExact(bytes[0])];
        nvrtcGetCUBIN(program, code);
        return code;
    }

    /** PTX as the driver takes it: text that ends with a zero byte. */
    private static byte[] assembler(nvrtcProgram program) {
        String[] text = new String[1];
        nvrtcGetPTX(program, text);
        byte[] bytes = text[0].stripTrailing().getBytes(StandardCharsets.US_ASCII);
        return Arrays.copyOf(bytes, bytes.length + 1);
    }

    private static String log(nvrtcProgram program) {
        String[] log = new String[1];
        nvrtcGetProgramLog(program, log);
        return String.valueOf(log[0]).strip();
    }
}
