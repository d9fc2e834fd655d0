package io.crescendo.schedule;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** What is allowed but unwise about a plan, with the way out. */
final class PlanWarnings {
    /** The share of the training set that a batch should not exceed, and that dropped rests should not reach. */
    private static final double TENTH = 0.1;

    /** A rate that is lower by so little did not fall. */
    private static final double ROUNDING = 1e-9;

    private PlanWarnings() {}

    /**
     * Looks through a plan.
     *
     * @param decays epochs at which the stated learning rate falls at once
     * @param epochs at which training ends
     */
    static List<String> of(PlanTable table, Conversion conversion, List<Double> decays, double epochs) {
        long samples = table.samplesPerEpoch();
        PlanRow largest = null;
        PlanRow wasteful = null;
        for (PlanRow row : table.rows()) {
            if (row.batch() > samples * TENTH && (largest == null || row.batch() > largest.batch())) {
                largest = row;
            }
            long unused = samples % row.batch();
            // A smooth schedule passes through many batches; only those that see an epoch's end drop anything.
            boolean seesAnEnd = row.lastEpoch() - row.firstEpoch() >= 1;
            if (seesAnEnd && unused > samples * TENTH && (wasteful == null || unused > samples % wasteful.batch())) {
                wasteful = row;
            }
        }
        List<String> warnings = new ArrayList<>();
        for (double epoch : decays) {
            if (epoch >= epochs) {
                warnings.add("the learning rate's step at epoch " + PlanTable.number(epoch) + " never comes: it is "
                        + (epoch > epochs ? "behind" : "at") + " the end at epoch " + PlanTable.number(epochs));
            }
        }
        long first = table.rows().get(0).batch();
        if (conversion.grows() && table.rows().stream().allMatch(row -> row.batch() <= first)) {
            warnings.add("the batch never grows, because " + obstacle(table, conversion, decays.isEmpty(), epochs));
        }
        if (largest != null) {
            // A cap below the first batch would be refused.
            boolean canBeCapped = conversion.grows() && table.rows().get(0).batch() <= samples * TENTH;
            warnings.add(String.format(
                    Locale.ROOT,
                    "batch %d, reached at epoch %s, is more than a tenth of the %d training samples, where the rule "
                            + "B ∝ ε/(1−m) becomes inaccurate; %s",
                    largest.batch(),
                    PlanTable.number(largest.firstEpoch()),
                    samples,
                    canBeCapped ? "cap the growth at " + Math.max(1, samples / 10) : "use a smaller batch"));
        }
        if (wasteful != null && table.ragged() == RaggedEpoch.DROP) {
            warnings.add(String.format(
                    Locale.ROOT,
                    "batch %d, reached at epoch %s, leaves %d of %d samples of every epoch unused; keep ragged epochs "
                            + "or choose a batch that divides the training set better",
                    wasteful.batch(),
                    PlanTable.number(wasteful.firstEpoch()),
                    samples % wasteful.batch(),
                    samples));
        }
        return List.copyOf(warnings);
    }

    /** What keeps a batch that may grow from growing. */
    private static String obstacle(PlanTable table, Conversion conversion, boolean smooth, double epochs) {
        if (!falls(table)) {
            return "the learning rate never falls below what it was before, in the " + PlanTable.number(epochs)
                    + " epochs of training";
        }
        long first = table.rows().get(0).batch();
        long cap = conversion.capFor(table.samplesPerEpoch());
        long automatic = smooth ? first : 1;
        long quantum = conversion.quantum() == Conversion.AUTOMATIC ? automatic : conversion.quantum();
        if (cap == first) {
            return "its cap is the first batch, " + first;
        }
        return cap / quantum * quantum <= first
                ? "no multiple of the quantum " + quantum + " lies above the first batch of " + first
                        + " and not above the cap of " + cap
                : "the learning rate falls too little for a larger multiple of the quantum " + quantum;
    }

    /** Whether the learning rate is ever below an earlier one; within a row it goes one way. */
    private static boolean falls(PlanTable table) {
        double peak = 0;
        for (PlanRow row : table.rows()) {
            peak = Math.max(peak, row.learningRate());
            if (Math.min(row.learningRate(), row.lastLearningRate()) < peak * (1 - ROUNDING)) {
                return true;
            }
            peak = Math.max(peak, row.lastLearningRate());
        }
        return false;
    }
}
