package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the jar holds of the kernels, for which device they are compiled, and NVIDIA's own NVRTC where it is. */
@NullMarked
class KernelCompilerTest {
    @TempDir
    private Path directory = Path.of("");

    @Test
    void everySourceIsPackagedAndPartOfTheProgram() throws IOException {
        Set<String> written = CudaOnHost.sources().stream()
                .map(source -> source.getFileName().toString())
                .collect(Collectors.toSet());
        assertEquals(written, KernelSources.packaged().files().keySet(), "list the file in kernels.cu");
    }

    @Test
    void theDigestStandsForEveryFileAndTheRecipe() {
        KernelSources sources = KernelSources.packaged();
        Set<String> digests = new HashSet<>(Set.of(sources.digest("sm_80"), sources.digest("sm_90")));
        for (String name : sources.files().keySet()) {
            Map<String, String> changed = new HashMap<>(sources.files());
            changed.computeIfPresent(name, (file, text) -> text + " ");
            digests.add(new KernelSources(changed).digest("sm_80"));
        }
        assertEquals(sources.files().size() + 2, digests.size());
    }

    @Test
    void targetAndLanguageArePartOfTheOptions() {
        assertEquals(List.of("--gpu-architecture=sm_90", "--std=c++17"), KernelCompiler.options("sm_90"));
    }

    @Test
    void aDeviceGetsItsOwnMachineCodeOrTheNewestAssembler() {
        assertEquals("sm_90", KernelCompiler.target(9, 0, 75, 80, 86, 90));
        assertEquals("sm_86", KernelCompiler.target(8, 6, 75, 80, 86, 90));
        assertEquals("compute_90", KernelCompiler.target(10, 0, 75, 80, 86, 90), "newer than the compiler");
        assertEquals("compute_80", KernelCompiler.target(8, 6, 75, 80, 90), "between two");
        CudaException old = assertThrows(CudaException.class, () -> KernelCompiler.target(7, 5, 75, 80));
        assertTrue(String.valueOf(old.getMessage()).contains("7.5"), old.getMessage());
        assertThrows(CudaException.class, () -> KernelCompiler.target(9, 0, 70, 75), "a compiler without bf16");
    }

    /** With {@code -Dcrescendo.cuda.libraries=DIRECTORY}; needs no GPU. */
    @Test
    void nvidiasNvrtcCompilesEveryKernelAndTheResultIsKept() throws IOException {
        String real = System.getProperty(CudaLibraryLoaderTest.REAL_LIBRARIES);
        if (real == null) {
            // Printed as well: a skipped test is easily overlooked in a long log.
            System.err.println("NVRTC is not tried: -D" + CudaLibraryLoaderTest.REAL_LIBRARIES
                    + "=DIRECTORY names no directory with libnvrtc.so");
        }
        Assumptions.assumeTrue(real != null, "skipped: -D" + CudaLibraryLoaderTest.REAL_LIBRARIES + " is not set");
        List<String> lines = run(String.valueOf(real), "8.0", "8.6", "9.0", "99.0", "7.5");
        assertEquals(5, lines.size(), lines::toString);
        for (String machineCode : lines.subList(0, 3)) {
            assertTrue(machineCode.contains(" machine code true"), lines::toString);
        }
        long kernels = kernels();
        assertEquals("99.0 assembler false 0 " + kernels, lines.get(3));
        assertTrue(lines.get(4).startsWith("7.5 failed: no kernels for a device"), lines::toString);

        Map<Path, byte[]> kept = kept();
        assertEquals(4, kept.size());
        Path damaged = kept.keySet().iterator().next();
        byte[] bytes = Files.readAllBytes(damaged);
        bytes[bytes.length / 2] ^= 1;
        Files.write(damaged, bytes);
        Path cut = kept.keySet().stream().skip(1).findFirst().orElseThrow();
        Files.write(cut, new byte[10]);
        List<String> again = run(String.valueOf(real), "8.0", "8.6", "9.0", "99.0");
        assertEquals(lines.subList(0, 4), again);
        kept().forEach((file, content) -> assertTrue(
                KernelSources.sha256(content).equals(KernelSources.sha256(kept.getOrDefault(file, new byte[0]))),
                file + " is what it was before it was damaged"));
        assertNotEquals(0, kernels);
    }

    private Map<Path, byte[]> kept() throws IOException {
        Map<Path, byte[]> kept = new HashMap<>();
        try (Stream<Path> files = Files.list(directory.resolve("cache/kernels"))) {
            for (Path file : files.toList()) {
                kept.put(file, Files.readAllBytes(file));
            }
        }
        return kept;
    }

    private static long kernels() {
        Assumptions.assumeTrue(CudaOnHost.unavailable() == null, CudaOnHost::unavailable);
        try (CudaOnHost host = CudaOnHost.compile("nvrtc-names", Map.of())) {
            return host.kernels().size();
        }
    }

    private List<String> run(String libraries, String... capabilities) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-Djava.io.tmpdir=" + directory,
                "-cp",
                System.getProperty("java.class.path"),
                CompilingProgram.class.getName(),
                libraries,
                directory.resolve("cache").toString()));
        command.addAll(List.of(capabilities));
        return Compiler.output(command, "").lines().toList();
    }
}
