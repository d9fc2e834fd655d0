package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * JCuda's real natives on stand-ins that gcc builds: they answer their versions and carry NVIDIA's names and symbol
 * versions, so the dynamic linker treats them as it would the real ones.
 */
@NullMarked
class CudaLibraryLoaderTest {
    /** Names a directory of NVIDIA's own libraries, for the one test that wants them. */
    static final String REAL_LIBRARIES = "crescendo.cuda.libraries";

    @TempDir
    private Path directory = Path.of("");

    private Path cache() {
        return directory.resolve("cache");
    }

    private void standIns(int cudaMajor) throws IOException {
        Compiler gcc = new Compiler(directory);
        gcc.library("libcuda.so.1", "int cuDriverGetVersion(int* v) { *v = " + cudaMajor + "000; return 0; }");
        gcc.library(
                "libnvrtc.so." + cudaMajor,
                "int nvrtcVersion(int* major, int* minor) { *major = " + cudaMajor + "; *minor = 7; return 0; }");
        gcc.library("libcublasLt.so." + cudaMajor, "int lightMajor(void) { return " + cudaMajor + "; }");
        gcc.library(
                "libcublas.so." + cudaMajor,
                "int lightMajor(void); int cublasGetProperty(int t, int* v) { *v = lightMajor(); return 0; }",
                "libcublasLt.so." + cudaMajor);
        gcc.library("libcudnn.so.9", "unsigned long cudnnGetVersion(void) { return 90501; }");
    }

    @ParameterizedTest
    @ValueSource(ints = {12, 13})
    void jcudaLoadsAgainstEitherCuda(int cudaMajor) throws IOException {
        standIns(cudaMajor);
        List<String> lines = run(directory);
        assertTrue(
                lines.containsAll(List.of(
                        "driver " + cudaMajor + "000",
                        "nvrtc " + cudaMajor + ".7",
                        "cublas " + cudaMajor,
                        "cudnn 90501",
                        "tmpdir restored true")),
                lines.toString());
        List<String> mapped = lines.stream()
                .filter(line -> line.startsWith("mapped "))
                .map(line -> line.substring("mapped ".length()))
                .toList();
        String natives = cache().toRealPath()
                .resolve("crescendo/cuda/jcuda-12.6.0/cuda-" + cudaMajor)
                .toString();
        assertEquals(CudaLibrary.values().length, mapped.size(), "each once: " + mapped);
        assertTrue(mapped.stream().allMatch(path -> path.startsWith(natives)), mapped.toString());

        // A damaged file in the cache is replaced, not loaded.
        Path damaged = Path.of(natives).resolve(JCudaNatives.fileName(CudaLibrary.NVRTC));
        byte[] bytes = Files.readAllBytes(damaged);
        Arrays.fill(bytes, 0, 64, (byte) 0);
        Files.write(damaged, bytes);
        assertTrue(run(directory).contains("nvrtc " + cudaMajor + ".7"));
    }

    @Test
    void aLibraryThatDoesNotLoadIsNamed() throws IOException {
        standIns(12);
        Path broken = directory.resolve("libcudnn.so.9");
        Files.write(broken, Arrays.copyOf(Files.readAllBytes(broken), 300));
        String output = String.join("\n", run(directory));
        assertTrue(output.contains("CudaLibraryException: cuDNN: " + broken + " does not load"), output);
    }

    /** With {@code -Dcrescendo.cuda.libraries=DIRECTORY} of NVRTC, cuBLAS and cuDNN; needs no GPU. */
    @Test
    void nvidiasOwnLibrariesLoadAndAnswer() throws IOException {
        String real = System.getProperty(REAL_LIBRARIES);
        Assumptions.assumeTrue(real != null, "skipped: -D" + REAL_LIBRARIES + " names no directory");
        List<String> lines = run(Path.of(String.valueOf(real)), "NVRTC", "CUBLAS", "CUDNN");
        assertTrue(lines.stream().anyMatch(line -> line.matches("cudnn 9\\d{4}")), lines.toString());
        assertTrue(lines.stream().anyMatch(line -> line.matches("nvrtc 1[23]\\.\\d+")), lines.toString());
        assertTrue(lines.stream().anyMatch(line -> line.matches("cublas 1[23]")), lines.toString());
        assertTrue(lines.contains("compiled true"), lines.toString());
    }

    /** The same: cuDNN checks the parts of convolution graphs without a device. */
    @Test
    void nvidiasOwnCudnnTakesOurConvolutionGraphs() throws IOException {
        String real = System.getProperty(REAL_LIBRARIES);
        Assumptions.assumeTrue(real != null, "skipped: -D" + REAL_LIBRARIES + " names no directory");
        String seed = Long.toString(Long.getLong("crescendo.seed", new Random().nextLong()));
        List<String> lines = start(GraphProgram.class, Path.of(String.valueOf(real)), seed);
        String output = "seed " + seed + ": " + lines;
        assertTrue(lines.stream().noneMatch(line -> line.startsWith("refused")), output);
        assertTrue(lines.stream().anyMatch(line -> line.matches("operations \\d{3}")), output);
        assertTrue(lines.contains("wrong extents are refused"), output);
    }

    /** What {@link LoadingProgram} prints in a JVM of its own. */
    private List<String> run(Path libraries, String... wanted) throws IOException {
        return start(LoadingProgram.class, libraries, wanted);
    }

    private List<String> start(Class<?> program, Path libraries, String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xshare:auto",
                "-XX:TieredStopAtLevel=1",
                "-Djava.io.tmpdir=" + directory,
                "-cp",
                System.getProperty("java.class.path"),
                program.getName(),
                libraries.toString(),
                cache().toString()));
        command.addAll(List.of(arguments));
        // Nothing in the variable: libraries are found only because they were loaded by their absolute paths.
        return Compiler.output(command, "").lines().toList();
    }
}
