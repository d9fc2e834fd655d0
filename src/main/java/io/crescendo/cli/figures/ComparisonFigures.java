package io.crescendo.cli.figures;

import io.crescendo.cli.run.PhaseTable;
import io.crescendo.cli.run.RunLog;
import io.crescendo.metrics.UpdateRecord;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;

/** The figures of one or several runs. */
public final class ComparisonFigures {
    /** Points per epoch of the smoothed loss; more would only make the files larger. */
    private static final int POINTS_PER_EPOCH = 10;

    /** From this ratio between the longest and the shortest run on, a linear axis of updates hides the short one. */
    private static final double LOGARITHMIC_FROM = 6;

    private ComparisonFigures() {}

    /** Schedules, training loss and test accuracy; figures for which nothing was recorded are left out. */
    public static List<Figure> of(List<RunLog> runs) {
        List<RunLog> trained =
                runs.stream().filter(run -> !run.updates().isEmpty()).toList();
        if (trained.isEmpty()) {
            return List.of();
        }
        boolean logUpdates = logarithmic(trained);
        String updatesLabel = "parameter updates" + (logUpdates ? " (logarithmic)" : "");
        Panel batch = new Panel(
                "Batch", "epoch", "batch (samples per update)", false, true, steps(trained, UpdateRecord::batch));
        List<Figure> figures = new ArrayList<>();
        figures.add(Figure.of(
                "schedules",
                "Learning rate and batch against epochs: one noise scale, reached in different ways.",
                List.of(
                        new Panel(
                                "Learning rate",
                                "epoch",
                                "learning rate",
                                false,
                                true,
                                steps(trained, UpdateRecord::learningRate)),
                        batch)));
        figures.add(Figure.of(
                "training-loss",
                "Training loss (running mean over one epoch) against epochs and against parameter updates.",
                List.of(
                        new Panel(
                                "Training loss against epochs",
                                "epoch",
                                "training loss",
                                false,
                                true,
                                each(trained, run -> loss(run, false))),
                        new Panel(
                                "Training loss against updates",
                                updatesLabel,
                                "training loss",
                                logUpdates,
                                true,
                                each(trained, run -> loss(run, true))))));
        List<RunLog> evaluated =
                trained.stream().filter(run -> !run.evaluations().isEmpty()).toList();
        if (!evaluated.isEmpty()) {
            figures.add(Figure.of(
                    "test-accuracy",
                    "Test accuracy against epochs and against parameter updates.",
                    List.of(
                            new Panel(
                                    "Test accuracy against epochs",
                                    "epoch",
                                    "test accuracy, %",
                                    false,
                                    false,
                                    each(evaluated, run -> accuracy(run, false))),
                            new Panel(
                                    "Test accuracy against updates",
                                    updatesLabel,
                                    "test accuracy, %",
                                    logUpdates,
                                    false,
                                    each(evaluated, run -> accuracy(run, true))))));
        }
        List<Curve> noise = each(trained, ComparisonFigures::gradientNoise).stream()
                .filter(curve -> !curve.points().isEmpty())
                .toList();
        if (!noise.isEmpty()) {
            figures.add(Figure.of(
                    "gradient-noise",
                    "Gradient noise scale tr Σ/|G|² (McCandlish et al. 2018), running mean, beside the batch.",
                    List.of(
                            new Panel(
                                    "Gradient noise scale",
                                    "epoch",
                                    "gradient noise scale (samples)",
                                    false,
                                    true,
                                    noise),
                            batch)));
        }
        List<Curve> throughput = perBatch(trained, PhaseTable.Phase::imagesPerSecond);
        if (!throughput.isEmpty()) {
            figures.add(Figure.of(
                    "batch-cost",
                    "What each phase's batch cost: throughput of training, and memory of the workspace."
                            + shownSeeds(trained),
                    List.of(
                            new Panel(
                                    "Throughput against batch",
                                    "batch (samples per update)",
                                    "training images/s",
                                    true,
                                    false,
                                    true,
                                    throughput),
                            new Panel(
                                    "Workspace against batch",
                                    "batch (samples per update)",
                                    "workspace, MiB",
                                    true,
                                    false,
                                    true,
                                    perBatch(trained, phase -> phase.start().workspaceBytes() / (double) (1 << 20))))));
        }
        return figures;
    }

    private static List<Curve> each(List<RunLog> runs, Function<RunLog, List<Curve.Point>> points) {
        return runs.stream()
                .map(run -> new Curve(run.label(), points.apply(run)))
                .toList();
    }

    /** The first run of each schedule, for what is the same whatever the seed. */
    private static List<RunLog> firstOfEach(List<RunLog> runs) {
        Map<String, RunLog> first = new LinkedHashMap<>();
        runs.forEach(run -> first.putIfAbsent(run.label(), run));
        return List.copyOf(first.values());
    }

    /** Where it is known and positive; a logarithmic axis has no place for anything else. */
    private static List<Curve.Point> gradientNoise(RunLog run) {
        return run.gradientNoise().stream()
                .filter(noise ->
                        noise.mean().scale() > 0 && Double.isFinite(noise.mean().scale()))
                .map(noise -> new Curve.Point(noise.epoch(), noise.mean().scale()))
                .toList();
    }

    /** Which seeds {@link #perBatch} shows where there are others. */
    private static String shownSeeds(List<RunLog> runs) {
        List<RunLog> shown = firstOfEach(runs);
        return shown.size() == runs.size()
                ? ""
                : shown.stream()
                        .map(run -> run.label() + " with seed " + run.seed())
                        .collect(Collectors.joining(", ", " Shown: ", "."));
    }

    /** A quantity of each phase against its batch; phases without an update say nothing. One curve per schedule. */
    private static List<Curve> perBatch(List<RunLog> runs, ToDoubleFunction<PhaseTable.Phase> quantity) {
        List<Curve> curves = new ArrayList<>();
        List<String> drawn = new ArrayList<>();
        for (RunLog run : runs) {
            List<Curve.Point> points = PhaseTable.of(run).stream()
                    .filter(phase -> !phase.updates().isEmpty() && quantity.applyAsDouble(phase) > 0)
                    .map(phase -> new Curve.Point(phase.start().batch(), quantity.applyAsDouble(phase)))
                    .sorted(Comparator.comparingDouble(Curve.Point::x))
                    .toList();
            if (!points.isEmpty() && !drawn.contains(run.label())) {
                drawn.add(run.label());
                curves.add(new Curve(run.label(), points));
            }
        }
        return curves;
    }

    private static boolean logarithmic(List<RunLog> runs) {
        double longest =
                runs.stream().mapToDouble(run -> run.updates().size()).max().orElse(1);
        double shortest =
                runs.stream().mapToDouble(run -> run.updates().size()).min().orElse(1);
        return longest / shortest >= LOGARITHMIC_FROM;
    }

    /** A scheduled quantity, with corners where it jumps. Runs that differ only by their seed share one curve. */
    private static List<Curve> steps(List<RunLog> runs, ToDoubleFunction<UpdateRecord> quantity) {
        return each(firstOfEach(runs), run -> steps(run, quantity));
    }

    private static List<Curve.Point> steps(RunLog run, ToDoubleFunction<UpdateRecord> quantity) {
        List<Curve.Point> points = new ArrayList<>();
        double start = 0;
        double previous = Double.NaN;
        // A ragged end of an epoch is not a change of the schedule.
        long scheduled = 0;
        for (int i = 0; i < run.updates().size(); i++) {
            UpdateRecord update = run.updates().get(i);
            boolean ragged = update.batch() < scheduled;
            if (!ragged) {
                scheduled = update.batch();
                double value = quantity.applyAsDouble(update);
                if (value != previous) {
                    if (!points.isEmpty()) {
                        points.add(new Curve.Point(start, previous));
                    }
                    points.add(new Curve.Point(start, value));
                    previous = value;
                }
            }
            start = update.epoch();
        }
        points.add(new Curve.Point(start, previous));
        return points;
    }

    /** Mean loss over the last epoch's worth of samples, a few times per epoch. */
    private static List<Curve.Point> loss(RunLog run, boolean againstUpdates) {
        List<Curve.Point> points = new ArrayList<>();
        List<UpdateRecord> updates = run.updates();
        double sum = 0;
        long samples = 0;
        int oldest = 0;
        long nextPoint = 1;
        for (int i = 0; i < updates.size(); i++) {
            UpdateRecord update = updates.get(i);
            sum += update.loss() * update.batch();
            samples += update.batch();
            // Shorter at the start, where the loss falls so fast that a mean over an epoch says little.
            double window = Math.min(1, update.epoch() / 2);
            while (updates.get(oldest).epoch() <= update.epoch() - window) {
                sum -= updates.get(oldest).loss() * updates.get(oldest).batch();
                samples -= updates.get(oldest).batch();
                oldest++;
            }
            if (update.epoch() * POINTS_PER_EPOCH >= nextPoint || i == updates.size() - 1) {
                points.add(new Curve.Point(againstUpdates ? update.update() : update.epoch(), sum / samples));
                nextPoint = (long) Math.floor(update.epoch() * POINTS_PER_EPOCH) + 1;
            }
        }
        return points;
    }

    private static List<Curve.Point> accuracy(RunLog run, boolean againstUpdates) {
        return run.evaluations().stream()
                .map(evaluation -> new Curve.Point(
                        againstUpdates ? evaluation.update() : evaluation.epoch(), 100 * evaluation.accuracy()))
                .toList();
    }
}
