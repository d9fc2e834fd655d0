package io.crescendo.bench;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.openjdk.jmh.infra.BenchmarkParams;
import org.openjdk.jmh.infra.IterationParams;
import org.openjdk.jmh.profile.InternalProfiler;
import org.openjdk.jmh.results.AggregationPolicy;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.ScalarResult;

/**
 * Levels that a benchmark reads once per iteration, such as its memory or a rate by the device's clock; tables show
 * their mean.
 *
 * <p>JMH's own counters are either divided by the host's time or added up over iterations and forks, which no level
 * survives. A profiler's results are averaged.
 *
 * <pre>{@code
 * @TearDown(Level.Iteration)
 * public void report() {
 *     Gauges.report("workspaceMegabytes", backend.workspace().peakBytes() / 1e6, "MB");
 * }
 * }</pre>
 */
public final class Gauges implements InternalProfiler {
    // Static because JMH makes the benchmark and the profiler, and shows neither to the other.
    private static final Queue<ScalarResult> REPORTED = new ConcurrentLinkedQueue<>();

    /**
     * Reports a level of the running iteration; from its teardown at the latest.
     *
     * @param name names the column in JMH's results
     * @param value in that unit
     * @param unit as printed
     */
    static void report(String name, double value, String unit) {
        REPORTED.add(new ScalarResult(name, value, unit, AggregationPolicy.AVG));
    }

    @Override
    public String getDescription() {
        return "levels that a benchmark reports once per iteration";
    }

    @Override
    public void beforeIteration(BenchmarkParams benchmark, IterationParams iteration) {
        REPORTED.clear();
    }

    @Override
    public Collection<ScalarResult> afterIteration(
            BenchmarkParams benchmark, IterationParams iteration, IterationResult result) {
        List<ScalarResult> levels = new ArrayList<>(REPORTED);
        REPORTED.clear();
        return levels;
    }
}
