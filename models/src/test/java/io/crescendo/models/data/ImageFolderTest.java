package io.crescendo.models.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.data.Augmentation;
import io.crescendo.data.BatchStream;
import io.crescendo.data.DataException;
import io.crescendo.data.ImageShape;
import io.crescendo.data.Normalization;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.IntBinaryOperator;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ImageFolderTest {
    private final long seed = new Random().nextLong();
    private final Random random = new Random(seed);

    @TempDir
    Path root;

    @Test
    void classesAreTheSortedSubfolders() throws IOException {
        write("train/tulip/b.PNG", image(9, 9, BufferedImage.TYPE_INT_RGB, (x, y) -> 0x102030));
        write("train/tulip/a.png", image(9, 9, BufferedImage.TYPE_INT_RGB, (x, y) -> 0x405060));
        write("train/daisy/z.jpeg", image(9, 9, BufferedImage.TYPE_INT_RGB, (x, y) -> 0x708090));
        Files.writeString(root.resolve("train/.DS_Store"), "not looked at");
        ImageFolder folder = ImageFolder.open("flowers", root.resolve("train"), 9);
        assertEquals(List.of("daisy", "tulip"), folder.classNames());
        assertEquals(3, folder.size());
        assertEquals(List.of(0, 1, 1), List.of(folder.label(0), folder.label(1), folder.label(2)));
        byte[] pixels = new byte[3 * 81 + 5];
        folder.copyImage(1, pixels, 5);
        assertEquals(0, pixels[4]);
        assertEquals(0x40, pixels[5]);
        assertEquals(0x50, pixels[5 + 81]);
        assertEquals(0x60, pixels[5 + 2 * 81]);
        assertEquals(List.of(), folder.faults());
    }

    /** Red rises with x and green with y, so a pixel's value says where it came from. */
    @Test
    void theSquareInTheMiddleIsTaken() throws IOException {
        write("a/one.png", image(20, 8, BufferedImage.TYPE_3BYTE_BGR, (x, y) -> x << 16 | y << 8 | 7));
        byte[] pixels = pixels(ImageFolder.open("f", root, 8), 0);
        for (int y = 0; y < 8; y++) {
            for (int x = 0; x < 8; x++) {
                assertEquals(6 + x, pixels[y * 8 + x]);
                assertEquals(y, pixels[64 + y * 8 + x]);
                assertEquals(7, pixels[128 + y * 8 + x]);
            }
        }
    }

    /** A triangle of unit area keeps every linear function, away from borders that cut it off. */
    @Test
    void scalingKeepsLinearFunctions() throws IOException {
        int side = 21;
        int width = 150 + random.nextInt(80);
        int height = 120 + random.nextInt(30);
        BufferedImage ramp = image(width, height, BufferedImage.TYPE_INT_RGB, (x, y) -> x << 16 | y << 8 | 99);
        ImageIO.write(
                ramp,
                "png",
                Files.createDirectories(root.resolve("a")).resolve("ramp.png").toFile());
        byte[] pixels = pixels(ImageFolder.open("f", root, side), 0);
        int shorter = 24; // 8/7 of 21
        double scaledWidth = Math.round((float) width * shorter / height);
        for (int y = 0; y < side; y++) {
            for (int x = 0; x < side; x++) {
                double fromX = (x + Math.floor((scaledWidth - side) / 2) + 0.5) * width / scaledWidth - 0.5;
                double fromY = (y + (shorter - side) / 2 + 0.5) * height / shorter - 0.5;
                // One level for rounding. Rows near the border see a cut triangle; the crop leaves out one of two.
                if (y > 1 && y < side - 2 && x > 1 && x < side - 2) {
                    assertEquals(fromX, pixels[y * side + x] & 0xFF, 1.01, "column " + x + ", seed " + seed);
                    assertEquals(fromY, pixels[side * side + y * side + x] & 0xFF, 1.01, "row " + y + ", seed " + seed);
                }
                assertEquals(99, pixels[2 * side * side + y * side + x]);
            }
        }
    }

    @Test
    void isFoundByName() throws IOException {
        for (String file : List.of("train/daisy/1.png", "train/tulip/2.png", "train/tulip/3.png", "test/daisy/4.png")) {
            write(file, image(9, 9, BufferedImage.TYPE_INT_RGB, (x, y) -> 0x102030));
        }
        DataSearch search = DataSearch.of(root, Map.of(), root.resolve("nobody"));
        DataException oneClass = assertThrows(DataException.class, () -> Datasets.load("image-folder", search));
        assertTrue(String.valueOf(oneClass.getMessage()).contains("tulip"), oneClass.getMessage());
        write("test/tulip/5.png", image(9, 9, BufferedImage.TYPE_INT_RGB, (x, y) -> 0x102030));

        DataSplit split = Datasets.load("image-folder", search);
        assertEquals(new ImageShape(3, 224, 224), split.training().shape());
        assertEquals(3, split.training().size());
        assertEquals(2, split.test().size());
        assertEquals(new DataForm(new ImageShape(3, 17, 17), 2), Datasets.form("image-folder:17", search));
        assertEquals(root.toString(), Datasets.whereabouts("image-folder", search));
        assertTrue(Datasets.isKnown("image-folder:17"));
        // Also in a folder of that name, as other data sets.
        Path above = Files.createDirectories(root.resolve("above"));
        Files.createSymbolicLink(above.resolve("image-folder"), root);
        DataSearch fromAbove = DataSearch.of(above, Map.of(), root.resolve("nobody"));
        assertEquals(3, Datasets.load("image-folder:32", fromAbove).training().size());
    }

    @Test
    void wrongSizesAndMissingFoldersAreExplained() {
        DataSearch search = DataSearch.of(root, Map.of(), root.resolve("nobody"));
        for (String size : List.of("", "0", "-3", "x", "4097", "99999999999", "3.5")) {
            DataException fault =
                    assertThrows(DataException.class, () -> Datasets.load("image-folder:" + size, search));
            assertTrue(
                    String.valueOf(fault.getMessage()).contains("found '" + size + "'; for example image-folder:64"),
                    fault.getMessage());
        }
        DataException nothing = assertThrows(DataException.class, () -> Datasets.load("image-folder", search));
        String message = String.valueOf(nothing.getMessage());
        assertTrue(message.contains("No folder of images") && message.contains(root + " (--data)"), message);
        assertNull(Datasets.whereabouts("image-folder", search));
        assertFalse(Datasets.isKnown("image-folders"));
    }

    /** Planning needs the form where there are no images; training needs the thousand classes. */
    @Test
    void imageNetIsAFolderOfAThousandClasses() throws IOException {
        DataSearch nowhere = DataSearch.of(null, Map.of(), root.resolve("home"));
        assertEquals(new DataForm(new ImageShape(3, 224, 224), 1000), Datasets.form("imagenet", nowhere));
        assertEquals(new DataForm(new ImageShape(3, 299, 299), 1000), Datasets.form("imagenet:299", nowhere));
        assertTrue(Datasets.isKnown("imagenet:299"));
        for (String part : List.of("train", "val")) {
            for (int label = 0; label < 999; label++) {
                Path folder = Files.createDirectories(root.resolve(part).resolve(String.format("n%08d", label)));
                Files.createFile(folder.resolve("1.JPEG")); // listed, never decoded
            }
        }
        DataSearch search = DataSearch.of(root, Map.of(), root.resolve("home"));
        String fewer = String.valueOf(assertThrows(DataException.class, () -> Datasets.load("imagenet", search))
                .getMessage());
        assertTrue(fewer.contains("1000 classes") && fewer.contains("found 999 with 999 images"), fewer);
        for (String part : List.of("train", "val")) {
            Files.createFile(Files.createDirectories(root.resolve(part).resolve("n99999999"))
                    .resolve("1.JPEG"));
        }
        DataSplit split = Datasets.load("imagenet:299", search);
        assertEquals(1000, split.training().size());
        assertEquals(new ImageShape(3, 299, 299), split.test().shape());
    }

    @Test
    void smallImagesGrow() throws IOException {
        write("a/tiny.png", image(1, 3, BufferedImage.TYPE_INT_RGB, (x, y) -> 0x0A0B0C));
        byte[] pixels = pixels(ImageFolder.open("f", root, 11), 0);
        byte[] expected = new byte[3 * 121];
        Arrays.fill(expected, 0, 121, (byte) 0x0A);
        Arrays.fill(expected, 121, 242, (byte) 0x0B);
        Arrays.fill(expected, 242, 363, (byte) 0x0C);
        assertArrayEquals(expected, pixels);
    }

    @Test
    void greyKeepsItsNumbers() throws IOException {
        BufferedImage grey = new BufferedImage(5, 5, BufferedImage.TYPE_BYTE_GRAY);
        for (int i = 0; i < 25; i++) {
            grey.getRaster().setSample(i % 5, i / 5, 0, 10 * i);
        }
        write("a/grey.png", grey);
        byte[] pixels = pixels(ImageFolder.open("f", root, 5), 0);
        for (int i = 0; i < 75; i++) {
            assertEquals(10 * (i % 25), pixels[i] & 0xFF);
        }
    }

    @Test
    void badFilesAreNamed() throws IOException {
        write("a/good.jpg", image(30, 40, BufferedImage.TYPE_INT_RGB, (x, y) -> x * y));
        byte[] good = Files.readAllBytes(root.resolve("a/good.jpg"));
        Files.write(root.resolve("a/cut.jpg"), Arrays.copyOf(good, 100));
        Files.write(root.resolve("a/half.jpg"), Arrays.copyOf(good, good.length - good.length / 5));
        Files.writeString(root.resolve("a/text.png"), "no image");
        ImageFolder folder = ImageFolder.open("f", root, 8);
        List<String> faults = folder.faults();
        assertEquals(3, faults.size(), faults.toString());
        assertTrue(faults.get(0).contains("cut.jpg"), faults.toString());
        assertTrue(faults.get(1).contains("half.jpg"), faults.toString());
        assertTrue(faults.get(2).contains("text.png"), faults.toString());
        assertMessage("text.png", () -> pixels(folder, 3));
        Files.delete(folder.file(1));
        assertMessage("good.jpg", () -> pixels(folder, 1));
    }

    @Test
    void wrongFoldersAreNamed() throws IOException {
        assertMessage("no subfolder", () -> ImageFolder.open("f", root, 8));
        assertMessage("elsewhere", () -> ImageFolder.open("f", root.resolve("elsewhere"), 8));
        Files.createDirectories(root.resolve("train/empty"));
        assertMessage("empty", () -> ImageFolder.open("f", root.resolve("train"), 8));
        assertMessage("neither val nor test", () -> ImageFolder.split(root, 8));
        Files.writeString(root.resolve("train/empty/notes.txt"), "x");
        assertMessage("notes.txt", () -> ImageFolder.open("f", root.resolve("train"), 8));
    }

    @Test
    void aSplitHasTheSameClasses() throws IOException {
        BufferedImage image = image(4, 4, BufferedImage.TYPE_INT_RGB, (x, y) -> 0);
        write("train/a/1.png", image);
        write("train/b/1.png", image);
        write("val/a/1.png", image);
        assertMessage("only one of them: b", () -> ImageFolder.split(root, 4));
        write("val/b/1.png", image);
        assertEquals(2, ImageFolder.split(root, 4).test().classes());
    }

    @Test
    void aStreamReadsIt() throws IOException {
        for (int i = 0; i < 6; i++) {
            int level = 40 * i;
            write(
                    "c" + i % 2 + "/" + i + ".jpg",
                    image(16, 16, BufferedImage.TYPE_INT_RGB, (x, y) -> level * 0x010101));
        }
        ImageFolder folder = ImageFolder.open("f", root, 16);
        Normalization plain = new Normalization(new float[3], new float[] {1, 1, 1});
        try (BatchStream stream = new BatchStream(folder, plain, Augmentation.NONE, seed)) {
            var batch = stream.next(0, 0, 6);
            float sum = 0;
            for (int i = 0; i < 6; i++) {
                sum += batch.images().get(i * 3 * 256) * 255;
            }
            // A JPEG of one colour decodes to it, give or take a level each.
            assertEquals(40 * 15, sum, 6);
        }
    }

    private static byte[] pixels(ImageFolder folder, int index) {
        byte[] pixels = new byte[folder.shape().pixels()];
        folder.copyImage(index, pixels, 0);
        return pixels;
    }

    private void write(String file, BufferedImage image) throws IOException {
        Path path = root.resolve(file);
        Files.createDirectories(path.getParent());
        String format = file.toLowerCase(java.util.Locale.ROOT).endsWith(".png") ? "png" : "jpg";
        assertTrue(ImageIO.write(image, format, path.toFile()), file);
    }

    private static BufferedImage image(int width, int height, int type, IntBinaryOperator colour) {
        BufferedImage image = new BufferedImage(width, height, type);
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                image.setRGB(x, y, colour.applyAsInt(x, y));
            }
        }
        return image;
    }

    private static void assertMessage(String part, org.junit.jupiter.api.function.Executable work) {
        DataException thrown = assertThrows(DataException.class, work);
        assertTrue(String.valueOf(thrown.getMessage()).contains(part), thrown.getMessage());
    }
}
