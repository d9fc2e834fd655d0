package io.crescendo.bench.soak;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * What this process holds.
 *
 * @param residentBytes in physical memory, all of it; 0 where the system does not say (it does on Linux)
 * @param anonymousBytes of that, what belongs to no file: heap, arena, the libraries' own memory
 * @param heapBytes the Java heap's share of the address space at the moment
 */
record ProcessMemory(long residentBytes, long anonymousBytes, long heapBytes) {
    static ProcessMemory now() throws IOException {
        Path status = Path.of("/proc/self/status");
        List<String> lines = Files.isReadable(status) ? Files.readAllLines(status) : List.of();
        return new ProcessMemory(
                kibibytes(lines, "VmRSS:") << 10,
                kibibytes(lines, "RssAnon:") << 10,
                ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getCommitted());
    }

    private static long kibibytes(List<String> lines, String name) {
        return lines.stream()
                .filter(line -> line.startsWith(name))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
                .findFirst()
                .orElse(0);
    }
}
