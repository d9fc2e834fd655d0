package io.crescendo.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.stream.Stream;

/**
 * Where something was measured.
 *
 * @param time start, UTC
 * @param processor model as the system names it
 * @param vectors the wide instruction sets among its flags
 * @param processors logical processors the JVM sees
 * @param memoryBytes in all
 * @param system kernel and architecture
 * @param java runtime
 * @param load the system's load averages at the start: a busy machine measures other people's work
 */
public record Machine(
        String time,
        String processor,
        List<String> vectors,
        int processors,
        long memoryBytes,
        String system,
        String java,
        String load) {
    /** Reads /proc where there is one; elsewhere those fields say "unknown". */
    public static Machine here() {
        List<String> info = lines("/proc/cpuinfo");
        List<String> flags = List.of(field(info, "flags").split(" "));
        return new Machine(
                Instant.now().truncatedTo(ChronoUnit.SECONDS).toString(),
                field(info, "model name"),
                Stream.of("fma", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
                        .filter(flags::contains)
                        .toList(),
                Runtime.getRuntime().availableProcessors(),
                1024
                        * Long.parseLong(
                                "0" + field(lines("/proc/meminfo"), "MemTotal").replaceAll("\\D", "")),
                System.getProperty("os.name") + " " + System.getProperty("os.version") + " "
                        + System.getProperty("os.arch"),
                System.getProperty("java.vm.name") + " " + Runtime.version(),
                lines("/proc/loadavg").stream().findFirst().orElse("unknown"));
    }

    /** Whether what was measured there can be held against what is measured here. */
    public boolean isLike(Machine other) {
        return processor.equals(other.processor) && processors == other.processors && vectors.equals(other.vectors);
    }

    private static String field(List<String> lines, String name) {
        return lines.stream()
                .filter(line -> line.startsWith(name))
                .map(line -> line.substring(line.indexOf(':') + 1).strip())
                .findFirst()
                .orElse("unknown");
    }

    private static List<String> lines(String file) {
        try {
            return Files.readAllLines(Path.of(file));
        } catch (IOException e) {
            return List.of();
        }
    }
}
