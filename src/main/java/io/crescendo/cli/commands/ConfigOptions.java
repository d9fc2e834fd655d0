package io.crescendo.cli.commands;

import io.crescendo.cli.config.ConfigSource;
import io.crescendo.cli.config.Presets;
import java.nio.file.Path;
import java.util.Iterator;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The options that say what is to be run. */
final class ConfigOptions {
    /** What runs when nothing is said. */
    static final String DEFAULT_PRESET = "fashion-mini-quick";

    /** For help and shell completion. */
    static final class PresetNames implements Iterable<String> {
        @Override
        public Iterator<String> iterator() {
            return Presets.names().iterator();
        }
    }

    @Option(
            names = "--preset",
            paramLabel = "NAME",
            completionCandidates = PresetNames.class,
            description = "An experiment that comes with the program; 'crescendo info' lists them (default: "
                    + DEFAULT_PRESET + ").")
    private @Nullable String preset;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "A YAML file; with --preset, its keys replace the preset's.")
    private @Nullable Path config;

    @Option(names = "--epochs", paramLabel = "E", description = "Length of training; the schedule is stretched to it.")
    private @Nullable Double epochs;

    @Option(names = "--seed", paramLabel = "SEED", description = "Decides weights, order of samples and augmentation.")
    private @Nullable Long seed;

    @Option(
            names = "--ragged",
            paramLabel = "drop|keep",
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
        return ConfigSource.of(preset == null && config == null ? DEFAULT_PRESET : preset, config)
                .with("epochs", epochs)
                .with("seed", seed)
                .with("ragged", ragged)
                .with("measureGradientNoise", measureGradientNoise);
    }
}
