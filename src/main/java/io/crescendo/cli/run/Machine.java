package io.crescendo.cli.run;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Precision;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Where training runs, as it was asked for: what a run that goes on must be given again to end with the same bits.
 *
 * @param device a backend's name, or auto
 * @param backend how to open it
 * @param memoryBudget for the workspace
 */
public record Machine(String device, BackendOptions backend, MemoryBudget memoryBudget) {
    /** The key of the lines {@code run} and {@code resumed} that it stands under. */
    public static final String KEY = "options";

    private static final String BYTES = "memoryBudgetBytes";
    private static final String SHARE = "memoryBudgetShare";

    void writeTo(ObjectNode line) {
        ObjectNode options = line.putObject(KEY)
                .put("device", device)
                .put("threads", backend.threads())
                .put("precision", precision())
                .put("graphs", backend.graphs())
                .put("deterministic", backend.deterministic());
        if (memoryBudget.share() > 0) {
            options.put(SHARE, memoryBudget.share());
        } else if (!memoryBudget.equals(MemoryBudget.NONE)) {
            options.put(BYTES, memoryBudget.bytes());
        }
    }

    /** What a line says, or null if it says nothing: those of earlier versions did not. */
    static @Nullable Machine of(JsonNode line) {
        JsonNode options = line.path(KEY);
        return options.isMissingNode()
                ? null
                : new Machine(
                        options.path("device").asText(),
                        new BackendOptions(
                                options.path("threads").asInt(),
                                Precision.valueOf(
                                        options.path("precision").asText().toUpperCase(Locale.ROOT)),
                                options.path("graphs").asBoolean(),
                                options.path("deterministic").asBoolean()),
                        new MemoryBudget(
                                options.path(BYTES).asLong(Long.MAX_VALUE),
                                options.path(SHARE).asDouble()));
    }

    /**
     * What the run in a folder, or the newest of a comparison's, was asked for when it began or last went on.
     *
     * @return null if there is none, or only such as do not say
     */
    public static @Nullable Machine last(Path folder) throws IOException {
        @Nullable Machine last = null;
        String newest = "";
        for (Path file : files(folder)) {
            for (String text : Files.readAllLines(file)) {
                JsonNode line = MetricsFile.parsed(text);
                if (line == null) {
                    break;
                }
                String started = line.path("timing").path("started").asText();
                if (line.has(KEY) && started.compareTo(newest) >= 0) {
                    last = of(line);
                    newest = started;
                }
            }
        }
        return last;
    }

    private static List<Path> files(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder, RunLog.DEPTH)) {
            return files.filter(file -> file.endsWith(MetricsFile.NAME)).toList();
        }
    }

    /** For people: {@code device cpu, 2 threads, memory budget 3.9 MiB}; only the device and what was asked for. */
    public String text() {
        List<String> parts = new ArrayList<>(List.of("device " + device));
        if (backend.threads() > 0) {
            parts.add(backend.threads() == 1 ? "1 thread" : backend.threads() + " threads");
        }
        if (backend.precision() != Precision.FP32) {
            parts.add(precision());
        }
        if (!backend.graphs()) {
            parts.add("no graphs");
        }
        if (backend.deterministic()) {
            parts.add("deterministic");
        }
        if (!memoryBudget.equals(MemoryBudget.NONE)) {
            parts.add("memory budget " + memoryBudget.text());
        }
        return String.join(", ", parts);
    }

    private String precision() {
        return backend.precision().name().toLowerCase(Locale.ROOT);
    }
}
