package io.crescendo.cuda;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Remembers from run to run which method was the fastest for a convolution, in a file for each device model and version
 * of cuDNN.
 *
 * <p>The file is text: a line that names format, device, compute capability and version, a line for each convolution
 * (its key, a tab, the method's name) and a line with their number. A file that is not exactly of this form, or was
 * written for another device, counts as empty and is written anew. Writing goes through {@link NativesCache}: the file
 * belongs to this user alone and is replaced as a whole. If it cannot be kept, choices last as long as the process.
 */
final class AlgorithmCache {
    private static final String FORMAT = "Crescendo's choice of convolution methods, format 1";
    private static final String END = "end ";
    private static final char TAB = '\t';

    private final Path directory;
    private final String fileName;
    private final String header;
    private final Map<String, String> names = new TreeMap<>();

    /** Opens the cache; reads what is there. */
    AlgorithmCache(Path directory, DeviceProperties device, long cudnnVersion) {
        this.directory = directory;
        String identity = String.format(
                Locale.ROOT, "%s, sm_%d%d, cuDNN %d", device.name(), device.major(), device.minor(), cudnnVersion);
        this.header = FORMAT + ": " + identity;
        this.fileName = identity.replaceAll("[^A-Za-z0-9._-]+", "-") + ".txt";
        names.putAll(read());
    }

    /** The name of the method that was chosen, or null. */
    synchronized @Nullable String find(String key) {
        return names.get(key);
    }

    /** Keeps a choice, along with what other processes have kept meanwhile. */
    synchronized void put(String key, String name) {
        read().forEach(names::putIfAbsent);
        names.put(key, name);
        StringBuilder text = new StringBuilder(header).append('\n');
        names.forEach((k, n) -> text.append(k).append(TAB).append(n).append('\n'));
        text.append(END).append(names.size()).append('\n');
        try {
            new NativesCache(directory).place(fileName, text.toString().getBytes(StandardCharsets.UTF_8));
        } catch (CudaLibraryException e) {
            // A read-only home directory costs a measurement in every process, no more.
            return;
        }
    }

    /** What the file holds; nothing if it is not there, not ours or damaged. */
    private Map<String, String> read() {
        Path file = directory.resolve(fileName);
        List<String> lines;
        try {
            if (!Files.isRegularFile(file)) {
                return Map.of();
            }
            lines = Files.readAllLines(file, StandardCharsets.UTF_8);
        } catch (IOException e) { // bytes that are not UTF-8 included
            return Map.of();
        }
        int last = lines.size() - 1;
        if (last < 1 || !lines.get(0).equals(header) || !lines.get(last).equals(END + (last - 1))) {
            return Map.of();
        }
        Map<String, String> found = new TreeMap<>();
        for (String line : lines.subList(1, last)) {
            int tab = line.indexOf(TAB);
            if (tab <= 0 || tab == line.length() - 1 || line.indexOf(TAB, tab + 1) >= 0) {
                return Map.of();
            }
            found.put(line.substring(0, tab), line.substring(tab + 1));
        }
        return found;
    }
}
