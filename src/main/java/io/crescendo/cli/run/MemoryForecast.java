package io.crescendo.cli.run;

import io.crescendo.backend.Backend;
import io.crescendo.cli.config.RunConfig;
import io.crescendo.memory.MemoryBudgetException;
import io.crescendo.memory.WorkspaceReport;
import io.crescendo.nn.Network;
import io.crescendo.train.Evaluator;
import io.crescendo.train.StepPlan;
import io.crescendo.train.StepPlanner;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
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
    }

    /**
     * What one batch takes, for a table: {@code 2 x 400 310.5 MiB}.
     *
     * @throws MemoryBudgetException if not even the smallest micro-batch fits the budget
     */
    public String of(long batch) {
        StepPlan plan = planner.plan(Math.toIntExact(batch));
        if (largest == null || plan.workspaceBytes() > largest.workspaceBytes()) {
            largest = plan;
        }
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
            lines.add("fullest at " + report.moment());
            for (WorkspaceReport.Entry entry : report.largest()) {
                lines.add(String.format(Locale.ROOT, "%12s  %s", Columns.mebibytes(entry.bytes()), entry.name()));
            }
        }
        lines.add("evaluation: " + Columns.mebibytes(planner.evaluationBytes(Math.min(testSamples, Evaluator.BATCH))));
        return lines;
    }

    @Override
    public void close() {
        planner.close();
    }
}
