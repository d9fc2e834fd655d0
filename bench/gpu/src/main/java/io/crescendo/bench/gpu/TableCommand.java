package io.crescendo.bench.gpu;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * What a verification came to, as Markdown: a line per part, then the figures.
 *
 * <p>Reads what the parts left in a folder: {@code parts.tsv} (name, result, seconds), {@code tests/*.xml} and
 * {@code tests/classes.tsv} (name, result, seconds), {@code *.json}, {@code profile/*.txt}, {@code convolutions/*.txt}
 * and warnings in {@code *.log}. A part that left nothing has its line and no figures. What is long comes last, for
 * whoever sees only the beginning.
 */
@Command(name = "table", description = "The results in a folder as one table in Markdown.")
final class TableCommand implements Callable<Integer> {
    private static final int SLOW_NAMED = 20;
    private static final int PROFILE_LINES = 12;

    @Option(names = "--folder", required = true, description = "Where the parts left their files.")
    private Path folder = Path.of(".");

    @Override
    public Integer call() throws IOException {
        String text = text(folder);
        Files.writeString(folder.resolve("table.md"), text);
        System.out.print(text);
        return 0;
    }

    static String text(Path folder) throws IOException {
        List<String> lines = new ArrayList<>(List.of("| part | result | seconds | |", "|---|---|---|---|"));
        Path parts = folder.resolve("parts.tsv");
        for (String line : Files.exists(parts) ? Files.readAllLines(parts) : List.<String>of()) {
            String[] columns = line.split("\t", -1);
            lines.add("| " + columns[0] + " | " + columns[1] + " | " + columns[2] + " | " + detail(folder, columns[0])
                    + " |");
        }
        gradients(read(folder.resolve("gradients.json")), lines);
        curves(read(folder.resolve("curves.json")), lines);
        throughput(read(folder.resolve("throughput.json")), lines);
        growth(read(folder.resolve("growth.json")), lines);
        kernels(folder, lines);
        capacity(read(folder.resolve("capacity.json")), lines);
        profiles(folder, lines);
        convolutions(folder, lines);
        return String.join("\n", lines) + "\n";
    }

    private static @Nullable JsonNode read(Path file) throws IOException {
        return Files.exists(file) ? Json.MAPPER.readTree(file.toFile()) : null;
    }

    private static String detail(Path folder, String part) throws IOException {
        if (!part.equals("tests") && !part.equals("sanitizer")) {
            return "";
        }
        StringBuilder detail =
                new StringBuilder(TestReports.in(folder.resolve(part)).text());
        Path classes = folder.resolve(part).resolve("classes.tsv");
        for (String line : Files.exists(classes) ? Files.readAllLines(classes) : List.<String>of()) {
            String[] columns = line.split("\t", -1);
            if (columns.length == 3 && !columns[1].equals("passed")) {
                detail.append("; ").append(columns[0]).append(": ").append(columns[1]);
            }
        }
        return detail.toString();
    }

    private static void gradients(@Nullable JsonNode result, List<String> lines) {
        if (result == null) {
            return;
        }
        lines.add("");
        lines.add("Gradients of one step against the CPU, "
                + result.path("device").asText() + ":");
        lines.add("");
        lines.add("| network | precision | relative error | allowed | worst tensor | |");
        lines.add("|---|---|---|---|---|---|");
        for (JsonNode each : result.path("comparisons")) {
            lines.add(String.format(
                    Locale.ROOT,
                    "| %s | %s | %.1e | %.1e | %s: %.1e of %.1e | %s |",
                    each.path("network").asText(),
                    each.path("precision").asText(),
                    each.path("error").asDouble(),
                    each.path("allowed").asDouble(),
                    each.path("worstTensor").asText(),
                    each.path("worstError").asDouble(),
                    each.path("worstAllowed").asDouble(),
                    each.path("passed").asBoolean() ? "passed" : "FAILED"));
        }
        failures(result, lines);
    }

    private static void curves(@Nullable JsonNode result, List<String> lines) {
        if (result == null) {
            return;
        }
        lines.add("");
        lines.add("Losses of " + result.path("model").asText() + " on "
                + result.path("data").asText() + ", batch "
                + result.path("batch").asInt() + ":");
        lines.add("");
        lines.add("| run | first loss | last 20 updates | windows differ by | allowed | images/s | |");
        lines.add("|---|---|---|---|---|---|---|");
        for (JsonNode run : result.path("runs")) {
            JsonNode losses = run.path("losses");
            double last = 0;
            int from = Math.max(0, losses.size() - 20);
            for (int i = from; i < losses.size(); i++) {
                last += losses.get(i).asDouble() / (losses.size() - from);
            }
            double allowed = run.path("allowedWindowDifference").asDouble();
            lines.add(String.format(
                    Locale.ROOT,
                    "| %s | %.4f | %.4f | %.4f | %s | %.0f | %s |",
                    run.path("name").asText(),
                    losses.path(0).asDouble(),
                    last,
                    run.path("largestWindowDifference").asDouble(),
                    allowed == 0 ? "" : String.format(Locale.ROOT, "%.4f", allowed),
                    run.path("imagesPerSecond").asDouble(),
                    allowed == 0 ? "" : run.path("passed").asBoolean() ? "passed" : "FAILED"));
        }
        failures(result, lines);
    }

    private static void throughput(@Nullable JsonNode result, List<String> lines) {
        if (result == null) {
            return;
        }
        lines.add("");
        lines.add(
                "Training throughput, medians of rounds in turn, memory of the device in MiB" + without(result) + ":");
        lines.add("");
        lines.add("| network | batch | precision | images/s | PyTorch | its mode | ratio | host us/step | PyTorch"
                + " | memory | PyTorch | process | PyTorch | ratio |");
        lines.add("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
        for (JsonNode outcome : result.path("outcomes")) {
            JsonNode ours = outcome.path("crescendo");
            JsonNode theirs = outcome.path("pytorch");
            lines.add("| " + outcome.path("measured").path("network").asText() + " | "
                    + outcome.path("measured").path("batch").asInt() + " | "
                    + outcome.path("measured").path("precision").asText() + " | "
                    + number(ours, "imagesPerSecond", 1) + " | " + number(theirs, "imagesPerSecond", 1) + " | "
                    + outcome.path("mode").asText("").replace("null", "") + " | " + ratio(outcome, "ratio") + " | "
                    + number(ours, "hostMicros", 1) + " | "
                    + number(theirs, "hostMicros", 1) + " | "
                    + number(ours, "allocatedBytes", 1 << 20) + " | "
                    + number(theirs, "reservedBytes", 1 << 20) + " | "
                    + number(ours, "processBytes", 1 << 20) + " | " + number(theirs, "processBytes", 1 << 20) + " | "
                    + ratio(outcome, "memoryRatio") + " |");
        }
        failures(result, lines);
        for (JsonNode outcome : result.path("outcomes")) {
            failures(outcome, lines);
        }
        lines.add("");
        for (JsonNode each : result.path("parity")) {
            lines.add("- " + each.path("network").asText() + " in fp32, losses of three updates: "
                    + (each.path("passed").asBoolean() ? "the same network" : "NOT the same network"));
        }
        notMeasured(result, lines);
        for (JsonNode outcome : result.path("outcomes")) {
            JsonNode ours = outcome.path("crescendo");
            if (ours.path("hostBusyMicros").isNumber()) {
                lines.add(String.format(
                        Locale.ROOT,
                        "- %d %s: our host needs %.1f us for a step where the device is idle, %.1f where it is busy",
                        outcome.path("measured").path("batch").asInt(),
                        outcome.path("measured").path("precision").asText(),
                        ours.path("hostMicros").asDouble(),
                        ours.path("hostBusyMicros").asDouble()));
            }
            for (JsonNode note : outcome.path("notes")) {
                lines.add("- " + outcome.path("measured").path("batch").asInt() + " "
                        + outcome.path("measured").path("precision").asText() + ": "
                        + note.asText().lines().findFirst().orElse(""));
            }
        }
    }

    private static void growth(@Nullable JsonNode result, List<String> lines) {
        if (result == null) {
            return;
        }
        lines.add("");
        lines.add("Raising the batch of " + result.path("network").asText() + " in one process, ms; the aim is an extra"
                + " cost (first - steady after) below one update before, and 20 times below PyTorch's compiled"
                + without(result) + ":");
        lines.add("");
        lines.add("| engine | precision | batch | update before | first after | steady after | extra cost"
                + " | in updates before | prepared in the background after |");
        lines.add("|---|---|---|---|---|---|---|---|---|");
        for (JsonNode run : result.path("runs")) {
            int stage = 0;
            for (JsonNode step : run.path("steps")) {
                JsonNode to = run.path("stages").path(++stage);
                int pieces = to.path("microBatches").asInt(1);
                lines.add(String.format(
                        Locale.ROOT,
                        "| %s | %s | %d to %d%s | %.2f | %.2f | %.2f | %.2f | %.2f | %s |",
                        run.path("engine").asText(),
                        run.path("precision").asText(),
                        step.path("from").asInt(),
                        step.path("to").asInt(),
                        pieces > 1 ? " in " + pieces + " pieces" : "",
                        step.path("steadyBeforeMillis").asDouble(),
                        step.path("firstMillis").asDouble(),
                        step.path("steadyAfterMillis").asDouble(),
                        step.path("costMillis").asDouble(),
                        step.path("overUpdateBefore").asDouble(),
                        to.path("waitedSeconds").isNumber()
                                ? String.format(
                                        Locale.ROOT,
                                        "%.1f s",
                                        to.path("waitedSeconds").asDouble())
                                : ""));
            }
        }
        failures(result, lines);
        notMeasured(result, lines);
    }

    private static void capacity(@Nullable JsonNode result, List<String> lines) {
        if (result == null) {
            return;
        }
        lines.add("");
        lines.add(String.format(
                Locale.ROOT,
                "Largest batch that trains without accumulation in %.1f GiB of allocations, context and code excluded;"
                        + " MiB; the aim is 1.5 times PyTorch's%s:",
                result.path("budgetBytes").asDouble() / (1L << 30),
                without(result)));
        lines.add("");
        lines.add("| network | precision | engine | batch | recomputed | allocated | by the driver, since start"
                + " | process | 2nd update ms |");
        lines.add("|---|---|---|---|---|---|---|---|---|");
        for (JsonNode outcome : result.path("outcomes")) {
            for (JsonNode each : outcome.path("engines")) {
                lines.add("| " + outcome.path("network").asText() + " | "
                        + outcome.path("precision").asText() + " | "
                        + each.path("engine").asText() + " | "
                        + each.path("batch").asInt() + (each.path("exact").asBoolean() ? "" : " or more") + " | "
                        + each.path("recomputation").asText() + " | "
                        + number(each, "allocatedBytes", 1 << 20) + " | " + number(each, "deviceBytes", 1 << 20)
                        + " | " + number(each, "processBytes", 1 << 20) + " | " + number(each, "secondMillis", 1)
                        + " |");
            }
        }
        for (JsonNode outcome : result.path("outcomes")) {
            failures(outcome, lines);
        }
        lines.add("");
        for (JsonNode outcome : result.path("outcomes")) {
            if (outcome.path("ratio").isNumber()
                    || outcome.path("ratioRecomputing").isNumber()) {
                lines.add("- " + outcome.path("network").asText() + " in "
                        + outcome.path("precision").asText() + ", over the best of PyTorch's: "
                        + ratio(outcome, "ratio")
                        + ", with recomputation " + ratio(outcome, "ratioRecomputing"));
            }
        }
        notMeasured(result, lines);
    }

    private static String without(JsonNode result) {
        String absent = result.path("noPyTorch").asText("");
        return absent.isEmpty() || absent.equals("null") ? "" : " (without PyTorch: " + absent + ")";
    }

    private static void notMeasured(JsonNode result, List<String> lines) {
        for (JsonNode text : result.path("notMeasured")) {
            lines.add("- not measured, the time was used up: " + text.asText());
        }
    }

    private static String ratio(JsonNode outcome, String field) {
        return outcome.path(field).isNumber()
                ? String.format(Locale.ROOT, "%.2f", outcome.path(field).asDouble())
                : "";
    }

    private static String number(JsonNode node, String field, double unit) {
        return node.path(field).isNumber()
                ? String.format(Locale.ROOT, "%.0f", node.path(field).asDouble() / unit)
                : "";
    }

    /** The table that the part itself has printed. */
    private static void kernels(Path folder, List<String> lines) throws IOException {
        Path log = folder.resolve("kernels.log");
        if (Files.exists(log)) {
            List<String> table = Files.readAllLines(log).stream()
                    .filter(line -> line.startsWith("|") || line.startsWith("Kernels alone"))
                    .flatMap(line -> line.startsWith("|") ? Stream.of(line) : Stream.of("", line, ""))
                    .toList();
            lines.addAll(table);
        }
    }

    /** The beginning of each profile: the kinds of operations that take longest. */
    private static void profiles(Path folder, List<String> lines) throws IOException {
        for (Path file : files(folder.resolve("profile"), ".txt")) {
            lines.add("");
            lines.add("Profile " + file.getFileName() + ":");
            lines.add("");
            lines.add("```");
            try (Stream<String> all = Files.lines(file, StandardCharsets.UTF_8)) {
                all.map(String::stripTrailing)
                        .filter(line -> !line.isEmpty())
                        .limit(PROFILE_LINES)
                        .forEach(lines::add);
            }
            lines.add("```");
        }
    }

    /** Which methods were chosen, by direction and precision, and what no method of cuDNN could do. */
    private static void convolutions(Path folder, List<String> lines) throws IOException {
        Map<String, Integer> chosen = new TreeMap<>();
        for (Path file : files(folder.resolve("convolutions"), ".txt")) {
            for (String line : Files.readAllLines(file)) {
                String[] columns = line.split("\t", -1);
                if (columns.length == 3) {
                    String[] key = columns[0].split("-", 3);
                    String method = columns[1].replaceFirst(":.*", ""); // without an engine's knobs
                    chosen.merge(key[0] + " " + key[1] + ": " + method, 1, Integer::sum);
                }
            }
        }
        Set<String> slow = new TreeSet<>();
        for (Path file : files(folder, ".log")) {
            try (Stream<String> all = Files.lines(file, StandardCharsets.ISO_8859_1)) {
                all.filter(line -> line.contains("a slow kernel computes it")).forEach(slow::add);
            }
        }
        if (!chosen.isEmpty() || !slow.isEmpty()) {
            lines.add("");
            lines.add("Methods chosen for convolutions, with how many convolutions each:");
            lines.add("");
            chosen.forEach((method, count) -> lines.add("- " + method + " " + count));
            lines.add("- without a method of cuDNN, left to a slow kernel: " + slow.size());
            slow.stream().limit(SLOW_NAMED).forEach(line -> lines.add("  - " + line.strip()));
        }
    }

    private static List<Path> files(Path folder, String suffix) throws IOException {
        if (!Files.isDirectory(folder)) {
            return List.of();
        }
        try (Stream<Path> all = Files.list(folder)) {
            return all.filter(file -> file.toString().endsWith(suffix)).sorted().toList();
        }
    }

    private static void failures(JsonNode result, List<String> lines) {
        if (result.path("failures").isEmpty()) {
            return;
        }
        lines.add("");
        for (JsonNode failure : result.path("failures")) {
            lines.add("- failed: " + failure.asText().lines().findFirst().orElse(""));
        }
    }
}
