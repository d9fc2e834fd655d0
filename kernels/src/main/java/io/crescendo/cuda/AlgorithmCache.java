package io.crescendo.cuda;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Remembers from run to run which method was the fastest for a convolution, in a file for each device model and version
 * of cuDNN.
 *
 * <p>The file is text: a line that names format, rules, device, compute capability and version, a line for each
 * convolution (its key, the method's name and its workspace in bytes, with tabs between) and a line with their number.
 * A file that is not exactly of this form, or was written for another device, counts as empty and is written anew.
 * Writing goes through {@link NativesCache}: the file belongs to this user alone and is replaced as a whole. If it
 * cannot be kept, choices last as long as the process.
 */
final class AlgorithmCache {
    /** Of the rules by which candidates are found and named: what was chosen by other rules is measured anew. */
    private static final int RULES = 5;

    private static final String FORMAT = "Crescendo's choice of convolution methods, format 1, rules " + RULES;
    private static final String END = "end ";
    private static final char TAB = '\t';
    private static final Pattern LINE = Pattern.compile("([^\t]+)\t([^\t]+)\t(\\d{1,18})");

    private final Path directory;
    private final String fileName;
    private final String header;
    private final Map<String, Entry> entries = new TreeMap<>();

    /**
     * What was chosen.
     *
     * @param name of the method
     * @param workspaceBytes scratch memory that it needs: known without making the method
     */
    record Entry(String name, long workspaceBytes) {}

    /** Opens the cache; reads what is there. */
    AlgorithmCache(Path directory, DeviceProperties device, long cudnnVersion) {
        this.directory = directory;
        String identity = String.format(
                Locale.ROOT, "%s, sm_%d%d, cuDNN %d", device.name(), device.major(), device.minor(), cudnnVersion);
        this.header = FORMAT + ": " + identity;
        this.fileName = identity.replaceAll("[^A-Za-z0-9._-]+", "-") + ".txt";
        entries.putAll(read());
    }

    /** What was chosen, or null. */
    synchronized @Nullable Entry find(String key) {
        return entries.get(key);
    }

    /** Keeps a choice, along with what other processes have kept meanwhile. */
    synchronized void put(String key, Entry entry) {
        read().forEach(entries::putIfAbsent);
        entries.put(key, entry);
        StringBuilder text = new StringBuilder(header).append('\n');
        entries.forEach((k, e) -> text.append(k)
                .append(TAB)
                .append(e.name)
                .append(TAB)
                .append(e.workspaceBytes)
                .append('\n'));
        text.append(END).append(entries.size()).append('\n');
        try {
            new NativesCache(directory).place(fileName, text.toString().getBytes(StandardCharsets.UTF_8));
        } catch (CudaLibraryException e) {
            // A read-only home directory costs a measurement in every process, no more.
            return;
        }
    }

    /** What the file holds; nothing if it is not there, not ours or damaged. */
    private Map<String, Entry> read() {
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
        Map<String, Entry> found = new TreeMap<>();
        for (String line : lines.subList(1, last)) {
            Matcher parts = LINE.matcher(line);
            if (!parts.matches()) {
                return Map.of();
            }
            found.put(parts.group(1), new Entry(parts.group(2), Long.parseLong(parts.group(3))));
        }
        return found;
    }
}
