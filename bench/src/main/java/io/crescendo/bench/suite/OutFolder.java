package io.crescendo.bench.suite;

import io.crescendo.cli.UserError;
import io.crescendo.cli.run.RunDirectory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** The folder that the draft of a record goes into. */
final class OutFolder {
    static final String README = "README.md";
    static final String CONFIG = "config.json";
    static final String MACHINE = "raw/machine.json";
    static final String RESULTS = "raw/suite.json";
    static final String FIGURES = "figures";

    private OutFolder() {}

    /**
     * Creates it, before anything is measured.
     *
     * @param force whether an earlier run in it is replaced; what a run does not write stays
     * @throws UserError if it holds anything and nothing is to be replaced, or if it cannot be written
     */
    static void prepare(Path folder, boolean force) {
        try {
            if (force) {
                removeRun(folder);
            } else if (Files.isDirectory(folder) && !children(folder).isEmpty()) {
                throw UserError.usage("--out " + folder
                        + ": is not empty; choose another folder, or replace an earlier run there with --force");
            }
        } catch (IOException e) {
            throw UserError.usage(
                    "--out " + folder + ": cannot be read or replaced (" + e + "); choose another folder", e);
        }
        RunDirectory.requireWritable(folder, true);
        RunDirectory.requireWritable(folder.resolve("raw"), true);
        RunDirectory.requireWritable(folder.resolve(FIGURES), true);
    }

    /** A draft and figures that the new run does not write would pass for its own. */
    private static void removeRun(Path folder) throws IOException {
        List<Path> run = new ArrayList<>();
        Stream.of(README, CONFIG, MACHINE, RESULTS).map(folder::resolve).forEach(run::add);
        if (Files.isDirectory(folder.resolve(FIGURES))) {
            children(folder.resolve(FIGURES)).stream()
                    .filter(path ->
                            path.toString().endsWith(".svg") || path.toString().endsWith(".png"))
                    .forEach(run::add);
        }
        for (Path file : run) {
            Files.deleteIfExists(file);
        }
    }

    private static List<Path> children(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.toList();
        }
    }
}
