package io.crescendo.cli.run;

import io.crescendo.cli.UserError;
import io.crescendo.train.CheckpointFolder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** The folder that a run or a comparison writes into. */
public final class RunDirectory {
    private static final Path RUNS = Path.of("runs");

    /** What a run leaves directly in its folder; {@code --force} removes these and the folders of schedules only. */
    private static final List<String> MARKS = List.of(MetricsFile.NAME, "config.yaml", SummaryFile.NAME, "report.html");

    private RunDirectory() {}

    /**
     * Creates the folder and makes sure that it can be written, before any work is done.
     *
     * @param chosen the folder the user named, or null for {@code runs/<name>}, {@code runs/<name>-2} and so on
     * @param force whether an earlier run in it is replaced
     */
    public static Path create(@Nullable Path chosen, String name, boolean force) {
        if (chosen != null && chosen.toString().isBlank()) {
            throw UserError.usage("--out: names no folder; name one, or leave it out for " + RUNS.resolve(name));
        }
        Path folder = chosen != null ? chosen : force ? RUNS.resolve(name) : free(RUNS, name);
        try {
            if (holdsRun(folder)) {
                if (!force) {
                    throw UserError.usage("--out " + folder
                            + ": there is a run in it already; choose another folder or replace it with --force");
                }
                clear(folder);
            }
        } catch (IOException e) {
            throw unwritable(folder, chosen != null, e);
        }
        requireWritable(folder, chosen != null);
        return folder;
    }

    /** Creates a folder if need be and tries to write in it. */
    public static void requireWritable(Path folder, boolean chosen) {
        try {
            Files.createDirectories(folder);
            Files.delete(Files.createTempFile(folder, ".probe", null));
        } catch (IOException e) {
            throw unwritable(folder, chosen, e);
        }
    }

    private static UserError unwritable(Path folder, boolean chosen, IOException e) {
        return UserError.usage(
                (chosen ? "--out " : "") + folder + ": cannot be written (" + reason(folder, e)
                        + "); choose another folder with --out",
                e);
    }

    /** Whether a run was written there. */
    static boolean holdsRun(Path folder) {
        return MARKS.stream().anyMatch(mark -> Files.exists(folder.resolve(mark)));
    }

    private static Path free(Path parent, String name) {
        Path folder = parent.resolve(name);
        for (int number = 2; Files.exists(folder) && !isEmpty(folder); number++) {
            folder = parent.resolve(name + "-" + number);
        }
        return folder;
    }

    private static boolean isEmpty(Path folder) {
        try (Stream<Path> files = Files.list(folder)) {
            return files.findAny().isEmpty();
        } catch (IOException e) {
            return false; // a file, or unreadable: go on to the next name
        }
    }

    private static void clear(Path folder) throws IOException {
        List<Path> entries;
        try (Stream<Path> files = Files.list(folder)) {
            entries = files.toList();
        }
        for (Path entry : entries) {
            String name = String.valueOf(entry.getFileName());
            if (Files.isDirectory(entry)) {
                // The folder of a schedule holds a run, or one per seed.
                if (holdsRun(entry) || anySeedIn(entry)) {
                    deleteAll(entry);
                }
            } else if (MARKS.contains(name)
                    || name.endsWith(".svg")
                    || name.endsWith(".png")
                    || CheckpointFolder.updates(entry) >= 0) {
                Files.delete(entry);
            }
        }
    }

    private static boolean anySeedIn(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.anyMatch(RunDirectory::holdsRun);
        }
    }

    private static void deleteAll(Path folder) throws IOException {
        List<Path> entries;
        try (Stream<Path> files = Files.walk(folder)) {
            entries = files.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path entry : entries) {
            Files.delete(entry);
        }
    }

    private static String reason(Path folder, IOException e) {
        for (Path path = folder.toAbsolutePath(); path != null; path = path.getParent()) {
            if (Files.exists(path) && !Files.isDirectory(path)) {
                return path + " is a file";
            }
            if (Files.isDirectory(path) && !Files.isWritable(path)) {
                return "no permission to write in " + path;
            }
        }
        return e.getClass().getSimpleName() + ": " + e.getMessage();
    }
}
