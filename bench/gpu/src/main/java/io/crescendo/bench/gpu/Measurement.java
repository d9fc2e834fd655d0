package io.crescendo.bench.gpu;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What one engine did in one case.
 *
 * @param description engine, versions, choices
 * @param prepareSeconds from nothing to the first dozen updates: compiling, choosing algorithms, warming up
 * @param stepMillis one mean per block of steps, of all rounds
 * @param medianMillis the median of those
 * @param imagesPerSecond batch over the median
 * @param hostMicros median time of the host for issuing a step to an idle device
 * @param hostBusyMicros the same for a device that is busy with the steps before; null where it was not measured
 * @param allocatedBytes the engine's own account of its device memory at the most, after preparing
 * @param reservedBytes what its allocator held for that, 0 if it has none
 * @param processBytes what the driver says the process holds in all; null where it does not say
 */
record Measurement(
        String description,
        double prepareSeconds,
        List<Double> stepMillis,
        double medianMillis,
        double imagesPerSecond,
        double hostMicros,
        @Nullable Double hostBusyMicros,
        long allocatedBytes,
        long reservedBytes,
        @Nullable Long processBytes) {

    /** From what a child answered. */
    static Measurement of(
            int batch, JsonNode ready, List<JsonNode> rounds, JsonNode memory, @Nullable Long processBytes) {
        List<Double> millis = all(rounds, "stepMillis");
        double median = median(millis);
        return new Measurement(
                ready.path("description").asText(),
                ready.path("prepareSeconds").asDouble(),
                millis,
                median,
                1e3 * batch / median,
                median(all(rounds, "hostMicros")),
                medianOrNull(all(rounds, "hostBusyMicros")),
                memory.path("allocatedBytes").asLong(),
                memory.path("reservedBytes").asLong(),
                processBytes);
    }

    private static List<Double> all(List<JsonNode> rounds, String name) {
        List<Double> values = new ArrayList<>();
        rounds.forEach(round -> round.path(name).forEach(value -> values.add(value.asDouble())));
        return values;
    }

    private static @Nullable Double medianOrNull(List<Double> values) {
        return values.isEmpty() ? null : median(values);
    }

    static double median(List<Double> values) {
        double[] sorted =
                values.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        int middle = sorted.length / 2;
        return sorted.length == 0
                ? Double.NaN
                : sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
