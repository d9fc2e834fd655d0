package io.crescendo.cli.commands;

import io.crescendo.cli.config.ConfigSource;
import io.crescendo.cli.config.Presets;
import java.nio.file.Path;
import java.util.Iterator;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The options that name an experiment. */
final class ExperimentOptions {
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
            paramLabel = "PRESET",
            completionCandidates = PresetNames.class,
            description = "An experiment that comes with the program; 'crescendo info' lists them (default: "
                    + DEFAULT_PRESET + ", or with --config none).")
    private @Nullable String preset;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description =
                    "A YAML file; with --preset, its keys replace the preset's. 'crescendo plan --yaml' says which there"
                            + " are.")
    private @Nullable Path config;

    /** Preset or file. */
    ConfigSource source() {
        return ConfigSource.of(preset == null && config == null ? DEFAULT_PRESET : preset, config);
    }
}
