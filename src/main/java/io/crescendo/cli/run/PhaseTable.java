package io.crescendo.cli.run;

import io.crescendo.memory.Recomputation;
import io.crescendo.metrics.GradientNoiseMean;
import io.crescendo.metrics.GradientNoiseRecord;
import io.crescendo.metrics.PhaseRecord;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.schedule.PlanTable;
import io.crescendo.train.Steps;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/** What each phase of a run was and cost, for people. */
public final class PhaseTable {
    private static final List<String> HEADER = List.of(
            "schedule",
            "epoch",
            "batch",
            "ghost batch",
            "learning rate",
            "momentum",
            "noise scale",
            "updates",
            "images/s",
            "workspace",
            "switch",
            "first update");

    /** Updates of which the median is not the first. */
    private static final int LEAST_FOR_A_MEDIAN = 3;

    private PhaseTable() {}

    /** The table's cells, header first. Of runs that differ only by their seed the first is shown. */
    public static List<List<String>> cells(List<RunLog> runs) {
        List<List<String>> lines = new ArrayList<>();
        boolean measured = runs.stream().anyMatch(run -> !run.gradientNoise().isEmpty());
        lines.add(measured ? with(HEADER, "gradient noise scale") : HEADER);
        List<String> shown = new ArrayList<>();
        for (RunLog run : runs) {
            if (!shown.contains(run.label())) {
                shown.add(run.label());
                String label = run.label() + shownSeed(runs, run);
                Phase before = null;
                for (Phase phase : of(run)) {
                    List<String> cells = with(cells(label, phase), surplus(phase, before));
                    before = phase;
                    lines.add(measured ? with(cells, scale(phase.lastNoise())) : cells);
                }
            }
        }
        return lines;
    }

    /** Which seed is shown where there are several, in words behind a comma; otherwise nothing. */
    private static String shownSeed(List<RunLog> runs, RunLog shown) {
        return runs.stream().filter(run -> run.label().equals(shown.label())).count() > 1
                ? ", seed " + shown.seed()
                : "";
    }

    private static List<String> with(List<String> cells, String last) {
        List<String> more = new ArrayList<>(cells);
        more.add(last);
        return more;
    }

    /** The gradient noise scale in samples, or what is known of it. */
    static String scale(GradientNoiseMean mean) {
        double scale = mean.scale();
        if (Double.isNaN(scale)) {
            return "-";
        }
        return Double.isInfinite(scale) ? "above all batches" : String.format(Locale.ROOT, "%,.0f", scale);
    }

    /** The table for a terminal, without a line break at the end. */
    public static String text(List<RunLog> runs) {
        return Columns.text(cells(runs));
    }

    /** A phase that begins, in one line. */
    static String line(PhaseRecord phase) {
        return String.format(
                Locale.ROOT,
                "batch %s, ghost batch %d, learning rate %s, momentum %s, noise scale %s, workspace %s," + " switch %s",
                batch(phase),
                phase.ghostBatch(),
                PlanTable.number(phase.learningRate()),
                PlanTable.number(phase.momentum()),
                PlanTable.number(phase.noiseScale()),
                Columns.mebibytes(phase.workspaceBytes()),
                millis(phase.switchNanos()));
    }

    /** Memory that was not to be had, in one line. */
    static String line(Steps.Refusal refusal) {
        return String.format(
                Locale.ROOT,
                "batch %,d: the device refused %s; going on in smaller pieces within %s",
                refusal.batch(),
                Columns.mebibytes(refusal.requestedBytes()),
                Columns.mebibytes(refusal.budgetBytes()));
    }

    /**
     * A phase with what became of it.
     *
     * @param start as it was announced
     * @param updates made in it
     * @param gradientNoise measured in it
     */
    public record Phase(PhaseRecord start, List<UpdateRecord> updates, List<GradientNoiseRecord> gradientNoise) {
        /** Means of the gradient's noise at the phase's end. */
        GradientNoiseMean lastNoise() {
            return gradientNoise.isEmpty()
                    ? GradientNoiseMean.NONE
                    : gradientNoise.get(gradientNoise.size() - 1).mean();
        }

        /** Without the ragged ends of epochs, whose noise scale is no part of the schedule. */
        Phase whole() {
            return new Phase(
                    start,
                    updates.stream().filter(u -> u.batch() == start.batch()).toList(),
                    gradientNoise);
        }

        /** Of its updates' times; those of one at least must be known. */
        private double medianNanos() {
            long[] nanos =
                    updates.stream().mapToLong(UpdateRecord::nanos).sorted().toArray();
            return (nanos[(nanos.length - 1) / 2] + nanos[nanos.length / 2]) / 2.0;
        }

        /** What the first update took more than the median, the switch included; NaN where a median says little. */
        double firstSurplusNanos() {
            return updates.size() < LEAST_FOR_A_MEDIAN
                    ? Double.NaN
                    : updates.get(0).nanos() - medianNanos();
        }

        /** Samples of all updates by the time they took, the switch excluded; NaN without updates. */
        public double imagesPerSecond() {
            double samples = updates.stream().mapToDouble(UpdateRecord::batch).sum();
            double nanos = updates.stream().mapToLong(UpdateRecord::nanos).sum();
            // The switch is part of the first update's time.
            double steady = nanos - Math.min((double) start.switchNanos(), nanos / 2);
            return updates.isEmpty() ? Double.NaN : samples / (steady * 1e-9);
        }
    }

    /** The phases of a run with their updates. */
    public static List<Phase> of(RunLog run) {
        List<Phase> phases = new ArrayList<>();
        for (int i = 0; i < run.phases().size(); i++) {
            long first = run.phases().get(i).update();
            long end = i + 1 < run.phases().size() ? run.phases().get(i + 1).update() : Long.MAX_VALUE;
            phases.add(new Phase(
                    run.phases().get(i),
                    run.updates().stream()
                            .filter(u -> u.update() > first && u.update() <= end)
                            .toList(),
                    run.gradientNoise().stream()
                            .filter(n -> n.update() > first && n.update() <= end)
                            .toList()));
        }
        return phases;
    }

    private static List<String> cells(String schedule, Phase phase) {
        PhaseRecord start = phase.start();
        return List.of(
                schedule,
                PlanTable.number(start.epoch()),
                batch(start),
                Integer.toString(start.ghostBatch()),
                range(start.learningRate(), phase, UpdateRecord::learningRate),
                range(start.momentum(), phase, UpdateRecord::momentum),
                range(start.noiseScale(), phase.whole(), UpdateRecord::noiseScale),
                String.format(Locale.ROOT, "%,d", phase.updates().size()),
                Double.isNaN(phase.imagesPerSecond())
                        ? "-"
                        : String.format(Locale.ROOT, "%,.0f", phase.imagesPerSecond()),
                Columns.mebibytes(start.workspaceBytes()),
                millis(start.switchNanos()));
    }

    /** What the first update took more than the phase's median, also in updates of the phase before if there is one. */
    private static String surplus(Phase phase, @Nullable Phase before) {
        double nanos = phase.firstSurplusNanos();
        if (Double.isNaN(nanos)) {
            return "-";
        }
        String text = String.format(Locale.ROOT, Math.abs(nanos) < 1e7 ? "%+.1f ms" : "%+,.0f ms", nanos * 1e-6);
        return before == null || before.updates().isEmpty()
                ? text
                : text + String.format(Locale.ROOT, " = %.2f updates", nanos / before.medianNanos());
    }

    /** {@code 800}, or {@code 800 = 3 x 224 + 128} where it is split into micro-batches, and what is recomputed. */
    private static String batch(PhaseRecord phase) {
        String batch = String.format(Locale.ROOT, "%,d", phase.batch());
        return batch
                + (phase.microBatches() == 1 ? "" : " = " + Columns.sum(phase.sizes()))
                + (phase.recomputation().equals(Recomputation.NONE.name())
                        ? ""
                        : ", recomputing " + phase.recomputation());
    }

    /** One value, or the first and the last of those that a smooth or decaying schedule went through. */
    private static String range(double first, Phase phase, ToDoubleFunction<UpdateRecord> quantity) {
        String start = PlanTable.number(first);
        if (phase.updates().isEmpty()) {
            return start;
        }
        String end = PlanTable.number(
                quantity.applyAsDouble(phase.updates().get(phase.updates().size() - 1)));
        return start.equals(end) ? start : start + ".." + end;
    }

    private static String millis(long nanos) {
        return String.format(Locale.ROOT, nanos < 10_000_000 ? "%.1f ms" : "%,.0f ms", nanos * 1e-6);
    }
}
