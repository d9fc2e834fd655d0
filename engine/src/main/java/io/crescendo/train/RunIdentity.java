package io.crescendo.train;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.crescendo.autograd.Program;
import io.crescendo.data.Augmentation;
import io.crescendo.data.Dataset;
import io.crescendo.data.Normalization;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import io.crescendo.schedule.Phase;
import io.crescendo.schedule.Progress;
import io.crescendo.schedule.TrainingPlan;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * Everything that decides the numbers of a run, as texts that can be compared one by one. Device, threads and memory
 * budget are not among them.
 *
 * @param texts in the order in which differences are worth naming
 */
record RunIdentity(Map<String, String> texts) {
    /** Moments at which a plan is looked at beyond its table, which shows a smooth schedule's ends only. */
    private static final int MOMENTS = 1000;

    private static final String PLAN = "plan";

    static RunIdentity of(
            Network network,
            TrainingPlan plan,
            Optimizer optimizer,
            Dataset training,
            Dataset test,
            Normalization normalization,
            Augmentation augmentation,
            TrainingOptions options) {
        Map<String, String> texts = new LinkedHashMap<>();
        texts.put("model", network.name());
        texts.put("training data", describe(training));
        texts.put("test data", describe(test));
        texts.put("normalization", normalization.toString());
        texts.put("epochs", Double.toString(plan.epochs()));
        texts.put("ragged", plan.raggedEpoch().toString().toLowerCase(Locale.ROOT));
        texts.put(PLAN, plan.table().csv());
        texts.put("plan's fingerprint", fingerprint(plan));
        texts.put("optimizer", optimizer.rule().toString());
        texts.put("weight decay", optimizer.weightDecay() + " on " + optimizer.decay());
        texts.put("gradient clipping", Double.toString(optimizer.clipNorm()));
        texts.put("augmentation", augmentation.toString());
        texts.put("ghost batch", Integer.toString(options.ghostBatch()));
        texts.put("label smoothing", Double.toString(options.labelSmoothing()));
        texts.put("epochs between evaluations", Double.toString(options.evaluateEveryEpochs()));
        texts.put("seed", Long.toString(options.seed()));
        texts.put("network", operations(network, options.ghostBatch()));
        return new RunIdentity(texts);
    }

    private static String describe(Dataset data) {
        return data.name() + ", " + data.size() + " images " + data.shape() + " of " + data.classes() + " classes";
    }

    /**
     * The forward pass, an operation per line: the same name and parameters may still mean another rate of dropout, a
     * moved ReLU or another window.
     */
    private static String operations(Network network, int ghostBatch) {
        // Without fusions, which depend on the device.
        Program program = network.trainingProgram(ghostBatch, ghostBatch, 0, Set.of());
        return IntStream.range(0, program.forwardOps())
                .mapToObj(program::describe)
                .collect(Collectors.joining("\n"));
    }

    private static String fingerprint(TrainingPlan plan) {
        CRC32C crc = new CRC32C();
        for (int moment = 0; moment < MOMENTS; moment++) {
            Phase phase = plan.at(Progress.atEpoch(plan.epochs() * moment / MOMENTS, plan.samplesPerEpoch()));
            crc.update(phase.toString().getBytes(UTF_8));
        }
        return Long.toHexString(crc.getValue());
    }

    /** @throws IllegalArgumentException naming the first difference */
    void requireSame(String file, Map<String, String> saved) {
        texts.forEach((key, own) -> {
            String other = saved.get(key);
            if (!own.equals(other)) {
                throw new IllegalArgumentException(file + ": belongs to another run. " + difference(key, other, own));
            }
        });
    }

    private static String difference(String key, @Nullable String other, String own) {
        if (other == null) {
            return "It does not say its " + key;
        }
        List<String> others = other.lines().toList();
        List<String> owns = own.lines().toList();
        for (int line = 0; line < Math.max(others.size(), owns.size()); line++) {
            String there = line < others.size() ? others.get(line) : "nothing more";
            String here = line < owns.size() ? owns.get(line) : "nothing more";
            if (!Objects.equals(there, here)) {
                return "Its " + key + " is '" + there + "', this run's is '" + here + "'"
                        + (key.equals(PLAN) ? " (line " + (line + 1) + ", after " + owns.get(0) + ")" : "");
            }
        }
        return "Its " + key + " differs";
    }
}
