package io.crescendo.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class DatasetTest {
    private final long seed = ThreadLocalRandom.current().nextLong();

    private static byte[] image(Dataset dataset, int index) {
        byte[] image = new byte[dataset.shape().pixels() + 2];
        dataset.copyImage(index, image, 1);
        assertEquals(0, image[0]);
        assertEquals(0, image[image.length - 1]);
        return Arrays.copyOfRange(image, 1, image.length - 1);
    }

    @Test
    void anInMemoryDataSetHandsOutWhatItWasGiven() {
        Dataset dataset = new InMemoryDataset(
                "tiny", 200, new ImageShape(1, 1, 2), new byte[] {1, 2, 3, 4, (byte) 250, 6}, new byte[] {
                    0, 1, (byte) 199
                });
        assertEquals(3, dataset.size());
        assertEquals(199, dataset.label(2));
        assertArrayEquals(new byte[] {(byte) 250, 6}, image(dataset, 2));
        assertThrows(IndexOutOfBoundsException.class, () -> image(dataset, 3));
        assertThrows(IndexOutOfBoundsException.class, () -> image(dataset, -1));
    }

    @Test
    void anInMemoryDataSetRejectsArraysThatDisagree() {
        ImageShape shape = new ImageShape(1, 1, 1);
        String label = String.valueOf(assertThrows(
                        IllegalArgumentException.class,
                        () -> new InMemoryDataset("d", 2, shape, new byte[2], new byte[] {1, 2}))
                .getMessage());
        assertTrue(label.contains("label 2 at index 1") && label.contains("[0, 2)"), label);
        assertThrows(
                IllegalArgumentException.class, () -> new InMemoryDataset("d", 2, shape, new byte[3], new byte[2]));
        assertThrows(
                IllegalArgumentException.class, () -> new InMemoryDataset("d", 2, shape, new byte[0], new byte[0]));
        assertThrows(
                IllegalArgumentException.class, () -> new InMemoryDataset("d", 257, shape, new byte[1], new byte[1]));
    }

    /** A data set of the user's own whose label 17 is not one, or that is empty. */
    private static Dataset faulty(int size) {
        Dataset right = new RandomDataset(20, 3, new ImageShape(1, 2, 2), 1);
        return new Dataset() {
            @Override
            public String name() {
                return "own";
            }

            @Override
            public int size() {
                return size;
            }

            @Override
            public int classes() {
                return right.classes();
            }

            @Override
            public ImageShape shape() {
                return right.shape();
            }

            @Override
            public int label(int index) {
                return index == 17 ? 3 : right.label(index);
            }

            @Override
            public void copyImage(int index, byte[] destination, int offset) {
                right.copyImage(index, destination, offset);
            }
        };
    }

    @Test
    void aWrongLabelIsNamedByItsPlaceInTheDataSet() {
        Dataset own = faulty(20);
        Normalization normalization = Normalization.of(own);
        try (BatchStream stream = new BatchStream(own, normalization, Augmentation.NONE, seed)) {
            for (Executable use : List.<Executable>of(
                    () -> stream.next(0, 0, 20), () -> stream.source().label(17))) {
                String message =
                        String.valueOf(assertThrows(DataException.class, use).getMessage());
                assertTrue(message.contains("image 17 of 'own' has label 3") && message.contains("[0, 3)"), message);
            }
        }
    }

    @Test
    void anEmptyDataSetIsRefused() {
        String message = String.valueOf(assertThrows(DataException.class, () -> Normalization.of(faulty(0)))
                .getMessage());
        assertTrue(message.contains("'own' has no images"), message);
    }

    @Test
    void aSubsetRenumbersImages() {
        Dataset source = new RandomDataset(50, 7, new ImageShape(2, 3, 5), seed);
        Subset subset = new Subset("some", source, 41, 3, 3);
        assertEquals(3, subset.size());
        assertEquals(7, subset.classes());
        assertEquals(source.shape(), subset.shape());
        assertEquals(41 % 7, subset.label(0));
        assertArrayEquals(image(source, 3), image(subset, 2));
        Subset range = Subset.range("range", subset, 1, 3);
        assertEquals(2, range.size());
        assertArrayEquals(image(source, 3), image(range, 0));
        assertThrows(IndexOutOfBoundsException.class, () -> subset.label(3));
        assertThrows(IllegalArgumentException.class, () -> new Subset("bad", source, 50));
        assertThrows(IllegalArgumentException.class, () -> new Subset("none", source));
        assertThrows(IllegalArgumentException.class, () -> Subset.range("empty", source, 4, 4));
        assertThrows(IllegalArgumentException.class, () -> Subset.range("long", source, 4, 51));
    }

    @Test
    void aRandomDataSetIsReproducibleAndItsImagesDiffer() {
        ImageShape shape = new ImageShape(3, 5, 7);
        Dataset dataset = new RandomDataset(40, 10, shape, seed);
        Dataset again = new RandomDataset(40, 10, shape, seed);
        for (int index = 0; index < 40; index++) {
            assertArrayEquals(image(dataset, index), image(again, index), "seed " + seed);
            assertEquals(index % 10, dataset.label(index));
        }
        assertFalse(Arrays.equals(image(dataset, 0), image(dataset, 10)), "seed " + seed);
        assertFalse(
                Arrays.equals(image(dataset, 0), image(new RandomDataset(40, 10, shape, seed + 1), 0)), "seed " + seed);
        assertThrows(IndexOutOfBoundsException.class, () -> dataset.label(40));
    }

    @Test
    void theClassesOfARandomDataSetAreToldApartByTheirMeans() {
        int classes = 5;
        Dataset dataset = new RandomDataset(500, classes, new ImageShape(1, 8, 8), seed);
        double[][] mean = new double[classes][64];
        for (int index = 0; index < 400; index++) {
            byte[] image = image(dataset, index);
            for (int pixel = 0; pixel < 64; pixel++) {
                mean[dataset.label(index)][pixel] += (image[pixel] & 0xFF) / 80.0;
            }
        }
        int hits = 0;
        for (int index = 400; index < 500; index++) {
            byte[] image = image(dataset, index);
            double[] distance = new double[classes];
            for (int label = 0; label < classes; label++) {
                for (int pixel = 0; pixel < 64; pixel++) {
                    double difference = (image[pixel] & 0xFF) - mean[label][pixel];
                    distance[label] += difference * difference;
                }
            }
            int nearest = 0;
            for (int label = 1; label < classes; label++) {
                nearest = distance[label] < distance[nearest] ? label : nearest;
            }
            hits += nearest == dataset.label(index) ? 1 : 0;
        }
        // Means lie about 8 noise deviations apart on 64 pixels; chance would be 20.
        assertTrue(hits >= 90, hits + " of 100, seed " + seed);
    }

    @Test
    void normalizationHasTheMomentsOfThePixels() {
        byte[] pixels = {0, 0, 100, 100, (byte) 255, 0, 100, 100}; // two images (2, 1, 2)
        Dataset dataset = new InMemoryDataset("d", 1, new ImageShape(2, 1, 2), pixels, new byte[2]);
        Normalization normalization = Normalization.of(dataset);
        // Channel 0: 0, 0, 255, 0 has mean 1/4 and variance 3/16 in units of 255. Channel 1 is constant.
        assertEquals(0.25f, normalization.mean()[0]);
        assertEquals((float) Math.sqrt(3 / 16.0), normalization.standardDeviation()[0]);
        assertEquals((float) (100 / 255.0), normalization.mean()[1]);
        assertEquals(1f, normalization.standardDeviation()[1]);
        assertEquals(normalization, new Normalization(normalization.mean(), normalization.standardDeviation()));
        normalization.mean()[0] = 9;
        assertEquals(0.25f, normalization.mean()[0]);
        assertThrows(IllegalArgumentException.class, () -> new Normalization(new float[1], new float[1]));
        assertThrows(IllegalArgumentException.class, () -> new Normalization(new float[1], new float[2]));
    }

    /** Sorted by class, as folders are: a beginning alone would see one class only. */
    @Test
    void normalizationOfManyImagesLooksAtSomeOfEveryClass() {
        int images = 80_000;
        byte[] pixels = new byte[images];
        Arrays.fill(pixels, 0, images / 2, (byte) 50);
        Arrays.fill(pixels, images / 2, images, (byte) 150);
        AtomicInteger decoded = new AtomicInteger();
        Dataset all = new InMemoryDataset("d", 1, new ImageShape(1, 1, 1), pixels, new byte[images]);
        Dataset counted = new Dataset() {
            @Override
            public String name() {
                return all.name();
            }

            @Override
            public int size() {
                return all.size();
            }

            @Override
            public int classes() {
                return all.classes();
            }

            @Override
            public ImageShape shape() {
                return all.shape();
            }

            @Override
            public int label(int index) {
                return all.label(index);
            }

            @Override
            public void copyImage(int index, byte[] destination, int offset) {
                decoded.incrementAndGet();
                all.copyImage(index, destination, offset);
            }
        };
        Normalization normalization = Normalization.of(counted);
        assertEquals(16_384, decoded.get());
        assertEquals((float) (100 / 255.0), normalization.mean()[0]);
        assertEquals((float) (50 / 255.0), normalization.standardDeviation()[0]);
    }

    @Test
    void shapesMustBePositiveAndFitAnArray() {
        assertEquals(60, new ImageShape(3, 4, 5).pixels());
        assertThrows(IllegalArgumentException.class, () -> new ImageShape(0, 4, 5));
        assertThrows(IllegalArgumentException.class, () -> new ImageShape(1, -4, 5));
        assertThrows(IllegalArgumentException.class, () -> new ImageShape(2, 1 << 15, 1 << 15));
        int huge = Integer.MAX_VALUE;
        assertThrows(IllegalArgumentException.class, () -> new ImageShape(huge, huge, huge));
    }
}
