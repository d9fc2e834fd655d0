package io.crescendo.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteOrder;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class BatchStreamTest {
    private static final Duration NO_DEADLOCK = Duration.ofSeconds(60);

    private final long seed = ThreadLocalRandom.current().nextLong();
    private final Dataset dataset = new RandomDataset(103, 7, new ImageShape(3, 9, 11), seed);
    private final Normalization normalization = Normalization.of(dataset);
    private final Augmentation augmentation = new Augmentation(true, 2);

    private static float[] images(Batch batch) {
        float[] images = new float[batch.images().remaining()];
        batch.images().duplicate().get(images);
        return images;
    }

    private static int[] labels(Batch batch) {
        int[] labels = new int[batch.labels().remaining()];
        batch.labels().duplicate().get(labels);
        return labels;
    }

    @Test
    void aBatchSplitInAnyWayHoldsTheSameSamples() {
        try (BatchStream stream = new BatchStream(dataset, normalization, augmentation, seed);
                BatchStream other = new BatchStream(dataset, normalization, augmentation, seed)) {
            Batch whole = stream.next(5, 20, 10);
            float[] images = images(whole);
            int[] labels = labels(whole);
            assertEquals(10, whole.size());
            assertEquals(5 * 103 + 20, whole.firstSample());
            assertEquals(10 * dataset.shape().pixels(), images.length);
            int pixels = dataset.shape().pixels();

            // Out of order and from another stream, as a resumed run would.
            Batch second = other.next(5, 24, 6);
            assertEquals(5 * 103 + 24, second.firstSample());
            assertArrayEquals(Arrays.copyOfRange(images, 4 * pixels, 10 * pixels), images(second), "seed " + seed);
            assertArrayEquals(Arrays.copyOfRange(labels, 4, 10), labels(second), "seed " + seed);
            Batch first = other.next(5, 20, 4);
            assertArrayEquals(Arrays.copyOf(images, 4 * pixels), images(first), "seed " + seed);
            assertArrayEquals(Arrays.copyOf(labels, 4), labels(first), "seed " + seed);

            assertFalse(Arrays.equals(images, images(other.next(6, 20, 10))), "another epoch, seed " + seed);
        }
    }

    @Test
    void withoutAugmentationPixelsAreStandardisedAndLabelsFollowTheOrder() {
        byte[] raw = new byte[dataset.shape().pixels()];
        SampleOrder order = SampleOrder.shuffled(dataset.size(), seed);
        try (BatchStream stream = new BatchStream(dataset, normalization, Augmentation.NONE, seed)) {
            Batch batch = stream.next(2, 0, 103);
            assertTrue(batch.images().isDirect() && batch.labels().isDirect());
            assertSame(ByteOrder.nativeOrder(), batch.images().order());
            float[] images = images(batch);
            for (int position = 0; position < 103; position++) {
                int sample = order.sample(2, position);
                assertEquals(dataset.label(sample), batch.labels().get(position), "seed " + seed);
                dataset.copyImage(sample, raw, 0);
                for (int pixel = 0; pixel < raw.length; pixel++) {
                    int channel = pixel / (9 * 11);
                    float expected = (float)
                            (((raw[pixel] & 0xFF) / 255.0 - normalization.mean()[channel])
                                    / normalization.standardDeviation()[channel]);
                    // The same formula, evaluated once per level: equal to the bit.
                    assertEquals(expected, images[position * raw.length + pixel], "seed " + seed);
                }
            }
        }
    }

    @Test
    void everyAugmentedImageIsAMirroredShiftOfItsOwnAndAllOfThemOccur() {
        int[] seen = new int[2 * 5 * 5];
        byte[] raw = new byte[dataset.shape().pixels()];
        Normalization plain = new Normalization(new float[3], new float[] {1, 1, 1});
        SampleOrder order = SampleOrder.shuffled(dataset.size(), seed);
        try (BatchStream stream = new BatchStream(dataset, plain, augmentation, seed)) {
            for (int epoch = 0; epoch < 10; epoch++) {
                float[] images = images(stream.next(epoch, 0, 103));
                for (int position = 0; position < 103; position++) {
                    dataset.copyImage(order.sample(epoch, position), raw, 0);
                    int matches = 0;
                    for (int choice = 0; choice < seen.length; choice++) {
                        boolean flip = choice >= 25;
                        if (isCrop(images, position * raw.length, raw, choice / 5 % 5 - 2, choice % 5 - 2, flip)) {
                            seen[choice]++;
                            matches++;
                        }
                    }
                    assertEquals(1, matches, "seed " + seed + ", epoch " + epoch + ", position " + position);
                }
            }
        }
        // 1030 draws over 50 choices: 20.6 expected each, and zero has a probability of 50·e^-20.6 = 6e-8.
        for (int count : seen) {
            assertTrue(count > 0, "seed " + seed + ": " + Arrays.toString(seen));
        }
    }

    private static boolean isCrop(float[] images, int start, byte[] raw, int down, int right, boolean flip) {
        for (int channel = 0; channel < 3; channel++) {
            for (int row = 0; row < 9; row++) {
                for (int column = 0; column < 11; column++) {
                    int sourceRow = reflect(row + down, 9);
                    int sourceColumn = reflect((flip ? 10 - column : column) + right, 11);
                    int value = raw[(channel * 9 + sourceRow) * 11 + sourceColumn] & 0xFF;
                    if (images[start + (channel * 9 + row) * 11 + column] != (float) (value / 255.0)) {
                        return false;
                    }
                }
            }
        }
        return true;
    }

    private static int reflect(int line, int size) {
        return Math.abs(line) < size ? Math.abs(line) : 2 * (size - 1) - line;
    }

    @Test
    void evaluationGoesThroughTheDataSetInItsOwnOrder() {
        try (BatchStream stream = BatchStream.evaluation(dataset, normalization)) {
            int[] labels = labels(stream.next(0, 0, 103));
            for (int index = 0; index < 103; index++) {
                assertEquals(dataset.label(index), labels[index]);
            }
            byte[] raw = new byte[dataset.shape().pixels()];
            dataset.copyImage(4, raw, 0);
            float expected = (float) (((raw[0] & 0xFF) / 255.0 - normalization.mean()[0])
                    / normalization.standardDeviation()[0]);
            assertEquals(expected, stream.next(3, 4, 1).images().get(0));
        }
    }

    @Test
    void prefetchChangesNothingButTheTime() {
        assertTimeoutPreemptively(NO_DEADLOCK, () -> {
            try (BatchStream plain = new BatchStream(dataset, normalization, augmentation, seed);
                    BatchStream hinted = new BatchStream(dataset, normalization, augmentation, seed)) {
                int position = 0;
                for (int trial = 0; trial < 300; trial++) {
                    int count = 1 + trial % 13;
                    if (position + count > 103) {
                        position = 0;
                    }
                    switch (trial % 4) { // right, wrong, none, and changed hints
                        case 0 -> hinted.prefetch(trial / 10, position, count);
                        case 1 -> hinted.prefetch(trial / 10, 0, 103);
                        case 2 -> {
                            hinted.prefetch(trial, 0, 1);
                            hinted.prefetch(trial / 10, position, count);
                        }
                        default -> {}
                    }
                    Batch expected = plain.next(trial / 10, position, count);
                    Batch actual = hinted.next(trial / 10, position, count);
                    assertArrayEquals(images(expected), images(actual), "seed " + seed + ", trial " + trial);
                    assertArrayEquals(labels(expected), labels(actual), "seed " + seed + ", trial " + trial);
                    position += count;
                }
            }
        });
    }

    @Test
    void prefetchFillsTheOtherBatchWhileTheFirstIsHeld() {
        assertTimeoutPreemptively(NO_DEADLOCK, () -> {
            CountDownLatch filled = new CountDownLatch(4);
            Dataset counting = new Wrapped(dataset) {
                @Override
                public void copyImage(int index, byte[] destination, int offset) {
                    super.copyImage(index, destination, offset);
                    filled.countDown();
                }
            };
            try (BatchStream stream = new BatchStream(counting, normalization, Augmentation.NONE, seed)) {
                Batch held = stream.next(0, 0, 2);
                float[] before = images(held);
                stream.prefetch(0, 2, 2);
                filled.await(); // ends only if the background thread works without next being called
                assertArrayEquals(before, images(held));
                Batch following = stream.next(0, 2, 2);
                assertNotSame(held, following);
                assertSame(held, stream.next(0, 4, 2));
            }
        });
    }

    @Test
    void moreThanABufferHoldsIsRefusedBeforeMemoryIsAskedFor() {
        ImageShape large = new ImageShape(3, 512, 512);
        Dataset many = new RandomDataset(1000, 2, large, seed);
        Normalization none = new Normalization(new float[3], new float[] {1, 1, 1});
        try (BatchStream stream = new BatchStream(many, none, Augmentation.NONE, seed)) {
            assertEquals(682, Batch.mostSamples(large)); // 2^31 / (4 * 3 * 512 * 512) is 682.7
            String message = String.valueOf(assertThrows(IllegalArgumentException.class, () -> stream.next(0, 0, 683))
                    .getMessage());
            assertTrue(message.contains("2 GiB") && message.contains("at most 682"), message);
            assertThrows(IllegalArgumentException.class, () -> stream.prefetch(0, 0, 1000));
        }
    }

    @Test
    void anErrorOfTheDataThreadSurfacesInNextAndTheStreamGoesOn() {
        assertTimeoutPreemptively(NO_DEADLOCK, () -> {
            AtomicInteger failures = new AtomicInteger(2);
            Dataset broken = new Wrapped(dataset) {
                @Override
                public void copyImage(int index, byte[] destination, int offset) {
                    if (failures.getAndDecrement() > 0) {
                        throw new IllegalStateException("disk on fire");
                    }
                    super.copyImage(index, destination, offset);
                }
            };
            try (BatchStream stream = new BatchStream(broken, normalization, Augmentation.NONE, seed)) {
                stream.prefetch(1, 10, 5);
                DataException prefetched = assertThrows(DataException.class, () -> stream.next(1, 10, 5));
                String message = String.valueOf(prefetched.getMessage());
                assertTrue(message.contains("samples [10, 15) of epoch 1 of 'random'"), message);
                assertTrue(message.contains("disk on fire"), message);
                assertThrows(DataException.class, () -> stream.next(1, 10, 5));
                assertEquals(5, stream.next(1, 10, 5).size());
            }
        });
    }

    @Test
    void anErrorStaysAnError() {
        Dataset broken = new Wrapped(dataset) {
            @Override
            public int label(int index) {
                throw new OutOfMemoryError("test");
            }
        };
        try (BatchStream stream = new BatchStream(broken, normalization, Augmentation.NONE, seed)) {
            assertThrows(OutOfMemoryError.class, () -> stream.next(0, 0, 1));
        }
    }

    @Test
    void badRequestsNameTheRange() {
        try (BatchStream stream = new BatchStream(dataset, normalization, augmentation, seed)) {
            String message = String.valueOf(assertThrows(IllegalArgumentException.class, () -> stream.next(0, 100, 4))
                    .getMessage());
            assertTrue(message.contains("[100, 104)") && message.contains("[0, 103)"), message);
            assertThrows(IllegalArgumentException.class, () -> stream.next(0, 0, 104));
            assertThrows(IllegalArgumentException.class, () -> stream.next(0, 0, 0));
            assertThrows(IllegalArgumentException.class, () -> stream.next(0, -1, 1));
            assertThrows(IllegalArgumentException.class, () -> stream.next(-1, 0, 1));
            assertThrows(IllegalArgumentException.class, () -> stream.next(0, Long.MAX_VALUE, 1));
            assertThrows(IllegalArgumentException.class, () -> stream.prefetch(0, 103, 1));
        }
        assertThrows(
                IllegalArgumentException.class,
                () -> new BatchStream(dataset, normalization, new Augmentation(false, 9), seed));
        assertThrows(
                IllegalArgumentException.class,
                () -> new BatchStream(
                        dataset, new Normalization(new float[1], new float[] {1}), Augmentation.NONE, seed));
        assertThrows(IllegalArgumentException.class, () -> new Augmentation(true, -1));
    }

    @Test
    void closeReleasesAThreadThatWaitsInNext() {
        assertTimeoutPreemptively(NO_DEADLOCK, () -> {
            CountDownLatch entered = new CountDownLatch(1);
            CountDownLatch release = new CountDownLatch(1);
            Dataset blocking = new Wrapped(dataset) {
                @Override
                public int label(int index) {
                    entered.countDown();
                    try {
                        release.await();
                    } catch (InterruptedException e) {
                        throw new AssertionError(e);
                    }
                    return super.label(index);
                }
            };
            BatchStream stream = new BatchStream(blocking, normalization, Augmentation.NONE, seed);
            CompletableFuture<Batch> waiting = CompletableFuture.supplyAsync(() -> stream.next(0, 0, 1));
            entered.await();
            CompletableFuture<Void> closing = CompletableFuture.runAsync(stream::close);
            // The data set still blocks: only close can end the wait.
            ExecutionException error = assertThrows(ExecutionException.class, waiting::get);
            assertInstanceOf(IllegalStateException.class, error.getCause());
            assertFalse(closing.isDone(), "close waits for the background thread");
            release.countDown();
            closing.get();
        });
    }

    @Test
    void aClosedStreamSaysSo() {
        assertTimeoutPreemptively(NO_DEADLOCK, () -> {
            BatchStream stream = new BatchStream(dataset, normalization, augmentation, seed);
            stream.prefetch(0, 0, 103);
            stream.close();
            stream.close();
            assertThrows(IllegalStateException.class, () -> stream.next(0, 0, 1));
            assertThrows(IllegalStateException.class, () -> stream.prefetch(0, 0, 1));
        });
    }

    @Test
    void seedsGiveDifferentStreams() {
        try (BatchStream stream = new BatchStream(dataset, normalization, augmentation, seed);
                BatchStream other = new BatchStream(dataset, normalization, augmentation, seed + 1)) {
            assertNotEquals(
                    Arrays.hashCode(images(stream.next(0, 0, 103))), Arrays.hashCode(images(other.next(0, 0, 103))));
        }
    }

    private static class Wrapped implements Dataset {
        private final Dataset dataset;

        Wrapped(Dataset dataset) {
            this.dataset = dataset;
        }

        @Override
        public String name() {
            return dataset.name();
        }

        @Override
        public int size() {
            return dataset.size();
        }

        @Override
        public int classes() {
            return dataset.classes();
        }

        @Override
        public ImageShape shape() {
            return dataset.shape();
        }

        @Override
        public int label(int index) {
            return dataset.label(index);
        }

        @Override
        public void copyImage(int index, byte[] destination, int offset) {
            dataset.copyImage(index, destination, offset);
        }
    }
}
