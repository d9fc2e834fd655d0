package io.crescendo.models.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.Normalization;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;

class FashionMiniTest {
    private final DataSplit split = FashionMini.load();

    private static byte[] resource(String name) throws IOException {
        try (InputStream input = FashionMini.class.getResourceAsStream("fashion-mini/" + name)) {
            assertNotNull(input, name);
            return input.readAllBytes();
        }
    }

    private static String sha256(byte[]... parts) throws Exception {
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        for (byte[] part : parts) {
            digest.update(part);
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    @Test
    void theEmbeddedFilesAreThePublishedOnesAndCarryTheirLicence() throws Exception {
        assertEquals(
                "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
                sha256(resource("t10k-images-idx3-ubyte.gz")));
        assertEquals(
                "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
                sha256(resource("t10k-labels-idx1-ubyte.gz")));
        String licence = new String(resource("LICENSE"), StandardCharsets.UTF_8);
        assertTrue(licence.contains("Zalando SE") && licence.contains("Permission is hereby granted"));
    }

    @Test
    void theSplitIsBalanced() {
        assertEquals(8000, split.training().size());
        assertEquals(2000, split.test().size());
        assertEquals(new ImageShape(1, 28, 28), split.training().shape());
        assertEquals(10, split.training().classes());
        assertEquals(10, FashionMnist.CLASS_NAMES.size());
        assertEquals("fashion-mini/training", split.training().name());
        assertCounts(800, split.training());
        assertCounts(200, split.test());
    }

    private static void assertCounts(int each, Dataset dataset) {
        int[] counts = new int[10];
        for (int index = 0; index < dataset.size(); index++) {
            counts[dataset.label(index)]++;
        }
        int[] expected = new int[10];
        Arrays.fill(expected, each);
        assertArrayEquals(expected, counts);
    }

    /** The sums of the pixels of each class, computed from the files independently of this program. */
    @Test
    void theSplitAndThePixelsDoNotChange() {
        assertArrayEquals(
                new long[] {
                    52244449, 35551011, 59794866, 41756728, 62465171, 21772202, 53729846, 26817123, 55942273, 47790589
                },
                sums(split.training()));
        assertArrayEquals(
                new long[] {
                    13316498, 9122413, 14961631, 10296965, 15734981, 5477546, 12799150, 6910395, 14726659, 12258586
                },
                sums(split.test()));
    }

    private static long[] sums(Dataset dataset) {
        long[] sums = new long[10];
        byte[] image = new byte[28 * 28];
        for (int index = 0; index < dataset.size(); index++) {
            dataset.copyImage(index, image, 0);
            for (byte pixel : image) {
                sums[dataset.label(index)] += pixel & 0xFF;
            }
        }
        return sums;
    }

    @Test
    void theNormalizationIsThatOfFashionMnist() {
        Normalization normalization = Normalization.of(split.training());
        // The full training set has 0.2860 and 0.3530; a sample of 8,000 images lies within half a hundredth.
        assertEquals(0.2860, normalization.mean()[0], 0.005);
        assertEquals(0.3530, normalization.standardDeviation()[0], 0.005);
    }
}
