package io.crescendo.schedule;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.List;

/**
 * The phases of a plan with their updates, to be read before training is paid for.
 *
 * @param rows in the order of training
 * @param ragged the policy the updates are counted under
 * @param samplesPerEpoch size of the training set
 * @param updates the total of the rows
 */
public record PlanTable(List<PlanRow> rows, RaggedEpoch ragged, long samplesPerEpoch, long updates) {
    private static final String CSV_HEADER =
            "firstEpoch,lastEpoch,batch,learningRate,momentum,noiseScale,updates,lastLearningRate,lastNoiseScale";

    public PlanTable {
        rows = List.copyOf(rows);
    }

    static PlanTable of(TrainingPlan plan) {
        List<Double> boundaries = plan.boundaries();
        List<PlanRow> rows = new ArrayList<>();
        List<PlanWalk.Stretch> open = new ArrayList<>(2);
        long[] updates = {0, 0};
        PlanWalk.walk(plan, stretch -> {
            if (!open.isEmpty()) {
                PlanWalk.Stretch first = open.get(0);
                if (first.batch() != stretch.batch()
                        || reached(boundaries, first.first()) != reached(boundaries, stretch.first())) {
                    rows.add(row(
                            plan,
                            first.first(),
                            open.get(1).last(),
                            stretch.first().epochs(),
                            updates[0]));
                    open.clear();
                    updates[0] = 0;
                }
            }
            if (open.isEmpty()) {
                open.add(stretch);
                open.add(stretch);
            }
            open.set(1, stretch);
            updates[0] += stretch.updates();
            updates[1] += stretch.updates();
        });
        if (!open.isEmpty()) {
            rows.add(row(plan, open.get(0).first(), open.get(1).last(), plan.epochs(), updates[0]));
        }
        return new PlanTable(rows, plan.raggedEpoch(), plan.samplesPerEpoch(), updates[1]);
    }

    private static PlanRow row(TrainingPlan plan, Progress first, Progress last, double end, long updates) {
        Phase phase = plan.at(first);
        Phase lastPhase = plan.at(last);
        return new PlanRow(
                first.epochs(),
                end,
                phase.batch(),
                phase.learningRate(),
                phase.momentum(),
                phase.noiseScale(plan.samplesPerEpoch()).approximate(),
                updates,
                lastPhase.learningRate(),
                lastPhase.noiseScale(plan.samplesPerEpoch()).approximate());
    }

    private static long reached(List<Double> boundaries, Progress progress) {
        double epochs = progress.epochs();
        return boundaries.stream().filter(boundary -> boundary <= epochs).count();
    }

    /** The table for a terminal: aligned columns, a total below, no line break at the end. */
    public String text() {
        List<List<String>> cells = new ArrayList<>();
        cells.add(List.of("epochs", "batch", "learning rate", "momentum", "noise scale", "updates"));
        for (PlanRow row : rows) {
            cells.add(List.of(
                    number(row.firstEpoch()) + " - " + number(row.lastEpoch()),
                    Long.toString(row.batch()),
                    span(row.learningRate(), row.lastLearningRate()),
                    number(row.momentum()),
                    span(row.noiseScale(), row.lastNoiseScale()),
                    Long.toString(row.updates())));
        }
        cells.add(List.of("total", "", "", "", "", Long.toString(updates)));
        StringBuilder text = new StringBuilder();
        for (List<String> line : cells) {
            for (int column = 0; column < line.size(); column++) {
                int width = width(cells, column);
                String cell = line.get(column);
                String padding = " ".repeat(width - cell.length());
                // The first column is words, the others numbers.
                text.append(column == 0 ? cell + padding : "  " + padding + cell);
            }
            text.append('\n');
        }
        return text.substring(0, text.length() - 1);
    }

    /** A value that a smooth schedule moves within a phase is told by its first and its last. */
    private static String span(double first, double last) {
        String from = number(first);
        String to = number(last);
        return from.equals(to) ? from : from + " .. " + to;
    }

    private static int width(List<List<String>> cells, int column) {
        return cells.stream().mapToInt(line -> line.get(column).length()).max().orElse(0);
    }

    /** The rows as comma-separated values in full precision, after a header; each line ends with a line feed. */
    public String csv() {
        StringBuilder csv = new StringBuilder(CSV_HEADER).append('\n');
        for (PlanRow row : rows) {
            csv.append(row.firstEpoch()).append(',');
            csv.append(row.lastEpoch()).append(',');
            csv.append(row.batch()).append(',');
            csv.append(row.learningRate()).append(',');
            csv.append(row.momentum()).append(',');
            csv.append(row.noiseScale()).append(',');
            csv.append(row.updates()).append(',');
            csv.append(row.lastLearningRate()).append(',');
            csv.append(row.lastNoiseScale()).append('\n');
        }
        return csv.toString();
    }

    /** The same as {@link #text()}. */
    @Override
    public String toString() {
        return text();
    }

    /** Five significant digits, without trailing zeros: enough to tell phases apart, short enough to read. */
    public static String number(double value) {
        if (value == 0 || !Double.isFinite(value)) {
            return value == 0 ? "0" : Double.toString(value);
        }
        BigDecimal rounded = new BigDecimal(value).round(new MathContext(5)).stripTrailingZeros();
        return Math.abs(value) < 1e-5 ? rounded.toString() : rounded.toPlainString();
    }
}
