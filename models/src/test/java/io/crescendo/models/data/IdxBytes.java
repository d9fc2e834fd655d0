package io.crescendo.models.data;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.GZIPOutputStream;

/** Builds the bytes of IDX files, good and bad. */
final class IdxBytes {
    private IdxBytes() {}

    static byte[] idx(byte[] elements, int... sizes) {
        ByteBuffer buffer = ByteBuffer.allocate(4 + 4 * sizes.length + elements.length); // big endian
        buffer.putInt(0x0800 | sizes.length);
        for (int size : sizes) {
            buffer.putInt(size);
        }
        return buffer.put(elements).array();
    }

    static byte[] gzip(byte[] bytes) throws IOException {
        ByteArrayOutputStream output = new ByteArrayOutputStream();
        try (GZIPOutputStream gzip = new GZIPOutputStream(output)) {
            gzip.write(bytes);
        }
        return output.toByteArray();
    }

    /** A copy with one byte replaced. */
    static byte[] with(byte[] bytes, int place, int value) {
        byte[] copy = bytes.clone();
        copy[place] = (byte) value;
        return copy;
    }

    /** Writes the four files of a small data set of the form of Fashion-MNIST. */
    static void writeFashion(Path directory, int training, int test, boolean compressed) throws IOException {
        Files.createDirectories(directory);
        String ending = compressed ? ".gz" : "";
        for (boolean isTraining : new boolean[] {true, false}) {
            int count = isTraining ? training : test;
            byte[] images = idx(new byte[count * 28 * 28], count, 28, 28);
            byte[] labels = idx(new byte[count], count);
            Files.write(
                    directory.resolve((isTraining ? FashionMnist.TRAINING_IMAGES : FashionMnist.TEST_IMAGES) + ending),
                    compressed ? gzip(images) : images);
            Files.write(
                    directory.resolve((isTraining ? FashionMnist.TRAINING_LABELS : FashionMnist.TEST_LABELS) + ending),
                    compressed ? gzip(labels) : labels);
        }
    }

    static void assertMentions(Throwable error, String... parts) {
        String message = String.valueOf(error.getMessage());
        for (String part : parts) {
            assertTrue(message.contains(part), () -> "'" + part + "' is not in: " + message);
        }
    }
}
