package io.crescendo.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Objects;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.openjdk.jmh.results.BenchmarkResult;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.CommandLineOptionException;
import org.openjdk.jmh.runner.options.CommandLineOptions;

class GaugesTest {
    private static final String WORKSPACE = "workspaceMegabytes";

    /** The table shows what every iteration shows, not their sum. */
    @Test
    void theWorkspaceIsTheSameForAnyNumberOfIterationsAndForks() throws CommandLineOptionException, RunnerException {
        RunResult table = new Runner(new CommandLineOptions(Benchmarks.withGauges(
                        "TrainingStepBenchmark -p network=fashion-cnn -p batch=8 -bm ss -f 2 -wi 1 -i 3 -v SILENT"
                                .split(" ", -1))))
                .runSingle();
        int iterations = 0;
        TreeSet<Double> each = new TreeSet<>();
        for (BenchmarkResult fork : table.getBenchmarkResults()) {
            for (IterationResult iteration : fork.getIterationResults()) {
                iterations++;
                each.add(workspace(iteration.getSecondaryResults().get(WORKSPACE)));
            }
        }
        assertEquals(6, iterations);
        assertTrue(each.size() == 1 && each.first() > 0, each.toString());
        // A mean of equal numbers may be off by a few roundings.
        assertEquals(each.first(), workspace(table.getSecondaryResults().get(WORKSPACE)), 1e-12 * each.first());
    }

    private static double workspace(@Nullable Result<?> result) {
        Result<?> workspace = Objects.requireNonNull(result, "no " + WORKSPACE);
        assertEquals("MB", workspace.getScoreUnit());
        return workspace.getScore();
    }
}
