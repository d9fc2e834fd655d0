package io.crescendo.bench.suite;

import io.crescendo.bench.TrainingStep;
import io.crescendo.bench.UpdateBenchmark;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.StringJoiner;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;

/** What a number means: rates, shares of ceilings measured in the same run, differences between two programs. */
final class Notes {
    private final List<Measured> all;
    private final Map<String, Double> flopsPerImage = new HashMap<>();

    Notes(List<Measured> all) {
        this.all = all;
    }

    /**
     * A copy as ceiling.
     *
     * @param megabytes of its source
     * @param bytesPerSecond read plus written, of the better of the ways to copy as much
     */
    record Copy(String megabytes, double bytesPerSecond) {}

    /**
     * The copy whose source and destination together are nearest to the memory that an update goes through, so that
     * both are as well cached.
     */
    Optional<Copy> copyLike(Measured update) {
        double bytes = UpdateBenchmark.footprintBytes(
                update.param("network"), update.param("optimizer"), update.param("precision"));
        ToDoubleFunction<String> distance =
                megabytes -> Math.abs(Math.log(2e6 * Double.parseDouble(megabytes) / bytes));
        return all.stream()
                .filter(m -> m.is("CopyBenchmark"))
                .map(m -> m.param("megabytes"))
                .min(Comparator.comparingDouble(distance))
                .map(megabytes -> new Copy(
                        megabytes,
                        all.stream()
                                .filter(m -> m.is("CopyBenchmark")
                                        && m.param("megabytes").equals(megabytes))
                                .mapToDouble(m -> m.extra("bytes"))
                                .max()
                                .orElseThrow()));
    }

    /** Operations per second of the large matrix product. */
    OptionalDouble productFlops() {
        return all.stream()
                .filter(m -> m.is("ProductBenchmark"))
                .mapToDouble(m -> m.extra("flops"))
                .max();
    }

    /** Images per second, if the benchmark counts images; by the device's clock, if it has one. */
    static OptionalDouble imagesPerSecond(Measured measured) {
        return perSecond(measured, "images", Measured.DEVICE_IMAGES);
    }

    /** Bytes per second likewise. */
    static OptionalDouble bytesPerSecond(Measured measured) {
        return perSecond(measured, "bytes", Measured.DEVICE_BYTES);
    }

    private static OptionalDouble perSecond(Measured measured, String onHost, String onDevice) {
        double device = measured.extra(onDevice);
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

    /** An update beside the copy it can be held against. */
    private Optional<String> shareOfCopy(Measured measured) {
        OptionalDouble bytes = bytesPerSecond(measured);
        if (bytes.isEmpty()
                || !measured.is("UpdateBenchmark")
                || !measured.param("device").equals("cpu")) {
            return Optional.empty();
        }
        return copyLike(measured)
                .map(copy -> number(100 * bytes.getAsDouble() / copy.bytesPerSecond) + " % of the copy of "
                        + copy.megabytes + " MB");
    }

    /** The norm's own time: the program with it less the program without. */
    OptionalDouble normMicros(Measured measured) {
        if (!measured.is("GhostBatchNormBenchmark.withNorm")) {
            return OptionalDouble.empty();
        }
        return find(m -> m.is("GhostBatchNormBenchmark.withoutNorm")
                        && m.params().equals(measured.params()))
                .map(without -> OptionalDouble.of(
                        time(measured, Measured.DEVICE_MICROS) - time(without, Measured.DEVICE_MICROS)))
                .orElse(OptionalDouble.empty());
    }

    /** What one operation took; by the device's clock, if it has one. */
    private static double time(Measured measured, String onDevice) {
        double device = measured.extra(onDevice);
        return device > 0 ? device : measured.median();
    }

    /** What the first update after a switch takes beyond a steady one, and how that compares with an update before. */
    private Optional<String> costOfGrowth(Measured measured) {
        if (!measured.is("BatchGrowthBenchmark")) {
            return Optional.empty();
        }
        double millis = time(measured, Measured.DEVICE_MILLIS);
        Optional<Double> before = ofSameGrowth("updateBefore", measured).map(m -> time(m, Measured.DEVICE_MILLIS));
        Optional<Double> after = ofSameGrowth("updateAfter", measured).map(m -> time(m, Measured.DEVICE_MILLIS));
        if (measured.is("BatchGrowthBenchmark.switchBatch")) {
            return before.map(steady -> number(millis / steady) + " updates before");
        }
        return !measured.is("BatchGrowthBenchmark.switchAndFirstUpdate") || before.isEmpty() || after.isEmpty()
                ? Optional.empty()
                : Optional.of("growth costs " + number(millis - after.get()) + " ms beyond an update after, "
                        + number((millis - after.get()) / before.get()) + " updates before");
    }

    private Optional<Measured> ofSameGrowth(String method, Measured growth) {
        Map<String, String> params = new HashMap<>(growth.params());
        params.remove("ahead");
        return find(m -> m.is("BatchGrowthBenchmark." + method) && m.params().equals(params));
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
        shareOfCopy(measured).ifPresent(note::add);
        Double megabytes = measured.extras().get("workspaceMegabytes");
        if (megabytes != null) {
            note.add(number(megabytes) + " MB workspace");
        }
        normMicros(measured).ifPresent(micros -> note.add("norm alone " + number(micros) + " us"));
        if (measured.is("GradientReductionBenchmark")) {
            Map<String, String> undivided = new HashMap<>(measured.params());
            undivided.put("microBatches", "1");
            find(m -> m.is("GradientReductionBenchmark") && m.params().equals(undivided))
                    .filter(whole -> !whole.equals(measured))
                    .ifPresent(whole -> note.add(number(100 / measured.speedOver(whole)) + " % of the time of one"));
        }
        costOfGrowth(measured).ifPresent(note::add);
        Double allocated = measured.extras().get("gc.alloc.rate.norm");
        if (allocated != null) {
            note.add(number(allocated) + " B of heap allocated per step");
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
