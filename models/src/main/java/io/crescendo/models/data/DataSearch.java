package io.crescendo.models.data;

import io.crescendo.data.DataException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The directories in which data sets are looked for, in order.
 *
 * <p>In each place the files may lie in a subdirectory named like the data set, or directly.
 *
 * @param places the directories, best first
 * @param cache where downloads are kept; one of the places
 * @param announce hears what takes long before it begins, a download that is; a sentence each
 */
public record DataSearch(List<Place> places, Path cache, Consumer<String> announce) {
    private static final String VARIABLE = "CRESCENDO_DATA";

    /**
     * One directory.
     *
     * @param origin why it is searched, for messages: {@code --data}, say
     * @param chosen whether the user named it, so that its absence is an error
     */
    public record Place(String origin, Path directory, boolean chosen) {}

    /** A search that announces nothing. */
    public DataSearch(List<Place> places, Path cache) {
        this(places, cache, sentence -> {});
    }

    /** The same with somebody to hear what takes long. */
    public DataSearch announcing(Consumer<String> listener) {
        return new DataSearch(places, cache, listener);
    }

    public DataSearch {
        places = List.copyOf(places);
    }

    /**
     * The directory given with {@code --data} (null for none), $CRESCENDO_DATA, /usr/share/datasets and
     * ~/.cache/crescendo.
     */
    public static DataSearch standard(@Nullable Path dataDirectory) {
        return of(dataDirectory, System.getenv(), Path.of(System.getProperty("user.home")));
    }

    static DataSearch of(@Nullable Path dataDirectory, Map<String, String> environment, Path home) {
        List<Place> places = new ArrayList<>();
        if (dataDirectory != null) {
            places.add(new Place("--data", dataDirectory, true));
        }
        String variable = environment.get(VARIABLE);
        if (variable != null && !variable.isBlank()) {
            places.add(new Place("$" + VARIABLE, Path.of(variable), true));
        }
        places.add(new Place("system", Path.of("/usr/share/datasets"), false));
        Path cache = home.resolve(".cache").resolve("crescendo");
        places.add(new Place("cache", cache, false));
        return new DataSearch(places, cache);
    }

    /**
     * The first directory that holds every file, or null.
     *
     * @param subdirectories names to try below each place, before the place itself
     * @param files the files' names; each may also be there with {@code .gz} appended
     * @throws DataException if a directory that the user named is none, or a place outside the cache holds only some
     */
    @Nullable
    Path find(List<String> subdirectories, List<String> files) {
        for (Place place : places) {
            requireDirectory(place);
            for (Path directory : candidates(place, subdirectories)) {
                List<String> missing = missing(directory, files);
                if (missing.isEmpty()) {
                    return directory;
                }
                // Half a data set is a broken copy; going on silently would train on other files than the user thinks.
                if (missing.size() < files.size() && !place.directory().equals(cache)) {
                    throw new DataException(directory + ": expected " + String.join(", ", files)
                            + " (plain or .gz), but these are missing: " + String.join(", ", missing)
                            + "; complete the directory or name another with --data");
                }
            }
        }
        return null;
    }

    /**
     * The first directory that holds a directory of this name, or null.
     *
     * @throws DataException if a directory that the user named is none
     */
    @Nullable
    Path findAround(String child, List<String> subdirectories) {
        for (Place place : places) {
            requireDirectory(place);
            for (Path directory : candidates(place, subdirectories)) {
                if (Files.isDirectory(directory.resolve(child))) {
                    return directory;
                }
            }
        }
        return null;
    }

    private static void requireDirectory(Place place) {
        if (place.chosen() && !Files.isDirectory(place.directory())) {
            throw new DataException(place.origin() + " " + place.directory() + ": expected a directory, found "
                    + (Files.exists(place.directory()) ? "a file" : "nothing") + "; correct it or leave it out");
        }
    }

    /** What was searched, one line per directory. */
    String describe(List<String> subdirectories) {
        StringBuilder text = new StringBuilder();
        for (Place place : places) {
            for (Path directory : candidates(place, subdirectories)) {
                text.append("  ")
                        .append(directory)
                        .append(" (")
                        .append(place.origin())
                        .append(")\n");
            }
        }
        return text.toString();
    }

    /** The file in the directory, plain if it is there and otherwise compressed. */
    static Path resolve(Path directory, String file) {
        Path plain = directory.resolve(file);
        return Files.isRegularFile(plain) ? plain : directory.resolve(file + ".gz");
    }

    private static List<Path> candidates(Place place, List<String> subdirectories) {
        List<Path> candidates = new ArrayList<>();
        for (String subdirectory : subdirectories) {
            candidates.add(place.directory().resolve(subdirectory));
        }
        candidates.add(place.directory());
        return candidates;
    }

    private static List<String> missing(Path directory, List<String> files) {
        return files.stream()
                .filter(file -> !Files.isRegularFile(resolve(directory, file)))
                .toList();
    }
}
