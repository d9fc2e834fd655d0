package io.crescendo.bench.suite;

import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * One benchmark with one set of parameters.
 *
 * @param part of the suite
 * @param benchmark class and method, without the package
 * @param params by name
 * @param unit of the numbers: {@code ops/s} or a time per operation
 * @param median over the samples
 * @param low smallest sample
 * @param high largest sample
 * @param samples one per iteration and fork
 * @param extras medians of what else is counted: images, bytes, flops per second; megabytes
 */
public record Measured(
        String part,
        String benchmark,
        Map<String, String> params,
        String unit,
        double median,
        double low,
        double high,
        List<Double> samples,
        Map<String, Double> extras) {
    /** The extra that says how long an iteration was; single shots have none. */
    static final String ITERATION_SECONDS = "iterationSeconds";

    /** Summarises samples. */
    static Measured of(
            String part,
            String benchmark,
            Map<String, String> params,
            String unit,
            List<Double> samples,
            Map<String, Double> extras) {
        double[] sorted =
                samples.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        return new Measured(
                part,
                benchmark,
                params,
                unit,
                median(sorted),
                sorted[0],
                sorted[sorted.length - 1],
                List.copyOf(samples),
                extras);
    }

    /** The middle value, or the mean of the two in the middle. */
    static double median(double... values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int middle = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    /** A parameter's value, empty if the benchmark has none of this name. */
    String param(String name) {
        return params.getOrDefault(name, "");
    }

    boolean is(String name) {
        return benchmark.equals(name) || benchmark.startsWith(name + ".");
    }

    /** Whether the other is the same measurement at another time. */
    boolean repeats(Measured other) {
        return benchmark.equals(other.benchmark) && params.equals(other.params) && unit.equals(other.unit);
    }

    /** How many times as fast as the other: above 1 is faster, whatever the unit. */
    double speedOver(Measured other) {
        return unit.startsWith("ops/") ? median / other.median : other.median / median;
    }
}
