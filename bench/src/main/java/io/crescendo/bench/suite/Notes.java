package io.crescendo.bench.suite;

import io.crescendo.bench.TrainingStep;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.StringJoiner;
import java.util.function.Predicate;

/** What a number means: rates, shares of ceilings measured in the same run, differences between two programs. */
final class Notes {
    private final List<Measured> all;
    private final Map<String, Double> flopsPerImage = new HashMap<>();

    Notes(List<Measured> all) {
        this.all = all;
    }

    /** Bytes read plus written per second of the better large copy. */
    OptionalDouble copyBytesPerSecond() {
        return all.stream()
                .filter(m -> m.is("CopyBenchmark"))
                .mapToDouble(m -> m.extras().getOrDefault("bytes", 0.0))
                .max();
    }

    /** Operations per second of the large matrix product. */
    OptionalDouble productFlops() {
        return all.stream()
                .filter(m -> m.is("ProductBenchmark"))
                .mapToDouble(m -> m.extras().getOrDefault("flops", 0.0))
                .max();
    }

    /** Images per second, if the benchmark counts images; by the device's clock, if it has one. */
    static OptionalDouble imagesPerSecond(Measured measured) {
        return perSecond(measured, "images", "deviceImages");
    }

    /** Bytes per second likewise. */
    static OptionalDouble bytesPerSecond(Measured measured) {
        return perSecond(measured, "bytes", "deviceBytes");
    }

    private static OptionalDouble perSecond(Measured measured, String onHost, String onDevice) {
        double device = measured.extras().getOrDefault(onDevice, 0.0);
        Double host = measured.extras().get(onHost);
        if (device > 0) {
            return OptionalDouble.of(device);
        }
        return host == null ? OptionalDouble.empty() : OptionalDouble.of(host);
    }

    /** A step's share of the matrix product's ceiling in percent. */
    OptionalDouble percentOfProduct(Measured measured) {
        OptionalDouble images = imagesPerSecond(measured);
        OptionalDouble ceiling = productFlops();
        if (!measured.is("TrainingStepBenchmark")
                || !measured.param("device").equals("cpu")
                || images.isEmpty()
                || ceiling.isEmpty()) {
            return OptionalDouble.empty();
        }
        double flops = flopsPerImage.computeIfAbsent(
                measured.param("network"),
                name -> TrainingStep.network(name)
                        .trainingProgram(2, 2, 0, Set.of())
                        .flopsPerSample());
        return OptionalDouble.of(100 * images.getAsDouble() * flops / ceiling.getAsDouble());
    }

    /** An update's share of the copy's ceiling in percent. */
    OptionalDouble percentOfCopy(Measured measured) {
        OptionalDouble bytes = bytesPerSecond(measured);
        OptionalDouble ceiling = copyBytesPerSecond();
        return bytes.isPresent()
                        && ceiling.isPresent()
                        && measured.is("UpdateBenchmark")
                        && measured.param("device").equals("cpu")
                ? OptionalDouble.of(100 * bytes.getAsDouble() / ceiling.getAsDouble())
                : OptionalDouble.empty();
    }

    /** The norm's own time: the program with it less the program without. */
    OptionalDouble normMicros(Measured measured) {
        if (!measured.is("GhostBatchNormBenchmark.withNorm")) {
            return OptionalDouble.empty();
        }
        return find(m -> m.is("GhostBatchNormBenchmark.withoutNorm")
                        && m.params().equals(measured.params()))
                .map(without -> OptionalDouble.of(measured.median() - without.median()))
                .orElse(OptionalDouble.empty());
    }

    /** All of it in one cell of a table. */
    String of(Measured measured) {
        StringJoiner note = new StringJoiner(", ");
        imagesPerSecond(measured).ifPresent(images -> note.add(number(images) + " images/s"));
        bytesPerSecond(measured).ifPresent(bytes -> note.add(number(bytes / 1e9) + " GB/s"));
        Double flops = measured.extras().get("flops");
        if (flops != null) {
            note.add(number(flops / 1e9) + " GFLOP/s");
        }
        percentOfProduct(measured).ifPresent(p -> note.add(number(p) + " % of the product"));
        percentOfCopy(measured).ifPresent(p -> note.add(number(p) + " % of the copy"));
        Double megabytes = measured.extras().get("workspaceMegabytes");
        if (megabytes != null) {
            note.add(number(megabytes) + " MB workspace");
        }
        normMicros(measured).ifPresent(micros -> note.add("norm alone " + number(micros) + " us"));
        if (measured.is("GradientReductionBenchmark")) {
            find(m -> m.is("GradientReductionBenchmark")
                            && m.param("microBatches").equals("1")
                            && m.param("network").equals(measured.param("network"))
                            && m.param("batch").equals(measured.param("batch")))
                    .filter(whole -> !whole.equals(measured))
                    .ifPresent(whole -> note.add(number(100 / measured.speedOver(whole)) + " % of the time of one"));
        }
        if (measured.is("BatchGrowthBenchmark") && !measured.is("BatchGrowthBenchmark.updateBefore")) {
            find(m -> m.is("BatchGrowthBenchmark.updateBefore") && m.params().equals(measured.params()))
                    .ifPresent(before ->
                            note.add(number(100 / measured.speedOver(before)) + " % of the time of an update before"));
        }
        return note.toString();
    }

    private Optional<Measured> find(Predicate<Measured> wanted) {
        return all.stream().filter(wanted).findFirst();
    }

    /** Four digits, without an exponent. */
    static String number(double value) {
        int digits = value == 0 ? 0 : (int) Math.floor(Math.log10(Math.abs(value))) + 1;
        return String.format(Locale.ROOT, "%,." + Math.max(0, Math.min(6, 3 - digits)) + "f", value);
    }
}
