package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.cuda.FatBinary.Usage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The CUDA sources through NVIDIA's compiler, which needs no GPU: no warning and no spill. */
@NullMarked
class NvccTest {
    @TempDir
    private Path work = Path.of("");

    private static void needsNvcc() {
        String reason = FatBinary.missing();
        if (!reason.isEmpty()) {
            // Printed as well: a skipped test is easily overlooked in a long log.
            System.err.println("CUDA kernels are not compiled for a GPU: " + reason);
        }
        Assumptions.assumeTrue(reason.isEmpty(), () -> "no CUDA compiler: " + reason);
    }

    @Test
    void kernelsCompileWithoutWarningsAndSpills() throws IOException {
        needsNvcc();
        Path file = work.resolve("kernels.fatbin");
        Map<String, Map<String, Usage>> report = FatBinary.build(CudaOnHost.SOURCES, work, file);
        assertTrue(Files.size(file) > 0);
        assertEquals(
                KernelSources.ARCHITECTURES.stream()
                        .map(number -> "sm_" + number)
                        .collect(Collectors.toSet()),
                report.keySet());
        report.forEach((architecture, kernels) -> kernels.forEach((kernel, usage) ->
                assertEquals(0, usage.spilledBytes() + usage.stackBytes(), kernel + " spills on " + architecture)));
        if (CudaOnHost.unavailable() == null) {
            try (CudaOnHost device = CudaOnHost.compile("names", Map.of())) {
                // So no kernel is left out of the comparisons by a name that the host library does not list.
                Set<String> compared = new TreeSet<>(device.kernels());
                report.forEach((architecture, kernels) -> assertEquals(compared, kernels.keySet(), architecture));
            }
        }
    }

    /** What the registers are must be seen in every build's log, also where there was nothing to do. */
    @Test
    void aSecondBuildKeepsTheFileAndRepeatsTheReport() throws IOException {
        needsNvcc();
        Path packaged = Files.createDirectories(work.resolve("packaged"));
        String small = "extern \"C\" __global__ void small(float* x) { x[0] = 1; }\n";
        Files.writeString(packaged.resolve(KernelSources.PROGRAM), small);
        String[] arguments = {packaged.toString(), work.toString()};
        FatBinary.main(arguments);
        String report = Files.readString(work.resolve("report.txt"));
        assertTrue(report.startsWith("Kernels by nvcc, ") && report.contains("small"), report);
        Path file = packaged.resolve(KernelSources.packaged().fatBinary());
        FileTime made = Files.getLastModifiedTime(file);
        FatBinary.main(arguments);
        assertEquals(report, Files.readString(work.resolve("report.txt")));
        assertEquals(made, Files.getLastModifiedTime(file), "nothing was to do");

        Path kept = work.resolve(file.getFileName() + ".txt");
        Files.writeString(kept, report.replaceFirst("nvcc, .*", "nvcc, an older one"));
        FatBinary.main(arguments);
        assertEquals(report, Files.readString(work.resolve("report.txt")), "another compiler builds anew");
    }

    @Test
    void aWarningStopsTheBuild() throws IOException {
        needsNvcc();
        String unused = "extern \"C\" __global__ void warns(float* x) { int unused; x[0] = 1; }\n";
        Files.writeString(work.resolve(KernelSources.PROGRAM), unused);
        Path file = work.resolve("kernels.fatbin");
        IllegalStateException stopped =
                assertThrows(IllegalStateException.class, () -> FatBinary.build(work, work, file));
        assertTrue(String.valueOf(stopped.getMessage()).contains("unused"), stopped.getMessage());
        assertTrue(Files.notExists(file));
    }

    @Test
    void theReportIsUnderstood() {
        Map<String, Map<String, Usage>> usages = FatBinary.usages("""
                ptxas info    : Compiling entry function 'first' for 'sm_80'
                ptxas info    : Function properties for first
                    16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads
                ptxas info    : Used 30 registers, used 1 barriers, 4224 bytes smem
                ptxas info    : Compiling entry function 'second' for 'sm_90'
                    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
                ptxas info    : Used 10 registers, used 0 barriers
                """);
        assertEquals(
                Map.of(
                        "sm_80", Map.of("first", new Usage(30, 4224, 16, 12)),
                        "sm_90", Map.of("second", new Usage(10, 0, 0, 0))),
                usages);
    }
}
