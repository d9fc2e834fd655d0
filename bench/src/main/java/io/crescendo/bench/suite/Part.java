package io.crescendo.bench.suite;

import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The parts of the suite, in the order they run. */
public enum Part {
    /** Whole training steps per network and batch, beside the matrix product's ceiling. */
    STEP(
            new Selection("ProductBenchmark", Map.of("size", List.of("2048"))),
            new Selection(
                    "TrainingStepBenchmark",
                    Map.of("network", List.of("fashion-cnn"), "batch", List.of("32", "128", "512", "2048"))),
            new Selection(
                    "TrainingStepBenchmark",
                    Map.of("network", List.of("wide-resnet-16-4"), "batch", List.of("8", "32", "128")))),
    /** Parameter updates, beside copies that go through about as much memory as an update of each network. */
    UPDATE(
            new Selection("CopyBenchmark", Map.of("megabytes", List.of("0.3", "16.5", "256"))),
            new Selection("UpdateBenchmark", Map.of())),
    /** Batches in micro-batches. */
    REDUCTION(
            new Selection(
                    "GradientReductionBenchmark", Map.of("network", List.of("fashion-cnn"), "batch", List.of("512"))),
            new Selection(
                    "GradientReductionBenchmark",
                    Map.of("network", List.of("wide-resnet-16-4"), "batch", List.of("128")))),
    /** Batch norm over ghost batches. */
    NORM(new Selection("GhostBatchNormBenchmark", Map.of())),
    /** Tracing, planning and preparing new batch sizes. */
    PLANNING(new Selection("PlanningBenchmark", Map.of())),
    /** Growing batches while training. */
    GROWTH(
            new Selection("BatchGrowthBenchmark", Map.of("network", List.of("fashion-cnn"))),
            // From 160 to 800 the wide network takes half a minute for each of its shots.
            new Selection(
                    "BatchGrowthBenchmark", Map.of("network", List.of("wide-resnet-16-4"), "from", List.of("32")))),
    /** Batches from memory and files. */
    DATA(new Selection("DataBenchmark", Map.of())),
    /** The step's time at batches from 1 to 4,096, even and odd. */
    SWEEP;

    @SuppressWarnings("ImmutableEnumChecker") // a copy that nobody can change
    private final List<Selection> selections;

    Part(Selection... selections) {
        this.selections = List.of(selections);
    }

    /**
     * Benchmarks of one class with some of its parameters' values.
     *
     * @param benchmark simple name of the class
     * @param values by parameter; for a parameter that is not named, all that the class lists
     */
    public record Selection(String benchmark, Map<String, List<String>> values) {}

    /** What JMH runs for this part. */
    public List<Selection> selections() {
        return selections;
    }

    /** The part of this name. */
    static Part named(String name) {
        for (Part part : values()) {
            if (part.label().equals(name)) {
                return part;
            }
        }
        throw new IllegalArgumentException("unknown part '" + name + "'; known are " + names());
    }

    static String names() {
        return String.join(", ", List.of(values()).stream().map(Part::label).toList());
    }

    /** The name on the command line. */
    String label() {
        return name().toLowerCase(Locale.ROOT);
    }
}
