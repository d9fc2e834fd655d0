package io.crescendo.cli.run;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.crescendo.cli.config.RunConfig;
import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.metrics.GradientNoiseRecord;
import io.crescendo.metrics.PhaseRecord;
import io.crescendo.metrics.RunSummary;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.train.Checkpoint;
import io.crescendo.train.Steps;
import io.crescendo.train.TrainingListener;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import org.jspecify.annotations.Nullable;

/**
 * The file {@code metrics.jsonl} of a run while it is written: one JSON object per line, each line flushed, so that the
 * file is whole whenever the program ends.
 *
 * <p>Each line's {@code type}, and what else it says (sizes in samples or bytes, losses as means per sample, accuracies
 * as shares of 1; {@code update} counts updates made, {@code epoch} may be fractional):
 *
 * <pre>
 * run            first line: format, name, schedule, seed, dataset, model, crescendo, commit, java, system,
 *                processors, device, options (what was asked for: device, threads, precision, graphs, deterministic,
 *                and memoryBudgetBytes or memoryBudgetShare if stated); timing: started
 * phase          another batch, or the same in other pieces, begins: update, epoch, batch, microBatch (the largest),
 *                microBatches, sizes (of each micro-batch), recomputation (what is computed twice to save memory),
 *                ghostBatch, learningRate, momentum, noiseScale, workspaceBytes; timing: prepareNanos, switchNanos
 * memoryRefused  the device gave less than the plan asked for: update, batch, requestedBytes, budgetBytes
 * update         update, samples (of all updates so far), epoch, batch (the samples it really has), microBatch,
 *                microBatches, learningRate, momentum, noiseScale (for that batch), loss, accuracy, workspaceBytes;
 *                timing: nanos
 * gradientNoise  update, epoch, batch, microBatches, squaredGradient, variance; meanSquaredGradient, meanVariance,
 *                estimates, scale (absent until it is finite)
 * evaluation     on the test set: update, epoch, samples, loss, accuracy
 * resumed        the run goes on from a checkpoint: update, device, options; timing: started
 * summary        last line, absent from a run that was killed: epochs, updates, trainLoss, testLoss, testAccuracy,
 *                peakWorkspaceBytes, interrupted; timing: seconds, imagesPerSecond
 * </pre>
 *
 * <p>Whatever may differ between two runs with one seed stands in the object {@code timing} of its line; without it two
 * such files are equal.
 */
public final class MetricsFile implements TrainingListener, AutoCloseable {
    /** The file's name in a run's folder. */
    public static final String NAME = "metrics.jsonl";

    private static final ObjectMapper MAPPER = new ObjectMapper();

    private final Path path;
    private final BufferedWriter writer;
    /** Those recorded. */
    private long updates;

    private MetricsFile(Path path, BufferedWriter writer) {
        this.path = path;
        this.writer = writer;
    }

    /**
     * Goes on with the file of a run that goes on from a checkpoint: what was recorded after it is cut off, since it
     * will be recorded again.
     */
    static MetricsFile resume(
            Path folder, RunConfig config, String schedule, Environment environment, Machine machine, Checkpoint from)
            throws IOException {
        Path path = folder.resolve(NAME);
        if (!Files.exists(path)) {
            return create(folder, config, schedule, environment, machine);
        }
        StringBuilder kept = new StringBuilder();
        for (String text : Files.readAllLines(path)) {
            JsonNode line = parsed(text);
            if (line == null) {
                break;
            }
            if (isBefore(line, from)) {
                kept.append(text).append('\n');
            }
        }
        Path temporary = folder.resolve("." + NAME + ".new");
        Files.writeString(temporary, kept);
        Files.move(temporary, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        MetricsFile file = new MetricsFile(path, Files.newBufferedWriter(path, StandardOpenOption.APPEND));
        file.updates = from.updates();
        ObjectNode line = file.line("resumed");
        line.put("update", from.updates());
        line.put("device", environment.device());
        machine.writeTo(line);
        line.putObject("timing")
                .put("started", Instant.now().truncatedTo(ChronoUnit.SECONDS).toString());
        file.append(line);
        return file;
    }

    /** A line that was read back, or null if it is not whole: the machine failed while it was written. */
    static @Nullable JsonNode parsed(String line) {
        try {
            return MAPPER.readTree(line);
        } catch (JsonProcessingException e) {
            return null;
        }
    }

    private static boolean isBefore(JsonNode line, Checkpoint checkpoint) {
        long update = line.path("update").asLong();
        return switch (line.path("type").asText()) {
            // A phase names the update before it, and an evaluation of an interrupted run was out of turn.
            case "phase" -> update < checkpoint.updates();
            case "evaluation" -> update <= checkpoint.lastEvaluation();
            case "summary" -> false;
            default -> update <= checkpoint.updates();
        };
    }

    /** Starts the file with its first line. */
    public static MetricsFile create(
            Path folder, RunConfig config, String schedule, Environment environment, Machine machine)
            throws IOException {
        Path path = folder.resolve(NAME);
        MetricsFile file = new MetricsFile(path, Files.newBufferedWriter(path));
        ObjectNode line = file.line("run");
        line.put("format", 1);
        line.put("name", config.name());
        line.put("schedule", schedule);
        line.put("seed", config.seed());
        line.put("dataset", config.dataset());
        line.put("model", config.model());
        line.put("crescendo", environment.crescendo());
        line.put("commit", environment.commit());
        line.put("java", environment.java());
        line.put("system", environment.system());
        line.put("processors", environment.processors());
        line.put("device", environment.device());
        machine.writeTo(line);
        line.putObject("timing")
                .put("started", Instant.now().truncatedTo(ChronoUnit.SECONDS).toString());
        file.append(line);
        return file;
    }

    @Override
    public void phaseStarted(PhaseRecord phase) {
        ObjectNode line = line("phase");
        line.put("update", phase.update());
        line.put("epoch", phase.epoch());
        line.put("batch", phase.batch());
        line.put("microBatch", phase.microBatch());
        line.put("microBatches", phase.microBatches());
        phase.sizes().forEach(line.putArray("sizes")::add);
        line.put("recomputation", phase.recomputation());
        line.put("ghostBatch", phase.ghostBatch());
        line.put("learningRate", phase.learningRate());
        line.put("momentum", phase.momentum());
        line.put("noiseScale", phase.noiseScale());
        line.put("workspaceBytes", phase.workspaceBytes());
        line.putObject("timing").put("prepareNanos", phase.prepareNanos()).put("switchNanos", phase.switchNanos());
        append(line);
    }

    @Override
    public void memoryRefused(Steps.Refusal refusal) {
        ObjectNode line = line("memoryRefused");
        line.put("update", updates);
        line.put("batch", refusal.batch());
        line.put("requestedBytes", refusal.requestedBytes());
        line.put("budgetBytes", refusal.budgetBytes());
        append(line);
    }

    @Override
    public void updated(UpdateRecord update) {
        updates = update.update();
        ObjectNode line = line("update");
        line.put("update", update.update());
        line.put("samples", update.samples());
        line.put("epoch", update.epoch());
        line.put("batch", update.batch());
        line.put("microBatch", update.microBatch());
        line.put("microBatches", update.microBatches());
        line.put("learningRate", update.learningRate());
        line.put("momentum", update.momentum());
        line.put("noiseScale", update.noiseScale());
        line.put("loss", update.loss());
        line.put("accuracy", update.accuracy());
        line.put("workspaceBytes", update.workspaceBytes());
        line.putObject("timing").put("nanos", update.nanos());
        append(line);
    }

    /** {@code scale} is the means' ratio tr Σ / |G|², absent while the mean of |G|² is not positive. */
    @Override
    public void gradientNoiseMeasured(GradientNoiseRecord noise) {
        ObjectNode line = line("gradientNoise");
        line.put("update", noise.update());
        line.put("epoch", noise.epoch());
        line.put("batch", noise.batch());
        line.put("microBatches", noise.microBatches());
        line.put("squaredGradient", noise.estimate().squaredGradient());
        line.put("variance", noise.estimate().variance());
        line.put("meanSquaredGradient", noise.mean().squaredGradient());
        line.put("meanVariance", noise.mean().variance());
        line.put("estimates", noise.mean().estimates());
        if (Double.isFinite(noise.mean().scale())) {
            line.put("scale", noise.mean().scale());
        }
        append(line);
    }

    @Override
    public void evaluated(EvaluationRecord evaluation) {
        ObjectNode line = line("evaluation");
        line.put("update", evaluation.update());
        line.put("epoch", evaluation.epoch());
        line.put("samples", evaluation.samples());
        line.put("loss", evaluation.loss());
        line.put("accuracy", evaluation.accuracy());
        append(line);
    }

    /** Appends the summary. */
    public void finished(RunSummary summary, boolean interrupted) {
        ObjectNode line = line("summary");
        line.put("epochs", summary.epochs());
        line.put("updates", summary.updates());
        line.put("trainLoss", summary.trainLoss());
        line.put("testLoss", summary.testLoss());
        line.put("testAccuracy", summary.testAccuracy());
        line.put("peakWorkspaceBytes", summary.peakWorkspaceBytes());
        line.put("interrupted", interrupted);
        line.putObject("timing").put("seconds", summary.seconds()).put("imagesPerSecond", summary.imagesPerSecond());
        append(line);
    }

    private ObjectNode line(String type) {
        return MAPPER.createObjectNode().put("type", type);
    }

    private synchronized void append(ObjectNode line) {
        try {
            writer.write(MAPPER.writeValueAsString(line) + "\n");
            writer.flush();
        } catch (IOException e) {
            throw new UncheckedIOException(path + " cannot be written", e);
        }
    }

    @Override
    public void close() throws IOException {
        writer.close();
    }
}
