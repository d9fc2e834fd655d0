package io.crescendo.cli.config;

import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import io.crescendo.schedule.PlanVariant;
import io.crescendo.schedule.RaggedEpoch;
import io.crescendo.schedule.TrainingPlan;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Everything that decides the numbers of a run; where it runs is decided by options.
 *
 * @param name of the run's folder
 * @param description one line for people
 * @param dataset a data set's name
 * @param trainingSamples N, so that plans need no data; taken from the data set if absent
 * @param model a network's name
 * @param epochs length of training
 * @param batch samples per update at the start, before any conversion
 * @param ghostBatch samples per batch-norm statistic
 * @param learningRate ε as it would decay at a fixed batch
 * @param momentum m, in [0, 1); sgd has none, whatever is stated
 * @param optimizer sgd, momentum, nesterov, adam, adamw, lars or lamb
 * @param weightDecay λ
 * @param decay which parameters decay: weights, or all
 * @param clipNorm longest the averaged gradient may be; any length if absent
 * @param labelSmoothing in [0, 1)
 * @param augmentation of training images
 * @param schedule what {@code train}, {@code plan --csv} and {@code plan --json} use: decaying, hybrid or increasing
 * @param batchCap largest batch that growth may reach; a tenth of the training set if absent
 * @param hybridSteps how many decays the hybrid schedule turns into growth
 * @param quantum grown batches are multiples of this; the engine's choice if absent
 * @param scaleLearningRate multiplies the learning rate and the batch (B ∝ ε)
 * @param raiseMomentum another momentum with the batch changed to match (B ∝ 1/(1−m)), or null
 * @param ragged drop or keep the samples at an epoch's end that fill no batch
 * @param evaluateEvery epochs between evaluations
 * @param measureGradientNoise updates from one measurement of the gradient noise scale to the next; none if absent
 * @param seed decides weights, order, augmentation and dropout
 */
@JsonPropertyOrder({"name", "description"})
public record RunConfig(
        String name,
        @Nullable String description,
        String dataset,
        @Nullable Long trainingSamples,
        String model,
        double epochs,
        long batch,
        int ghostBatch,
        LearningRateConfig learningRate,
        double momentum,
        String optimizer,
        double weightDecay,
        String decay,
        @Nullable Double clipNorm,
        double labelSmoothing,
        AugmentationConfig augmentation,
        String schedule,
        @Nullable Long batchCap,
        int hybridSteps,
        @Nullable Long quantum,
        double scaleLearningRate,
        @Nullable Double raiseMomentum,
        String ragged,
        double evaluateEvery,
        @Nullable Integer measureGradientNoise,
        long seed) {

    private static final String SGD = "sgd";
    private static final List<String> OPTIMIZERS =
            List.of(SGD, "momentum", "nesterov", "adam", "adamw", "lars", "lamb");
    private static final List<String> DECAYS = List.of("weights", "all");
    private static final List<String> RAGGED = List.of("drop", "keep");
    private static final List<String> SCHEDULES =
            Arrays.stream(PlanVariant.values()).map(PlanVariant::label).toList();

    /** Checks what can be checked without data; returns this. */
    RunConfig validated() {
        require("name", name);
        if (name.isBlank() || name.contains("/") || name.contains("\\") || name.startsWith(".")) {
            throw new InvalidKeyException("name", "is '" + name + "', which cannot name a folder");
        }
        require("dataset", dataset);
        require("model", model);
        require("learningRate", learningRate);
        require("augmentation", augmentation);
        positive("epochs", epochs);
        positive("batch", batch);
        positive("ghostBatch", ghostBatch);
        positive("evaluateEvery", evaluateEvery);
        positive("scaleLearningRate", scaleLearningRate);
        positive("trainingSamples", trainingSamples);
        positive("batchCap", batchCap);
        positive("quantum", quantum);
        positive("clipNorm", clipNorm);
        positive("measureGradientNoise", measureGradientNoise);
        momentum("momentum", momentum);
        momentum("raiseMomentum", raiseMomentum);
        finite("weightDecay", weightDecay);
        if (!(weightDecay >= 0)) {
            throw new InvalidKeyException("weightDecay", "must be at least 0, but is " + weightDecay);
        }
        if (!(labelSmoothing >= 0 && labelSmoothing < 1)) {
            throw new InvalidKeyException("labelSmoothing", "must be in [0, 1), but is " + labelSmoothing);
        }
        if (hybridSteps < 0) {
            throw new InvalidKeyException("hybridSteps", "must be at least 0, but is " + hybridSteps);
        }
        oneOf("optimizer", optimizer, OPTIMIZERS);
        if (optimizer.equals(SGD) && raiseMomentum != null) {
            throw new InvalidKeyException(
                    "raiseMomentum",
                    "is " + raiseMomentum + ", but the optimizer sgd has no momentum; choose momentum or nesterov, or"
                            + " remove the line");
        }
        oneOf("decay", decay, DECAYS);
        oneOf("ragged", ragged, RAGGED);
        oneOf("schedule", schedule, SCHEDULES);
        augmentation.validate();
        learningRate.validate(epochs);
        if (trainingSamples != null && batch > trainingSamples) {
            throw new InvalidKeyException(
                    "batch",
                    "is " + batch + ", which is more than the data set's " + trainingSamples
                            + " training samples; choose a smaller one");
        }
        return this;
    }

    /** The plan of one schedule for a training set of this many samples. */
    public TrainingPlan plan(PlanVariant variant, long samplesPerEpoch) {
        TrainingPlan base = TrainingPlan.of(
                        learningRate.toSchedule(epochs),
                        TrainingPlan.batch(batch),
                        TrainingPlan.momentum(optimizer.equals(SGD) ? 0 : momentum))
                .ragged(raggedEpoch())
                .scaleLearningRate(scaleLearningRate);
        if (raiseMomentum != null) {
            base = base.withMomentum(raiseMomentum);
        }
        if (quantum != null) {
            base = base.quantum(quantum);
        }
        long cap = batchCap != null ? batchCap : Math.max(1, samplesPerEpoch / 10);
        long first = base.firstBatch(samplesPerEpoch);
        try {
            base = base.forEpochs(epochs, samplesPerEpoch);
            if (variant == PlanVariant.HYBRID && hybridSteps != 1) {
                return base.hybrid(hybridSteps, cap);
            }
            return variant.of(base, cap);
        } catch (IllegalArgumentException e) {
            boolean capped = variant != PlanVariant.DECAYING && first > cap;
            List<String> keys = new ArrayList<>();
            if (capped && first <= samplesPerEpoch) {
                keys.add("batchCap is " + cap + (batchCap == null ? " by default" : ""));
            }
            if ((capped || first > samplesPerEpoch) && first > batch) {
                keys.addAll(keysThatEnlarge());
            }
            if (keys.isEmpty() && variant == PlanVariant.HYBRID && hybridSteps != 1) {
                keys.add("hybridSteps is " + hybridSteps);
            }
            throw keys.isEmpty() ? e : new IllegalArgumentException(String.join(", ", keys) + ": " + e.getMessage(), e);
        }
    }

    /** What makes the first batch larger than the stated one. */
    private List<String> keysThatEnlarge() {
        List<String> keys = new ArrayList<>();
        if (scaleLearningRate > 1) {
            keys.add("scaleLearningRate is " + scaleLearningRate);
        }
        if (raiseMomentum != null && raiseMomentum > momentum) {
            keys.add("raiseMomentum is " + raiseMomentum);
        }
        return keys;
    }

    /** The engine's form of {@link #ragged}. */
    public RaggedEpoch raggedEpoch() {
        return ragged.equals("keep") ? RaggedEpoch.KEEP : RaggedEpoch.DROP;
    }

    /** The schedule that {@code train} uses. */
    public PlanVariant variant() {
        return PlanVariant.named(schedule);
    }

    /** All keys, absent ones left out, as a file that can be read back. */
    public String toYaml() {
        return Yaml.write(this);
    }

    /** {@link #toYaml}, and behind it, as comments, what every key means, absent ones included. */
    public String toExplainedYaml() {
        return toYaml() + "\n" + Yaml.keys();
    }

    static void require(String key, @Nullable Object value) {
        if (value == null) {
            throw new InvalidKeyException(key, "is missing; state it, or start from a preset with --preset NAME");
        }
    }

    /** What a file cannot say by a name it may by a number such as 1e400. */
    static void finite(String key, double value) {
        if (Double.isInfinite(value)) {
            throw new InvalidKeyException(key, "must be finite, but is beyond the largest number, " + Double.MAX_VALUE);
        }
    }

    private static void positive(String key, @Nullable Number value) {
        if (value == null) {
            return;
        }
        finite(key, value.doubleValue());
        if (!(value.doubleValue() > 0)) {
            throw new InvalidKeyException(key, "must be positive, but is " + value);
        }
    }

    private static void momentum(String key, @Nullable Double value) {
        if (value != null && !(value >= 0 && value < 1)) {
            throw new InvalidKeyException(
                    key, "must be in [0, 1), but is " + value + "; use 0 for none, 0.9 is common");
        }
    }

    private static void oneOf(String key, @Nullable String value, List<String> known) {
        if (value == null || !known.contains(value)) {
            throw new InvalidKeyException(
                    key,
                    "is '" + value + "', which is unknown"
                            + Suggestion.didYouMean(String.valueOf(value), known) + " Known: "
                            + String.join(", ", known));
        }
    }
}
