package io.crescendo.models.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.crescendo.data.DataException;
import io.crescendo.data.ImageShape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ThreadLocalRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class Cifar10Test {
    private static final int RECORDS = 3;
    private static final int RECORD_BYTES = 3073;

    private final long seed = ThreadLocalRandom.current().nextLong();

    @TempDir
    Path root;

    private DataSearch search() {
        return new DataSearch(List.of(new DataSearch.Place("--data", root, true)), root.resolve("cache"));
    }

    /** Six files; record r of file f (0 to 5) has the label f + r. */
    private byte[][] write(Path directory) throws IOException {
        Files.createDirectories(directory);
        SplittableRandom random = new SplittableRandom(seed);
        byte[][] files = new byte[6][RECORDS * RECORD_BYTES];
        for (int file = 0; file < 6; file++) {
            random.nextBytes(files[file]);
            for (int record = 0; record < RECORDS; record++) {
                files[file][record * RECORD_BYTES] = (byte) (file + record);
            }
            Files.write(directory.resolve(name(file)), files[file]);
        }
        return files;
    }

    private static String name(int file) {
        return file < 5 ? "data_batch_" + (file + 1) + ".bin" : "test_batch.bin";
    }

    @Test
    void readsTheBinaryVersion() throws IOException {
        byte[][] files = write(root.resolve("cifar-10-batches-bin"));
        DataSplit split = Cifar10.load(search(), RECORDS);
        assertEquals(5 * RECORDS, split.training().size());
        assertEquals(RECORDS, split.test().size());
        assertEquals(new ImageShape(3, 32, 32), split.test().shape());
        assertEquals(10, Cifar10.CLASS_NAMES.size());
        byte[] image = new byte[3072];
        split.training().copyImage(2 * RECORDS + 1, image, 0); // data_batch_3, record 1
        assertArrayEquals(Arrays.copyOfRange(files[2], RECORD_BYTES + 1, 2 * RECORD_BYTES), image, "seed " + seed);
        assertEquals(3, split.training().label(2 * RECORDS + 1));
        assertEquals(5 + 2, split.test().label(2));
    }

    @Test
    void damagedFilesAreNamed() throws IOException {
        byte[][] files = write(root);
        Path file = root.resolve(name(5));
        Files.write(file, Arrays.copyOf(files[5], files[5].length - 1));
        assertRejected(file.toString(), "length", "expected 9219", "found 9218");
        Files.write(file, Arrays.copyOf(files[5], files[5].length + 1));
        assertRejected(file.toString(), "length", "expected 9219", "found more");
        Files.write(file, IdxBytes.with(files[5], RECORD_BYTES, 10));
        assertRejected(file.toString(), "label of record 1", "expected 0 to 9", "found 10");
        Files.delete(file);
        assertRejected(root.toString(), "missing: test_batch.bin");
    }

    @Test
    void absentFilesAreExplained() {
        assertRejected("data_batch_1.bin", root.resolve("cifar-10").toString(), "cifar-10-binary.tar.gz", "--data DIR");
        IdxBytes.assertMentions(
                assertThrows(DataException.class, () -> Datasets.load("cifar10", new DataSearch(List.of(), root))),
                "unknown data set 'cifar10'",
                "fashion-mnist, cifar-10");
        IdxBytes.assertMentions(
                assertThrows(DataException.class, () -> Datasets.load("cifar-10", search())), "CIFAR-10 was not found");
    }

    private void assertRejected(String... parts) {
        IdxBytes.assertMentions(assertThrows(DataException.class, () -> Cifar10.load(search(), RECORDS)), parts);
    }
}
