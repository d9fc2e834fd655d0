package io.crescendo.bench;

import io.crescendo.data.Augmentation;
import io.crescendo.data.Batch;
import io.crescendo.data.BatchStream;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.Normalization;
import io.crescendo.data.RandomDataset;
import io.crescendo.models.data.IdxFile;
import io.crescendo.models.data.ImageFolder;
import java.awt.image.BufferedImage;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Batches of the training stream per second, shuffled and normalised, with nobody computing beside it.
 *
 * <ul>
 *   <li>{@code memory}: 4,096 synthetic images of 32×32 in colour
 *   <li>{@code idx}: 4,096 grey images of 28×28 from IDX files, which are read into memory once
 *   <li>{@code image-folder}: 256 JPEGs of 320×256, decoded for every batch, scaled and cropped to 224×224
 * </ul>
 *
 * <p>A step slower than the stream hides it; one faster waits for it.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 7, time = 1)
public class DataBenchmark {
    private static final int IMAGES = 4096;
    private static final int FILES = 256;
    private static final long SEED = 9;

    /** Where the images come from. */
    @Param({"memory", "idx", "image-folder"})
    public String source = "memory";

    /** Samples per batch. */
    @Param({"32", "128"})
    public int batch;

    /** Whether images are flipped and cropped at random, with a border of 4 pixels. */
    @Param({"true", "false"})
    public boolean augment;

    private Path folder;
    private Dataset dataset;
    private BatchStream stream;
    private long position;

    /** Writes the files, opens them and compares a batch with what it should hold. */
    @Setup
    public void prepare() throws IOException {
        folder = Files.createTempDirectory("crescendo-data-benchmark");
        switch (source) {
            case "memory" -> dataset = new RandomDataset(IMAGES, 10, new ImageShape(3, 32, 32), 5);
            case "idx" -> writeIdx();
            case "image-folder" -> writeJpegs();
            default ->
                throw new IllegalArgumentException(
                        "unknown source '" + source + "'; known are memory, idx, image-folder");
        }
        dataset = open();
        requireRight();
        Augmentation augmentation = augment ? new Augmentation(true, 4) : Augmentation.NONE;
        stream = new BatchStream(dataset, plain(), augmentation, SEED);
        if (augment) {
            requireAugmented(augmentation);
        }
    }

    /**
     * The timed stream's first batch holds what augmenting the plain images in the same order gives: every image is its
     * original, flipped or not, moved by up to the padding in both directions and mirrored at its edges.
     */
    private void requireAugmented(Augmentation augmentation) {
        int padding = 4;
        ImageShape shape = dataset.shape();
        float[] augmented = first(stream);
        float[] plain;
        try (BatchStream unchanged = new BatchStream(dataset, plain(), Augmentation.NONE, SEED)) {
            plain = first(unchanged);
        }
        int changed = 0;
        for (int image = 0; image < batch; image++) {
            int at = image * shape.pixels();
            boolean found = false;
            for (int flip = 0; flip < 2 && !found; flip++) {
                for (int down = -padding; down <= padding && !found; down++) {
                    for (int right = -padding; right <= padding && !found; right++) {
                        found = isMoved(plain, augmented, at, flip == 1, down, right);
                        changed += found && (flip == 1 || down != 0 || right != 0) ? 1 : 0;
                    }
                }
            }
            if (!found) {
                throw new IllegalStateException("image " + image + " of the augmented batch from " + source
                        + " is not its original after " + augmentation);
            }
        }
        if (changed == 0 && !source.equals("idx")) {
            throw new IllegalStateException("nothing was augmented in a batch of " + batch + " from " + source);
        }
    }

    private float[] first(BatchStream from) {
        float[] values = new float[batch * dataset.shape().pixels()];
        from.next(0, 0, batch).images().get(0, values);
        return values;
    }

    private boolean isMoved(float[] plain, float[] augmented, int at, boolean flip, int down, int right) {
        int height = dataset.shape().height();
        int width = dataset.shape().width();
        for (int channel = 0; channel < dataset.shape().channels(); channel++) {
            int plane = at + channel * height * width;
            for (int y = 0; y < height; y++) {
                for (int x = 0; x < width; x++) {
                    int row = mirrored(y + down, height);
                    int column = mirrored((flip ? width - 1 - x : x) + right, width);
                    if (augmented[plane + y * width + x] != plain[plane + row * width + column]) {
                        return false;
                    }
                }
            }
        }
        return true;
    }

    private static int mirrored(int line, int lines) {
        return line < 0 ? -line : line >= lines ? 2 * (lines - 1) - line : line;
    }

    private Dataset open() {
        return switch (source) {
            case "idx" ->
                IdxFile.dataset(
                        "idx", 10, IdxFile.read(folder.resolve("images")), IdxFile.read(folder.resolve("labels")));
            case "image-folder" -> ImageFolder.open("jpeg", folder, 224);
            default -> dataset;
        };
    }

    private Normalization plain() {
        float[] ones = new float[dataset.shape().channels()];
        java.util.Arrays.fill(ones, 1);
        return new Normalization(new float[ones.length], ones);
    }

    /** Where image i has its known grey, all of its pixels do. */
    private static int grey(int image) {
        return image * 37 % 251;
    }

    private void writeIdx() throws IOException {
        try (DataOutputStream images = new DataOutputStream(Files.newOutputStream(folder.resolve("images")));
                DataOutputStream labels = new DataOutputStream(Files.newOutputStream(folder.resolve("labels")))) {
            for (int word : new int[] {0x803, IMAGES, 28, 28}) {
                images.writeInt(word);
            }
            labels.writeInt(0x801);
            labels.writeInt(IMAGES);
            byte[] pixels = new byte[28 * 28];
            for (int i = 0; i < IMAGES; i++) {
                java.util.Arrays.fill(pixels, (byte) grey(i));
                images.write(pixels);
                labels.writeByte(i % 10);
            }
        }
    }

    private void writeJpegs() throws IOException {
        for (int i = 0; i < FILES; i++) {
            BufferedImage image = new BufferedImage(320, 256, BufferedImage.TYPE_INT_RGB);
            // Stripes beside the square that is looked at: a file of one colour would decode too fast.
            for (int y = 0; y < 256; y++) {
                for (int x = 0; x < 320; x++) {
                    boolean middle = x > 140 && x < 180 && y > 108 && y < 148;
                    image.setRGB(x, y, middle ? grey(i) * 0x010101 : (x * y * (i + 3)) & 0xFFFFFF);
                }
            }
            Path file = folder.resolve("class" + i % 4).resolve(String.format(java.util.Locale.ROOT, "%04d.jpg", i));
            Files.createDirectories(file.getParent());
            ImageIO.write(image, "jpg", file.toFile());
        }
    }

    private void requireRight() {
        if (source.equals("memory")) {
            byte[] pixels = new byte[dataset.shape().pixels()];
            dataset.copyImage(3, pixels, 0);
            requireNear(pixels[17] & 0xFF, firstPixelOf(3, 17), 1e-3);
            return;
        }
        for (int i : new int[] {0, 7, dataset.size() - 1}) {
            int number = source.equals("idx") ? i : i / (FILES / 4) + 4 * (i % (FILES / 4));
            int middle = dataset.shape().pixels() / dataset.shape().channels() / 2
                    + dataset.shape().width() / 2;
            // JPEG keeps a flat square to within a few levels.
            requireNear(grey(number), firstPixelOf(i, middle), 6);
        }
    }

    /** One value of an image, by way of a stream in the data set's own order. */
    private double firstPixelOf(int image, int pixel) {
        try (BatchStream evaluation = BatchStream.evaluation(dataset, plain())) {
            return 255 * evaluation.next(0, image, 1).images().get(pixel);
        }
    }

    private void requireNear(double expected, double actual, double tolerance) {
        if (!(Math.abs(expected - actual) <= tolerance)) {
            throw new IllegalStateException(
                    "a batch from " + source + " holds " + actual + " where " + expected + " was written");
        }
    }

    /** The next batch of the stream; the one after it is prefetched, as in training. */
    @Benchmark
    public Batch next(Rate.Images rate) {
        Batch next = stream.next(position / dataset.size(), position % dataset.size(), batch);
        position += batch;
        if (position % dataset.size() + batch > dataset.size()) {
            position = (position / dataset.size() + 1) * dataset.size(); // the ragged end is left out
        }
        stream.prefetch(position / dataset.size(), position % dataset.size(), batch);
        rate.images += batch;
        return next;
    }

    /** Releases the stream and the files. */
    @TearDown(Level.Trial)
    public void close() throws IOException {
        stream.close();
        List<Path> all;
        try (Stream<Path> walk = Files.walk(folder)) {
            all = walk.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path path : all) {
            try {
                Files.delete(path);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }
}
