package io.crescendo.train;

import io.crescendo.schedule.Progress;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Where and how often a run leaves checkpoints: {@code checkpoint-<updates>.safetensors}, of which the newest two are
 * kept, so that one damaged file does not cost a run.
 *
 * @param folder must exist
 * @param everyEpochs a checkpoint after every so many epochs; 0 for one every two minutes; at the end there is one in
 *     any case
 */
public record CheckpointFolder(Path folder, double everyEpochs) {
    /** What a failure may cost where nothing else is asked for. */
    private static final long PATIENCE_NANOS = 120_000_000_000L;

    private static final int KEPT = 2;

    private static final Pattern NAME = Pattern.compile("checkpoint-(\\d{1,18})\\.safetensors");

    public CheckpointFolder {
        if (!(everyEpochs >= 0 && everyEpochs < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("the epochs between checkpoints must be positive, or 0 for one every two"
                    + " minutes, but are " + everyEpochs);
        }
    }

    /** A checkpoint every two minutes and at the end. */
    public static CheckpointFolder of(Path folder) {
        return new CheckpointFolder(folder, 0);
    }

    /** The checkpoint of so many updates. */
    public Path file(long updates) {
        return folder.resolve(String.format(Locale.ROOT, "checkpoint-%08d.safetensors", updates));
    }

    /** The checkpoints in the folder, oldest first. */
    public List<Path> files() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.filter(file -> updates(file) >= 0)
                    .sorted(Comparator.comparingLong(CheckpointFolder::updates))
                    .toList();
        }
    }

    /** Updates made before a checkpoint by its name, or −1 if the name is not a checkpoint's. */
    public static long updates(Path file) {
        Matcher name = NAME.matcher(String.valueOf(file.getFileName()));
        return name.matches() ? Long.parseLong(name.group(1)) : -1;
    }

    boolean isDue(Progress before, Progress after, long nanosSinceTheLast) {
        return everyEpochs == 0
                ? nanosSinceTheLast > PATIENCE_NANOS
                : Math.floor(after.epochs() / everyEpochs) > Math.floor(before.epochs() / everyEpochs);
    }

    /** Removes all but the newest. */
    void prune() throws IOException {
        List<Path> files = files();
        for (Path file : files.subList(0, Math.max(0, files.size() - KEPT))) {
            Files.deleteIfExists(file);
        }
    }

    /** Removes what a run left that went further than the one that goes on from here. */
    public void removeAfter(long updates) throws IOException {
        for (Path file : files()) {
            if (updates(file) > updates) {
                Files.delete(file);
            }
        }
    }
}
