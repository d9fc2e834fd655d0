package io.crescendo.schedule;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** What is allowed but unwise about a plan, with the way out. */
final class PlanWarnings {
    /** The share of the training set that a batch should not exceed, and that dropped rests should not reach. */
    private static final double TENTH = 0.1;

    private PlanWarnings() {}

    /**
     * Looks through a plan.
     *
     * @param grows whether a cap would be heeded
     */
    static List<String> of(PlanTable table, boolean grows) {
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
        if (largest != null) {
            // A cap below the first batch would be refused.
            boolean canBeCapped = grows && table.rows().get(0).batch() <= samples * TENTH;
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
}
