package io.crescendo.models.data;

import io.crescendo.data.DataException;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.InMemoryDataset;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;
import org.jspecify.annotations.Nullable;

/**
 * CIFAR-10 in its binary version: 50,000 training and 10,000 test images of 32×32 RGB pixels in 10 balanced classes.
 *
 * <p>Six files of 10,000 records; a record is one label byte and 3,072 pixel bytes (C, H, W), red first. Not
 * downloaded: the files are looked for in the places of a {@link DataSearch}.
 *
 * <p>Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images".
 */
public final class Cifar10 {
    public static final String NAME = "cifar-10";

    /** The classes' names by label. */
    public static final List<String> CLASS_NAMES =
            List.of("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck");

    private static final List<String> TRAINING_FILES = IntStream.rangeClosed(1, 5)
            .mapToObj(number -> "data_batch_" + number + ".bin")
            .toList();
    private static final List<String> TEST_FILES = List.of("test_batch.bin");
    private static final List<String> FILES =
            Stream.concat(TRAINING_FILES.stream(), TEST_FILES.stream()).toList();
    private static final List<String> SUBDIRECTORIES = List.of(NAME, "cifar-10-batches-bin");
    private static final ImageShape SHAPE = new ImageShape(3, 32, 32);
    private static final int RECORDS_PER_FILE = 10_000;
    private static final String ARCHIVE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";

    private Cifar10() {}

    /**
     * Finds the files and reads them.
     *
     * @throws DataException if the files are not found, or damaged; the message says how to get them
     */
    public static DataSplit load(DataSearch search) {
        return load(search, RECORDS_PER_FILE);
    }

    static DataSplit load(DataSearch search, int recordsPerFile) {
        Path directory = find(search);
        if (directory == null) {
            throw new DataException("CIFAR-10 was not found. Searched for " + String.join(", ", FILES) + " in:\n"
                    + search.describe(SUBDIRECTORIES) + "Get " + ARCHIVE
                    + ", unpack it, and name the directory with --data DIR or $CRESCENDO_DATA,\n"
                    + "or unpack it in " + search.cache());
        }
        return new DataSplit(
                read(directory, "training", TRAINING_FILES, recordsPerFile),
                read(directory, "test", TEST_FILES, recordsPerFile));
    }

    /** The directory that holds the files, or null. */
    static @Nullable Path find(DataSearch search) {
        return search.find(SUBDIRECTORIES, FILES);
    }

    private static Dataset read(Path directory, String part, List<String> files, int recordsPerFile) {
        int length = SHAPE.pixels();
        byte[] labels = new byte[files.size() * recordsPerFile];
        byte[] pixels = new byte[labels.length * length];
        int image = 0;
        for (String name : files) {
            Path file = DataSearch.resolve(directory, name);
            byte[] records = readRecords(file, recordsPerFile * (1 + length));
            for (int record = 0; record < recordsPerFile; record++, image++) {
                int start = record * (1 + length);
                int label = records[start] & 0xFF;
                if (label >= CLASS_NAMES.size()) {
                    throw new DataException(file + ": label of record " + record + ": expected 0 to "
                            + (CLASS_NAMES.size() - 1) + ", found " + label
                            + "; the file is damaged or of another data set (CIFAR-100?): get " + ARCHIVE + " again");
                }
                labels[image] = (byte) label;
                System.arraycopy(records, start + 1, pixels, image * length, length);
            }
        }
        return new InMemoryDataset(NAME + "/" + part, CLASS_NAMES.size(), SHAPE, pixels, labels);
    }

    private static byte[] readRecords(Path file, int expected) {
        try (InputStream plain = Files.newInputStream(file);
                InputStream input = file.toString().endsWith(".gz") ? new GZIPInputStream(plain) : plain) {
            byte[] records = input.readNBytes(expected);
            boolean longer = input.read() >= 0;
            if (records.length < expected || longer) {
                throw new DataException(file + ": length: expected " + expected + " bytes, found "
                        + (longer ? "more" : records.length) + "; the file is damaged: get " + ARCHIVE + " again");
            }
            return records;
        } catch (IOException e) {
            throw new DataException(
                    file + ": cannot be read (" + e + "); check its permissions, or get " + ARCHIVE + " again", e);
        }
    }
}
