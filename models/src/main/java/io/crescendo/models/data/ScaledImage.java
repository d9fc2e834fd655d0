package io.crescendo.models.data;

import io.crescendo.data.DataException;
import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.ComponentSampleModel;
import java.awt.image.DataBufferByte;
import java.awt.image.Raster;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.Locale;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.stream.ImageInputStream;

/**
 * A decoded image as 8-bit red, green and blue, and the rule that makes every image a square of one size.
 *
 * <p>The rule: the shorter side is scaled to ⌊8/7 · side + 1/2⌋ (256 for 224), the longer one in proportion; of that
 * the square in the middle is taken. An image whose shorter side is already {@code side} is only cropped, so that files
 * prepared in the final size stay as they are.
 *
 * <p>Scaling is separable, first along rows. Output pixel i is the mean of the input pixels around (i + 1/2)·s − 1/2, s
 * = input size / output size, weighted by a triangle of half width max(1, s): bilinear interpolation where the image
 * grows, and a filter that leaves no aliasing where it shrinks. Values between the passes are not rounded. Grey becomes
 * three equal channels, transparency is ignored, and so is the orientation a camera noted.
 */
final class ScaledImage {
    private final int width;
    private final int height;
    private final byte[] pixels; // (H, W, 3)

    private ScaledImage(int width, int height, byte[] pixels) {
        this.width = width;
        this.height = height;
        this.pixels = pixels;
    }

    /** @throws DataException if the file is missing or no image that can be decoded */
    static ScaledImage read(Path file) {
        try (ImageInputStream input = ImageIO.createImageInputStream(file.toFile())) {
            if (input == null) {
                throw new DataException(file + ": expected an image, found "
                        + (Files.exists(file) ? "a file that cannot be opened" : "no file")
                        + "; was it moved while it was used?");
            }
            Iterator<ImageReader> readers = ImageIO.getImageReaders(input);
            if (!readers.hasNext()) {
                throw new DataException(file + ": expected a JPEG or PNG image, found something else by its first bytes"
                        + "; replace or remove the file");
            }
            return read(file, input, readers.next());
        } catch (IOException | RuntimeException e) {
            if (e instanceof DataException fault) {
                throw fault;
            }
            // Decoders meet damaged files with exceptions of every kind.
            throw new DataException(
                    file + ": expected an image, but it cannot be decoded (" + e
                            + "); the file is damaged or of an unusual kind: replace or remove it",
                    e);
        }
    }

    private static ScaledImage read(Path file, ImageInputStream input, ImageReader reader) throws IOException {
        try {
            reader.setInput(input, true, true);
            // A JPEG that is cut off decodes with a warning, grey from there on; other warnings are of no matter.
            reader.addIIOReadWarningListener((source, warning) -> {
                if (warning.toLowerCase(Locale.ROOT).contains("premature end")) {
                    throw new DataException(file + ": expected a whole image, but the file ends too early (" + warning
                            + "); get it again or remove it");
                }
            });
            return of(reader.read(0));
        } finally {
            reader.dispose();
        }
    }

    static ScaledImage of(BufferedImage image) {
        int width = image.getWidth();
        int height = image.getHeight();
        byte[] pixels = new byte[Math.multiplyExact(3, Math.multiplyExact(width, height))];
        Raster raster = image.getRaster();
        if (image.getType() == BufferedImage.TYPE_3BYTE_BGR && raster.getDataBuffer() instanceof DataBufferByte data) {
            swap(data.getData(), (ComponentSampleModel) raster.getSampleModel(), raster, pixels);
        } else if (image.getColorModel().getColorSpace().getType() == ColorSpace.TYPE_GRAY) {
            // Java takes grey for linear light and would brighten it; the numbers in the file are what is meant.
            int shift = Math.max(0, image.getColorModel().getComponentSize(0) - 8);
            int[] row = new int[width];
            for (int y = 0; y < height; y++) {
                raster.getSamples(raster.getMinX(), raster.getMinY() + y, width, 1, 0, row);
                for (int x = 0; x < width; x++) {
                    int at = 3 * (y * width + x);
                    pixels[at] = (byte) (row[x] >> shift);
                    pixels[at + 1] = pixels[at];
                    pixels[at + 2] = pixels[at];
                }
            }
        } else {
            int[] row = new int[width];
            for (int y = 0; y < height; y++) {
                image.getRGB(0, y, width, 1, row, 0, width);
                for (int x = 0; x < width; x++) {
                    int at = 3 * (y * width + x);
                    pixels[at] = (byte) (row[x] >> 16);
                    pixels[at + 1] = (byte) (row[x] >> 8);
                    pixels[at + 2] = (byte) row[x];
                }
            }
        }
        return new ScaledImage(width, height, pixels);
    }

    private static void swap(byte[] from, ComponentSampleModel model, Raster raster, byte[] to) {
        int start =
                model.getScanlineStride() * -raster.getSampleModelTranslateY() + 3 * -raster.getSampleModelTranslateX();
        for (int y = 0; y < raster.getHeight(); y++) {
            int source = start + y * model.getScanlineStride();
            int target = 3 * y * raster.getWidth();
            for (int x = 0; x < raster.getWidth(); x++, source += 3, target += 3) {
                to[target] = from[source + 2];
                to[target + 1] = from[source + 1];
                to[target + 2] = from[source];
            }
        }
    }

    /** Writes the (3, side, side) image that the rule makes of this one. */
    void copy(int side, byte[] destination, int offset) {
        int shorter = Math.min(width, height);
        int scaled = shorter == side ? side : (8 * side + 3) / 7;
        Taps columns = Taps.of(width, Math.max(side, Math.round((float) width * scaled / shorter)), side);
        Taps rows = Taps.of(height, Math.max(side, Math.round((float) height * scaled / shorter)), side);
        int first = rows.first[0];
        int last = rows.first[side - 1] + rows.weights[side - 1].length;
        float[] narrow = new float[(last - first) * side * 3];
        for (int y = first; y < last; y++) {
            for (int x = 0; x < side; x++) {
                float[] weights = columns.weights[x];
                int source = 3 * (y * width + columns.first[x]);
                float red = 0;
                float green = 0;
                float blue = 0;
                for (float weight : weights) {
                    red += weight * (pixels[source] & 0xFF);
                    green += weight * (pixels[source + 1] & 0xFF);
                    blue += weight * (pixels[source + 2] & 0xFF);
                    source += 3;
                }
                int target = 3 * ((y - first) * side + x);
                narrow[target] = red;
                narrow[target + 1] = green;
                narrow[target + 2] = blue;
            }
        }
        for (int channel = 0; channel < 3; channel++) {
            for (int y = 0; y < side; y++) {
                float[] weights = rows.weights[y];
                for (int x = 0; x < side; x++) {
                    int source = 3 * ((rows.first[y] - first) * side + x) + channel;
                    float sum = 0;
                    for (float weight : weights) {
                        sum += weight * narrow[source];
                        source += 3 * side;
                    }
                    destination[offset + (channel * side + y) * side + x] = (byte) Math.min(255, (int) (sum + 0.5f));
                }
            }
        }
    }

    /**
     * Which input pixels make each output pixel along one axis, and how much of each.
     *
     * @param first index of the first input pixel, by output pixel
     * @param weights of that one and its successors; they add up to 1
     */
    @SuppressWarnings("ArrayRecordComponent") // used within a call, never compared
    private record Taps(int[] first, float[][] weights) {
        /** Scales {@code from} pixels to {@code to} and keeps the {@code side} in the middle. */
        static Taps of(int from, int to, int side) {
            int[] first = new int[side];
            float[][] weights = new float[side][];
            double scale = (double) from / to;
            double halfWidth = Math.max(1, scale);
            int skipped = (to - side) / 2;
            for (int i = 0; i < side; i++) {
                double centre = (i + skipped + 0.5) * scale;
                int low = Math.max(0, (int) Math.floor(centre - halfWidth + 0.5));
                int high = Math.min(from, (int) Math.floor(centre + halfWidth + 0.5));
                double[] triangle = new double[high - low];
                double sum = 0;
                for (int at = low; at < high; at++) {
                    triangle[at - low] = Math.max(0, 1 - Math.abs(at + 0.5 - centre) / halfWidth);
                    sum += triangle[at - low];
                }
                first[i] = low;
                weights[i] = new float[triangle.length];
                for (int tap = 0; tap < triangle.length; tap++) {
                    weights[i][tap] = (float) (triangle[tap] / sum);
                }
            }
            return new Taps(first, weights);
        }
    }
}
