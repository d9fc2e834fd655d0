package io.crescendo.cli.commands;

import io.crescendo.cli.UserError;
import io.crescendo.cli.config.ConfigSource;
import io.crescendo.cli.run.Experiment;
import io.crescendo.cli.run.RunLog;
import io.crescendo.safetensors.SafetensorsException;
import io.crescendo.train.Checkpoint;
import io.crescendo.train.CheckpointFolder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;

/**
 * A run that goes on where it was interrupted.
 *
 * @param folder of the run
 * @param source its configuration
 * @param checkpoint where it goes on
 */
record Resumption(Path folder, ConfigSource source, Checkpoint checkpoint) {
    private static final String CONFIGURATION = "config.yaml";

    /** What the folder has decided already. */
    private static final List<String> DECIDED = List.of(
            "--preset",
            "--config",
            "--epochs",
            "--seed",
            "--seeds",
            "--ragged",
            "--schedule",
            "--measure-gradient-noise",
            "--out",
            "--force");

    /** First words of the line in a comparison's configuration that names its seeds. */
    private static final String SEEDS = "# run with the seeds ";

    /** The run in a folder from its newest checkpoint, or from a checkpoint that is named. */
    static Resumption ofRun(Path folderOrFile, @Nullable CommandSpec spec) throws IOException {
        boolean file = Files.isRegularFile(folderOrFile);
        Path folder = file ? folderOrFile.resolveSibling("") : folderOrFile;
        ConfigSource source = configuration(folder, spec);
        if (file) {
            return new Resumption(folder, source, read(folderOrFile, folder));
        }
        @Nullable Checkpoint newest = newest(folder);
        if (newest == null) {
            boolean comparison = !Files.exists(folder.resolve("metrics.jsonl"))
                    && !RunLog.below(folder).isEmpty();
            throw UserError.usage("--resume " + folder
                    + (comparison
                            ? ": is a comparison; go on with it by 'crescendo compare --resume " + folder + "'"
                            : ": there is no checkpoint in it to go on from"));
        }
        return new Resumption(folder, source, newest);
    }

    /** The configuration of a comparison in a folder. */
    static ConfigSource ofComparison(Path folder, @Nullable CommandSpec spec) {
        ConfigSource source = configuration(folder, spec);
        if (Files.exists(folder.resolve("metrics.jsonl"))) {
            throw UserError.usage("--resume " + folder
                    + ": is a single run; go on with it by 'crescendo train --resume " + folder + "'");
        }
        return source;
    }

    private static ConfigSource configuration(Path folder, @Nullable CommandSpec spec) {
        if (spec != null) {
            for (String option : DECIDED) {
                if (spec.commandLine().getParseResult().hasMatchedOption(option)) {
                    throw UserError.usage("--resume goes on with " + folder.resolve(CONFIGURATION)
                            + " as it is; leave out " + option);
                }
            }
        }
        if (!Files.isDirectory(folder)) {
            throw UserError.usage("--resume " + folder + ": there is no such folder; name one that a run left");
        }
        if (!Files.exists(folder.resolve(CONFIGURATION))) {
            throw UserError.usage("--resume " + folder + ": no run in it (no " + CONFIGURATION + ")");
        }
        return ConfigSource.of(null, folder.resolve(CONFIGURATION));
    }

    /** The newest checkpoint in a folder, or null if there is none. */
    static @Nullable Checkpoint newest(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            return null;
        }
        List<Path> files = CheckpointFolder.of(folder).files();
        return files.isEmpty() ? null : read(files.get(files.size() - 1), folder);
    }

    /** A damaged file is named, and with it the one before. */
    private static Checkpoint read(Path file, Path folder) throws IOException {
        try {
            return Checkpoint.read(file);
        } catch (SafetensorsException | IllegalArgumentException e) {
            List<Path> earlier = CheckpointFolder.of(folder).files().stream()
                    .filter(other -> CheckpointFolder.updates(other) < CheckpointFolder.updates(file))
                    .toList();
            throw UserError.failure(
                    e.getMessage() + "; "
                            + (earlier.isEmpty()
                                    ? "there is none before it, so the run must begin anew"
                                    : "the one before it is " + earlier.get(earlier.size() - 1)
                                            + ": go on from there with 'crescendo train --resume "
                                            + earlier.get(earlier.size() - 1) + "', or remove the damaged file"),
                    e);
        }
    }

    // ---- Comparisons

    /** For the head of a comparison's configuration; empty for one seed, which the configuration states itself. */
    static String seedsLine(List<Long> seeds) {
        return seeds.size() == 1 ? "" : SEEDS + seeds + "\n";
    }

    /** The seeds of a comparison, or null for the one that its configuration states. */
    static @Nullable List<Long> seeds(Path folder) throws IOException {
        String first = Files.readString(folder.resolve(CONFIGURATION))
                .lines()
                .findFirst()
                .orElse("");
        if (!first.startsWith(SEEDS)) {
            return null;
        }
        try {
            return Arrays.stream(first.substring(SEEDS.length()).split("[\\[\\], ]+", -1))
                    .filter(seed -> !seed.isEmpty())
                    .map(Long::valueOf)
                    .collect(Collectors.toList());
        } catch (NumberFormatException e) {
            throw UserError.usage(
                    folder.resolve(CONFIGURATION) + ":1: must name seeds as in '" + SEEDS + "[1, 2]', found '" + first
                            + "'",
                    e);
        }
    }

    /** What can be done after Ctrl-C. */
    static String afterInterruption(String command, Path folder, Experiment.Saving saving) {
        return "interrupted; 'crescendo plot " + folder + "' draws what was recorded"
                + (saving.wanted() ? ", 'crescendo " + command + " --resume " + folder + "' goes on" : "");
    }
}
