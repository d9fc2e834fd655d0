package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/** The CUDA sources through NVIDIA's compiler, which needs no GPU: no warning, no spill, and what each kernel uses. */
@NullMarked
class NvccTest {
    private static final Set<String> ARCHITECTURES = new TreeSet<>(Set.of("sm_80", "sm_90"));
    private static final Pattern ENTRY = Pattern.compile("Compiling entry function '(\\w+)' for '(\\w+)'");
    private static final Pattern SPILLS =
            Pattern.compile("(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill loads");
    private static final Pattern USED = Pattern.compile("Used (\\d+) registers(?:.*?(\\d+) bytes smem)?");

    /** Registers per thread, shared bytes per block, bytes of stack and of spilled registers per thread. */
    private record Usage(int registers, int sharedBytes, int stackBytes, int spilledBytes) {}

    @Test
    void kernelsCompileWithoutWarningsAndSpills() throws IOException {
        String reason = CudaOnHost.missing("nvcc");
        if (reason != null) {
            // Printed as well: a skipped test is easily overlooked in a long log.
            System.err.println("CUDA kernels are not compiled for a GPU: " + reason);
        }
        Assumptions.assumeTrue(reason == null, () -> "no CUDA compiler: " + reason);
        Map<String, Map<String, Usage>> report = compile();
        assertEquals(ARCHITECTURES, report.keySet());
        StringBuilder table = new StringBuilder();
        report.forEach((architecture, kernels) -> kernels.forEach((kernel, usage) -> table.append(String.format(
                Locale.ROOT,
                "%-6s %-30s %3d registers %6d bytes shared %3d stack %3d spilled%n",
                architecture,
                kernel,
                usage.registers(),
                usage.sharedBytes(),
                usage.stackBytes(),
                usage.spilledBytes()))));
        System.err.print(table);
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

    /** All kernels as one fat binary; what ptxas reports, by architecture and kernel. */
    private static Map<String, Map<String, Usage>> compile() throws IOException {
        Path folder = Files.createDirectories(Path.of("target", "nvcc"));
        Path all = folder.resolve("kernels.cu");
        Files.writeString(
                all,
                CudaOnHost.sources().stream()
                        .map(source -> source.getFileName().toString())
                        .filter(name -> name.endsWith(".cu"))
                        .map(name -> "#include \"" + name + "\"\n")
                        .collect(Collectors.joining()));
        List<String> command = new ArrayList<>(List.of(
                "nvcc",
                "-std=c++17",
                "-Werror=all-warnings",
                "-Xptxas=-v,-warn-spills",
                "-I" + CudaOnHost.SOURCES,
                "-fatbin",
                "-o",
                folder.resolve("kernels.fatbin").toString()));
        for (String architecture : ARCHITECTURES) {
            command.add("-gencode=arch=" + architecture.replace("sm", "compute") + ",code=" + architecture);
        }
        command.add(all.toString());
        CudaOnHost.Result result = CudaOnHost.run(command);
        assertEquals(0, result.exit(), () -> "nvcc: " + result.output());
        return usages(result.output());
    }

    /** Reads the report of ptxas: per kernel a line with its name, one with spills, one with registers. */
    private static Map<String, Map<String, Usage>> usages(String report) {
        Map<String, Map<String, Usage>> usages = new TreeMap<>();
        Map<String, Usage> kernels = new TreeMap<>();
        String kernel = "";
        int stack = -1;
        int spilled = -1;
        for (String line : report.lines().toList()) {
            Matcher entry = ENTRY.matcher(line);
            Matcher spills = SPILLS.matcher(line);
            Matcher used = USED.matcher(line);
            if (entry.find()) {
                kernel = entry.group(1);
                kernels = usages.computeIfAbsent(entry.group(2), architecture -> new TreeMap<>());
            } else if (spills.find()) {
                stack = Integer.parseInt(spills.group(1));
                spilled = Integer.parseInt(spills.group(2)) + Integer.parseInt(spills.group(3));
            } else if (used.find()) {
                int shared = used.group(2) == null ? 0 : Integer.parseInt(used.group(2));
                kernels.put(kernel, new Usage(Integer.parseInt(used.group(1)), shared, stack, spilled));
            }
        }
        return usages;
    }

    @Test
    void theReportIsUnderstood() {
        Map<String, Map<String, Usage>> usages = usages("""
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
