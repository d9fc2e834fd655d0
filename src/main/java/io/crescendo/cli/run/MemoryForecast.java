package io.crescendo.cli.run;

import io.crescendo.backend.Backend;
import io.crescendo.cli.config.RunConfig;
import io.crescendo.memory.MemoryBudgetException;
import io.crescendo.memory.WorkspaceReport;
import io.crescendo.nn.Network;
import io.crescendo.schedule.PlanRow;
import io.crescendo.schedule.TrainingPlan;
import io.crescendo.train.Evaluator;
import io.crescendo.train.StepPlan;
import io.crescendo.train.StepPlanner;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * How much workspace the batches of a plan will take on a device, found without training and by the class that decides
 * it in training: programs are traced and lowered, and nothing is allocated for them.
 */
public final class MemoryForecast implements AutoCloseable {
    private static final int LARGEST_VALUES = 10;

    private final StepPlanner planner;
    private @Nullable StepPlan largest;

    public MemoryForecast(Backend backend, Network network, RunConfig config, long budgetBytes) {
        this.planner = new StepPlanner(backend, network, config.ghostBatch(), config.labelSmoothing(), budgetBytes);
        if (config.measureGradientNoise() != null) {
            planner.measureNoise();
        }
    }

    /** The batches asked for from now on are this plan's: a smooth plan's batches share their micro-batches. */
    public void begin(TrainingPlan plan) {
        planner.cover(plan.batchUses());
    }

    /**
     * How one batch will run.
     *
     * @throws MemoryBudgetException if not even the smallest micro-batch fits the budget
     */
    StepPlan plan(long batch) {
        StepPlan plan = planner.plan(Math.toIntExact(batch));
        if (largest == null || plan.workspaceBytes() > largest.workspaceBytes()) {
            largest = plan;
        }
        return plan;
    }

    /**
     * What one batch takes, for a table: {@code 2 x 400 310.5 MiB}.
     *
     * @throws MemoryBudgetException if not even the smallest micro-batch fits the budget
     */
    public String of(long batch) {
        StepPlan plan = plan(batch);
        return Columns.sum(plan.microBatches())
                + "  "
                + Columns.mebibytes(plan.workspaceBytes())
                + (plan.recomputation().extraTime() == 0
                        ? ""
                        : String.format(
                                Locale.ROOT,
                                ", recomputing %s (%.0f %% more time)",
                                plan.recomputation().name(),
                                100 * plan.recomputation().extraTime()));
    }

    /** What the batches take that epochs' ends cut short, in one line; empty if a plan has none. */
    public Optional<String> ofPartialBatches(TrainingPlan plan) {
        Set<Long> whole = plan.table().rows().stream().map(PlanRow::batch).collect(Collectors.toSet());
        List<Long> partial = plan.distinctBatches().stream()
                .filter(batch -> !whole.contains(batch))
                .sorted()
                .toList();
        if (partial.isEmpty()) {
            return Optional.empty();
        }
        long least = partial.get(0);
        long most = partial.get(partial.size() - 1);
        long bytes = partial.stream()
                .mapToLong(batch -> plan(batch).workspaceBytes())
                .max()
                .orElseThrow();
        return Optional.of("partial batches of size " + least + (most == least ? "" : " to " + most) + ": at most "
                + Columns.mebibytes(bytes));
    }

    /** What fills the workspace at its fullest, over all batches asked for, and what evaluation takes. */
    public List<String> details(int testSamples) {
        List<String> lines = new ArrayList<>();
        if (largest != null) {
            WorkspaceReport report = planner.report(largest.microBatch(), LARGEST_VALUES);
            lines.add(String.format(
                    Locale.ROOT,
                    "largest workspace: micro-batch %d of batch %d, %s; no plan can take less than %s",
                    largest.microBatch(),
                    largest.batch(),
                    Columns.mebibytes(report.totalBytes()),
                    Columns.mebibytes(report.lowerBoundBytes())));
            lines.add("fullest at " + report.moment()
                    + (report.samplesAtOnce() == largest.microBatch()
                            ? ""
                            : ", computing " + report.samplesAtOnce() + " of the " + largest.microBatch()
                                    + " samples at a time"));
            for (WorkspaceReport.Entry entry : report.largest()) {
                lines.add(String.format(Locale.ROOT, "%12s  %s", Columns.mebibytes(entry.bytes()), entry.name()));
            }
        }
        lines.add("evaluation: " + Columns.mebibytes(evaluationBytes(testSamples)));
        return lines;
    }

    private long evaluationBytes(int testSamples) {
        return planner.evaluationBytes(
                Math.min(testSamples, Evaluator.BATCH), largest == null ? 0 : largest.workspaceBytes());
    }

    @Override
    public void close() {
        planner.close();
    }
}
