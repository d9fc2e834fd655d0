package io.crescendo.train;

import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.metrics.GradientNoiseMean;
import io.crescendo.schedule.PlannedUpdate;
import io.crescendo.schedule.Progress;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * What a run must remember beside the numbers of its model, to go on as if it had never stopped.
 *
 * @param samples on the clock
 * @param samplesPerEpoch size of the training set
 * @param updates made
 * @param announced the phase that was announced last
 * @param evaluation the last one, or null
 * @param totals over updates
 * @param seconds the run has taken
 * @param workspaceBytes the arena held
 * @param peakWorkspaceBytes the most it ever held
 * @param noise means of the gradient's noise, where it is measured
 */
record RunState(
        long samples,
        long samplesPerEpoch,
        long updates,
        Announced announced,
        @Nullable EvaluationRecord evaluation,
        PendingUpdates.Totals totals,
        double seconds,
        long workspaceBytes,
        long peakWorkspaceBytes,
        GradientNoiseMean noise) {

    /** Of a run that has not begun. */
    static final RunState BEGINNING =
            new RunState(0, 1, 0, Announced.NOTHING, null, PendingUpdates.Totals.NONE, 0, 0, 0, GradientNoiseMean.NONE);

    /**
     * What makes a phase another one.
     *
     * @param batch scheduled samples per update, 0 before the first phase
     * @param sizes of its micro-batches; empty, as what follows, where an earlier version did not write it down
     * @param recomputation what they compute twice
     * @param workspaceBytes what it holds of the workspace
     */
    record Announced(int batch, List<Integer> sizes, String recomputation, long workspaceBytes) {
        static final Announced NOTHING = new Announced(0, List.of(), "", 0);

        static Announced of(PlannedUpdate planned, Step step) {
            return new Announced(
                    Math.toIntExact(planned.phase().batch()),
                    step.sizes(),
                    step.recomputation().name(),
                    step.workspaceBytes());
        }

        private static Announced of(Map<String, String> texts) {
            int batch = read(texts, "phaseBatch", Integer::parseInt);
            return texts.getOrDefault("phaseSizes", "").isEmpty()
                    ? new Announced(batch, List.of(), "", 0)
                    : new Announced(
                            batch,
                            read(texts, "phaseSizes", RunState::numbers),
                            texts.getOrDefault("phaseRecomputation", ""),
                            read(texts, "phaseWorkspaceBytes", Long::parseLong));
        }
    }

    double epochs() {
        return new Progress(samples, updates, samplesPerEpoch).epochs();
    }

    Map<String, String> toTexts() {
        Map<String, String> texts = new LinkedHashMap<>();
        texts.put("samples", Long.toString(samples));
        texts.put("samplesPerEpoch", Long.toString(samplesPerEpoch));
        texts.put("updates", Long.toString(updates));
        texts.put("phaseBatch", Integer.toString(announced.batch()));
        texts.put("phaseSizes", announced.sizes().stream().map(String::valueOf).collect(Collectors.joining(" ")));
        texts.put("phaseRecomputation", announced.recomputation());
        texts.put("phaseWorkspaceBytes", Long.toString(announced.workspaceBytes()));
        if (evaluation != null) {
            texts.put("evaluation.update", Long.toString(evaluation.update()));
            texts.put("evaluation.epoch", Double.toString(evaluation.epoch()));
            texts.put("evaluation.samples", Integer.toString(evaluation.samples()));
            texts.put("evaluation.loss", Double.toString(evaluation.loss()));
            texts.put("evaluation.accuracy", Double.toString(evaluation.accuracy()));
        }
        texts.put("totals.epoch", Long.toString(totals.epoch()));
        texts.put("totals.epochLoss", Double.toString(totals.epochLoss()));
        texts.put("totals.epochSamples", Long.toString(totals.epochSamples()));
        texts.put("totals.lastLoss", Double.toString(totals.lastLoss()));
        texts.put("totals.samples", Long.toString(totals.samples()));
        texts.put("totals.nanos", Long.toString(totals.nanos()));
        texts.put("seconds", Double.toString(seconds));
        texts.put("workspaceBytes", Long.toString(workspaceBytes));
        texts.put("peakWorkspaceBytes", Long.toString(peakWorkspaceBytes));
        if (noise.estimates() > 0) {
            texts.put("gradientNoise.squaredGradient", Double.toString(noise.squaredGradient()));
            texts.put("gradientNoise.variance", Double.toString(noise.variance()));
            texts.put("gradientNoise.estimates", Long.toString(noise.estimates()));
        }
        return texts;
    }

    /** @throws IllegalArgumentException naming the text that is missing or no number */
    static RunState of(Map<String, String> texts) {
        boolean evaluated = texts.containsKey("evaluation.update");
        return new RunState(
                read(texts, "samples", Long::parseLong),
                read(texts, "samplesPerEpoch", Long::parseLong),
                read(texts, "updates", Long::parseLong),
                Announced.of(texts),
                evaluated
                        ? new EvaluationRecord(
                                read(texts, "evaluation.update", Long::parseLong),
                                read(texts, "evaluation.epoch", Double::parseDouble),
                                read(texts, "evaluation.samples", Integer::parseInt),
                                read(texts, "evaluation.loss", Double::parseDouble),
                                read(texts, "evaluation.accuracy", Double::parseDouble))
                        : null,
                new PendingUpdates.Totals(
                        read(texts, "totals.epoch", Long::parseLong),
                        read(texts, "totals.epochLoss", Double::parseDouble),
                        read(texts, "totals.epochSamples", Long::parseLong),
                        read(texts, "totals.lastLoss", Double::parseDouble),
                        read(texts, "totals.samples", Long::parseLong),
                        read(texts, "totals.nanos", Long::parseLong)),
                read(texts, "seconds", Double::parseDouble),
                read(texts, "workspaceBytes", Long::parseLong),
                read(texts, "peakWorkspaceBytes", Long::parseLong),
                texts.containsKey("gradientNoise.estimates")
                        ? new GradientNoiseMean(
                                read(texts, "gradientNoise.squaredGradient", Double::parseDouble),
                                read(texts, "gradientNoise.variance", Double::parseDouble),
                                read(texts, "gradientNoise.estimates", Long::parseLong))
                        : GradientNoiseMean.NONE);
    }

    private static List<Integer> numbers(String text) {
        return Arrays.stream(text.split(" ", -1)).map(Integer::valueOf).toList();
    }

    private static <T> T read(Map<String, String> texts, String key, Function<String, T> parse) {
        String text = texts.get(key);
        if (text == null) {
            throw new IllegalArgumentException("it does not say '" + key + "'");
        }
        try {
            return parse.apply(text);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("its '" + key + "' is '" + text + "', which is no number", e);
        }
    }
}
