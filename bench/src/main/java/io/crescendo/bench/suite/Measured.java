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

    // Extras by the device's clock, where it has one: rates per second, and times of one operation.
    static final String DEVICE_IMAGES = "deviceImages";
    static final String DEVICE_BYTES = "deviceBytes";
    static final String DEVICE_MICROS = "deviceMicros";
    static final String DEVICE_MILLIS = "deviceMillis";

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

    /**
     * How many times as fast as the other, which does the same work: above 1 is faster, whatever the unit; by the
     * device's clock if both have it, since the host's only sees how fast work is handed over.
     */
    double speedOver(Measured other) {
        for (String rate : List.of(DEVICE_IMAGES, DEVICE_BYTES)) {
            if (extra(rate) > 0 && other.extra(rate) > 0) {
                return extra(rate) / other.extra(rate);
            }
        }
        for (String time : List.of(DEVICE_MICROS, DEVICE_MILLIS)) {
            if (extra(time) > 0 && other.extra(time) > 0) {
                return other.extra(time) / extra(time);
            }
        }
        return unit.startsWith("ops/") ? median / other.median : other.median / median;
    }

    /** What else was counted under this name; 0 if nothing was. */
    double extra(String name) {
        return extras.getOrDefault(name, 0.0);
    }
}
