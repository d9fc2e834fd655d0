package io.crescendo.cli.commands;

import io.crescendo.cli.config.ConfigSource;
import java.util.Iterator;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The options that say what is to be run, and how long. */
final class ConfigOptions {
    /** For shell completion. */
    static final class RaggedNames implements Iterable<String> {
        @Override
        public Iterator<String> iterator() {
            return List.of("drop", "keep").iterator();
        }
    }

    @Mixin
    private final ExperimentOptions experiment = new ExperimentOptions();

    @Option(names = "--epochs", paramLabel = "E", description = "Length of training; the schedule is stretched to it.")
    private @Nullable Double epochs;

    @Option(
            names = "--seed",
            paramLabel = "SEED",
            description = "Decides weights, order of samples, augmentation and dropout.")
    private @Nullable Long seed;

    @Option(
            names = "--ragged",
            paramLabel = "drop|keep",
            completionCandidates = RaggedNames.class,
            description = "What becomes of the samples at an epoch's end that fill no batch.")
    private @Nullable String ragged;

    @Option(
            names = "--measure-gradient-noise",
            paramLabel = "EVERY",
            arity = "0..1",
            fallbackValue = "10",
            description = "Measures the gradient noise scale (McCandlish et al.) at every so many updates, 10 if no"
                    + " number is given. Batches that run whole are halved for it, if they are larger than a ghost"
                    + " batch.")
    private @Nullable Integer measureGradientNoise;

    /** Whether {@code --seed} was given. */
    boolean statesSeed() {
        return seed != null;
    }

    /** Preset or file, with the options on top. */
    ConfigSource source() {
        return experiment
                .source()
                .with("epochs", epochs)
                .with("seed", seed)
                .with("ragged", ragged)
                .with("measureGradientNoise", measureGradientNoise);
    }
}
