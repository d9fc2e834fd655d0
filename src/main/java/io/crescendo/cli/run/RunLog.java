package io.crescendo.cli.run;

import com.fasterxml.jackson.databind.JsonNode;
import io.crescendo.cli.UserError;
import io.crescendo.memory.MicroBatches;
import io.crescendo.memory.Recomputation;
import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.metrics.GradientNoise;
import io.crescendo.metrics.GradientNoiseMean;
import io.crescendo.metrics.GradientNoiseRecord;
import io.crescendo.metrics.PhaseRecord;
import io.crescendo.metrics.RunSummary;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.train.Steps;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * What a run recorded, read back from its {@code metrics.jsonl}.
 *
 * @param folder of the run
 * @param label what figures and tables call it: its schedule, unless {@link RunLabels} found that this says too little
 * @param head the file's first line: environment and what was run
 * @param phases in order
 * @param interventions what the plan did not foresee: memory that was refused, and resumptions; in words, in order
 * @param updates in order
 * @param gradientNoise where it was measured, in order
 * @param evaluations in order
 * @param summary null if the run was killed
 * @param interrupted whether the summary is that of a run that was asked to end early
 */
public record RunLog(
        Path folder,
        String label,
        JsonNode head,
        List<PhaseRecord> phases,
        List<String> interventions,
        List<UpdateRecord> updates,
        List<GradientNoiseRecord> gradientNoise,
        List<EvaluationRecord> evaluations,
        @Nullable RunSummary summary,
        boolean interrupted) {

    /** Folders of runs lie at most this deep below a comparison: schedule, then seed. */
    static final int DEPTH = 3;

    public RunLog {
        phases = List.copyOf(phases);
        interventions = List.copyOf(interventions);
        updates = List.copyOf(updates);
        gradientNoise = List.copyOf(gradientNoise);
        evaluations = List.copyOf(evaluations);
    }

    /** Name of the schedule. */
    public String schedule() {
        return head.path("schedule").asText();
    }

    /** The same under another label, in its summary too. */
    RunLog labelled(String newLabel) {
        RunSummary s = summary;
        return new RunLog(
                folder,
                newLabel,
                head,
                phases,
                interventions,
                updates,
                gradientNoise,
                evaluations,
                s == null
                        ? null
                        : new RunSummary(
                                newLabel,
                                s.seed(),
                                s.epochs(),
                                s.updates(),
                                s.trainLoss(),
                                s.testLoss(),
                                s.testAccuracy(),
                                s.imagesPerSecond(),
                                s.seconds(),
                                s.peakWorkspaceBytes()),
                interrupted);
    }

    public long seed() {
        return head.path("seed").asLong();
    }

    /** What the run was asked for when it began, or null if it does not say. */
    public @Nullable Machine machine() {
        return Machine.of(head);
    }

    /** Every run in a folder and below it, in the order of the paper's tables, then by seed. */
    public static List<RunLog> below(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            throw UserError.usage(folder + ": there is no such folder; name the folder of a run or of a comparison,"
                    + " such as runs/fashion-mini-quick");
        }
        List<Path> files;
        try (Stream<Path> found = Files.walk(folder, DEPTH)) {
            files = found.filter(file -> file.endsWith(MetricsFile.NAME))
                    .sorted()
                    .toList();
        }
        if (files.isEmpty()) {
            throw UserError.usage(folder + ": no run in it (no " + MetricsFile.NAME + " in the folder or below)");
        }
        List<RunLog> logs = new ArrayList<>();
        for (Path file : files) {
            logs.add(read(file));
        }
        // decaying, hybrid, increasing: the alphabet happens to be the paper's order.
        logs.sort(java.util.Comparator.comparing(RunLog::schedule).thenComparingLong(RunLog::seed));
        return logs;
    }

    private static RunLog read(Path file) throws IOException {
        @Nullable JsonNode head = null;
        @Nullable JsonNode last = null;
        List<PhaseRecord> phases = new ArrayList<>();
        List<String> interventions = new ArrayList<>();
        List<UpdateRecord> updates = new ArrayList<>();
        List<GradientNoiseRecord> noise = new ArrayList<>();
        List<EvaluationRecord> evaluations = new ArrayList<>();
        List<String> lines = Files.readAllLines(file);
        for (int number = 0; number < lines.size(); number++) {
            JsonNode line = MetricsFile.parsed(lines.get(number));
            if (line == null) {
                if (number == lines.size() - 1) {
                    break; // what is before it counts
                }
                throw UserError.failure(
                        file + ":" + (number + 1) + ": expected one JSON object per line, found '"
                                + shortened(lines.get(number)) + "'",
                        null);
            }
            switch (line.path("type").asText()) {
                case "run" -> head = line;
                case "phase" -> phases.add(phase(line));
                case "memoryRefused" -> interventions.add(after(line) + PhaseTable.line(refusal(line)));
                case "resumed" -> interventions.add(after(line) + resumption(line));
                case "update" -> updates.add(update(line));
                case "gradientNoise" -> noise.add(noise(line));
                case "evaluation" -> evaluations.add(evaluation(line));
                case "summary" -> last = line;
                default -> {} // later versions may add types
            }
        }
        if (head == null) {
            throw UserError.failure(
                    file + ": not a metrics file of this program: its first line must have \"type\":\"run\"", null);
        }
        return new RunLog(
                file.resolveSibling(""),
                head.path("schedule").asText(),
                head,
                phases,
                interventions,
                updates,
                noise,
                evaluations,
                last == null ? null : summary(head, last),
                last != null && last.path("interrupted").asBoolean());
    }

    /** The summary of the run in a folder if it came to its planned end, otherwise null. */
    public static @Nullable RunSummary finished(Path folder) throws IOException {
        Path file = folder.resolve(MetricsFile.NAME);
        if (!Files.exists(file)) {
            return null;
        }
        RunLog log = read(file);
        return log.interrupted ? null : log.summary;
    }

    private static String shortened(String text) {
        return text.length() <= 40 ? text : text.substring(0, 40) + "…";
    }

    private static PhaseRecord phase(JsonNode line) {
        return new PhaseRecord(
                line.path("update").asLong(),
                line.path("epoch").asDouble(),
                line.path("batch").asInt(),
                sizes(line),
                line.path("recomputation").asText(Recomputation.NONE.name()),
                line.path("ghostBatch").asInt(),
                line.path("learningRate").asDouble(),
                line.path("momentum").asDouble(),
                line.path("noiseScale").asDouble(),
                line.path("workspaceBytes").asLong(),
                line.path("timing").path("prepareNanos").asLong(),
                line.path("timing").path("switchNanos").asLong());
    }

    private static String after(JsonNode line) {
        return line.has("update")
                ? String.format(
                        Locale.ROOT, "after update %,d: ", line.path("update").asLong())
                : "";
    }

    private static Steps.Refusal refusal(JsonNode line) {
        return new Steps.Refusal(
                line.path("batch").asInt(),
                line.path("requestedBytes").asLong(),
                line.path("budgetBytes").asLong());
    }

    private static String resumption(JsonNode line) {
        Machine machine = Machine.of(line);
        return "resumed on " + line.path("device").asText() + (machine == null ? "" : " (" + machine.text() + ")");
    }

    /** Earlier versions recorded the largest only, and filled all but the last where they did not share equally. */
    private static List<Integer> sizes(JsonNode line) {
        if (!line.has("sizes")) {
            return MicroBatches.split(
                    line.path("batch").asInt(), line.path("microBatch").asInt());
        }
        List<Integer> sizes = new ArrayList<>();
        line.path("sizes").forEach(size -> sizes.add(size.asInt()));
        return sizes;
    }

    private static UpdateRecord update(JsonNode line) {
        return new UpdateRecord(
                line.path("update").asLong(),
                line.path("samples").asLong(),
                line.path("epoch").asDouble(),
                line.path("batch").asInt(),
                line.path("microBatch").asInt(),
                line.path("microBatches").asInt(),
                line.path("learningRate").asDouble(),
                line.path("momentum").asDouble(),
                line.path("noiseScale").asDouble(),
                line.path("loss").asDouble(),
                line.path("accuracy").asDouble(),
                line.path("timing").path("nanos").asLong(),
                line.path("workspaceBytes").asLong());
    }

    private static GradientNoiseRecord noise(JsonNode line) {
        return new GradientNoiseRecord(
                line.path("update").asLong(),
                line.path("epoch").asDouble(),
                line.path("batch").asInt(),
                line.path("microBatches").asInt(),
                new GradientNoise(
                        line.path("squaredGradient").asDouble(),
                        line.path("variance").asDouble()),
                new GradientNoiseMean(
                        line.path("meanSquaredGradient").asDouble(),
                        line.path("meanVariance").asDouble(),
                        line.path("estimates").asLong()));
    }

    private static EvaluationRecord evaluation(JsonNode line) {
        return new EvaluationRecord(
                line.path("update").asLong(),
                line.path("epoch").asDouble(),
                line.path("samples").asInt(),
                line.path("loss").asDouble(),
                line.path("accuracy").asDouble());
    }

    private static RunSummary summary(JsonNode head, JsonNode line) {
        return new RunSummary(
                head.path("schedule").asText(),
                head.path("seed").asLong(),
                line.path("epochs").asDouble(),
                line.path("updates").asLong(),
                line.path("trainLoss").asDouble(),
                line.path("testLoss").asDouble(),
                line.path("testAccuracy").asDouble(),
                line.path("timing").path("imagesPerSecond").asDouble(),
                line.path("timing").path("seconds").asDouble(),
                line.path("peakWorkspaceBytes").asLong());
    }
}
