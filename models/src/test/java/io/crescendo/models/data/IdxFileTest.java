package io.crescendo.models.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.data.DataException;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.concurrent.ThreadLocalRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class IdxFileTest {
    private final long seed = ThreadLocalRandom.current().nextLong();

    @TempDir
    Path directory;

    private Path write(String name, byte[] bytes) throws IOException {
        return Files.write(directory.resolve(name), bytes);
    }

    /** Reads the bytes and returns the message of the error, which must name the file and every given part. */
    private void assertRejected(byte[] bytes, String... parts) throws IOException {
        Path file = write("broken", bytes);
        DataException error = assertThrows(DataException.class, () -> IdxFile.read(file));
        IdxBytes.assertMentions(error, file.toString());
        IdxBytes.assertMentions(error, parts);
    }

    @Test
    void plainAndCompressedFilesReadTheSame() throws IOException {
        SplittableRandom random = new SplittableRandom(seed);
        byte[] pixels = new byte[7 * 5 * 3];
        random.nextBytes(pixels);
        byte[] images = IdxBytes.idx(pixels, 7, 5, 3);
        byte[] labels = IdxBytes.idx(new byte[] {0, 1, 2, 3, 2, 1, 0}, 7);
        IdxFile plainImages = IdxFile.read(write("images", images));
        // The name says nothing: gzip is recognised by its bytes.
        IdxFile compressedImages = IdxFile.read(write("other", IdxBytes.gzip(images)));
        IdxFile labelFile = IdxFile.read(write("labels.gz", IdxBytes.gzip(labels)));
        assertEquals(3, plainImages.rank());
        assertEquals(5, plainImages.size(1));
        for (IdxFile file : new IdxFile[] {plainImages, compressedImages}) {
            Dataset dataset = IdxFile.dataset("tiny", 4, file, labelFile);
            assertEquals(7, dataset.size());
            assertEquals(new ImageShape(1, 5, 3), dataset.shape());
            byte[] image = new byte[15];
            for (int index = 0; index < 7; index++) {
                dataset.copyImage(index, image, 0);
                assertArrayEquals(Arrays.copyOfRange(pixels, index * 15, index * 15 + 15), image, "seed " + seed);
                assertEquals(index < 4 ? index : 6 - index, dataset.label(index));
            }
        }
    }

    @Test
    void aMissingFileAndADirectoryAreNamed() {
        Path missing = directory.resolve("nowhere");
        IdxBytes.assertMentions(
                assertThrows(DataException.class, () -> IdxFile.read(missing)), missing.toString(), "no such file");
        IdxBytes.assertMentions(
                assertThrows(DataException.class, () -> IdxFile.read(directory)),
                directory.toString(),
                "cannot be read");
    }

    @Test
    void everyHeaderFieldIsChecked() throws IOException {
        byte[] good = IdxBytes.idx(new byte[6], 3, 2, 1);
        assertRejected(new byte[0], "magic number", "expected 4 bytes", "found 0");
        assertRejected(Arrays.copyOf(good, 3), "magic number", "expected 4 bytes", "found 3");
        assertRejected(IdxBytes.with(good, 0, 'P'), "magic number", "expected 00 00 08", "found 50 00 08 03");
        assertRejected(IdxBytes.with(good, 1, 1), "magic number", "found 00 01 08 03");
        assertRejected(IdxBytes.with(good, 2, 0x0D), "element type", "0x08", "found 0x0d", "float");
        assertRejected(IdxBytes.with(good, 2, 0x77), "element type", "found 0x77");
        assertRejected(IdxBytes.with(good, 3, 0), "rank", "1 to 4", "found 0");
        assertRejected(IdxBytes.with(good, 3, 255), "rank", "found 255");
        assertRejected(Arrays.copyOf(good, 10), "size of dimension 1", "expected 4 bytes", "found 2");
        assertRejected(IdxBytes.with(good, 11, 0), "size of dimension 1", "found 0");
        assertRejected(IdxBytes.with(good, 4, 0xFF), "size of dimension 0", "found 4278190083");
        // 2^25 + 3 images of 2^24 + 2 rows: the product must not wrap round into something harmless.
        assertRejected(IdxBytes.with(IdxBytes.with(good, 4, 2), 8, 1), "size of dimension 1", "more than 2147483639");
    }

    @Test
    void everyTruncationIsFound() throws IOException {
        byte[] good = IdxBytes.idx(new byte[6], 3, 2, 1);
        for (int length = 0; length < good.length; length++) {
            assertRejected(Arrays.copyOf(good, length), "expected", "found");
        }
        assertRejected(Arrays.copyOf(good, good.length - 1), "elements", "expected 6 bytes (3x2x1", "found 5");
        byte[] compressed = IdxBytes.gzip(good);
        for (int length = 2; length < compressed.length; length++) {
            assertRejected(Arrays.copyOf(compressed, length), "gzip", "too early");
        }
        // The whole elements are there, only their compressed form was cut from a shorter file.
        assertRejected(IdxBytes.gzip(Arrays.copyOf(good, good.length - 2)), "elements", "found 4");
    }

    @Test
    void aHeaderThatPromisesTwoGigabytesIsFoundOutWithoutTakingThem() throws IOException {
        assertRejected(IdxBytes.idx(new byte[6], 0x7FFFFF00), "elements", "expected 2147483392", "found 6");
    }

    @Test
    void trailingBytesAreFound() throws IOException {
        byte[] good = IdxBytes.idx(new byte[6], 3, 2, 1);
        byte[] longer = Arrays.copyOf(good, good.length + 1);
        assertRejected(longer, "elements", "expected 6 bytes", "found more");
        assertRejected(IdxBytes.gzip(longer), "elements", "expected 6 bytes", "found more");
    }

    @Test
    void corruptCompressedDataIsFound() throws IOException {
        SplittableRandom random = new SplittableRandom(seed);
        byte[] pixels = new byte[1000];
        random.nextBytes(pixels);
        byte[] compressed = IdxBytes.gzip(IdxBytes.idx(pixels, 1000));
        assertRejected(IdxBytes.with(compressed, 2, 9), "gzip", "corrupt");
        for (int trial = 0; trial < 50; trial++) {
            // Any flipped bit of the data or the checksum; a fault may show in the header, the elements or the
            // checksum. Random bytes do not compress, so they are a stored block (RFC 1951, 3.2.4) with 3 bits of
            // header and 5 of padding, which no reader looks at, in byte 10; all bits from byte 11 on count.
            int place = random.nextInt(11, compressed.length);
            byte[] broken = IdxBytes.with(compressed, place, compressed[place] ^ 1 << random.nextInt(8));
            Path file = write("broken", broken);
            assertThrows(DataException.class, () -> IdxFile.read(file), "seed " + seed + ", byte " + place);
        }
        // Only the checksum differs: all elements were delivered before it is compared.
        int checksum = compressed.length - 8;
        assertRejected(IdxBytes.with(compressed, checksum, compressed[checksum] ^ 1), "gzip", "corrupt", "trailer");
    }

    @Test
    void filesThatDoNotBelongTogetherAreFound() throws IOException {
        IdxFile images = IdxFile.read(write("images", IdxBytes.idx(new byte[6], 3, 2, 1)));
        IdxFile labels = IdxFile.read(write("labels", IdxBytes.idx(new byte[] {0, 9, 4}, 3)));
        IdxFile two = IdxFile.read(write("two", IdxBytes.idx(new byte[2], 2)));
        IdxFile high = IdxFile.read(write("high", IdxBytes.idx(new byte[] {0, 9, 10}, 3)));
        IdxFile negative = IdxFile.read(write("negative", IdxBytes.idx(new byte[] {0, -1, 1}, 3)));
        assertEquals(3, IdxFile.dataset("d", 10, images, labels).size());
        assertPairRejected(images, two, "two", "count", "expected 3", "images", "found 2");
        assertPairRejected(images, high, "high", "label 2", "expected 0 to 9", "found 10");
        assertPairRejected(images, negative, "negative", "label 1", "found 255");
        assertPairRejected(labels, images, "labels", "rank", "expected 3", "found 1", "exchanged");
        assertPairRejected(images, images, "images", "rank", "expected 1", "found 3", "exchanged");
    }

    private static void assertPairRejected(IdxFile images, IdxFile labels, String... parts) {
        IdxBytes.assertMentions(
                assertThrows(DataException.class, () -> IdxFile.dataset("d", 10, images, labels)), parts);
        assertTrue(parts.length > 1);
    }
}
