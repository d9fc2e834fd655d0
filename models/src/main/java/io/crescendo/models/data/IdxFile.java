package io.crescendo.models.data;

import io.crescendo.data.DataException;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.InMemoryDataset;
import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/**
 * An array of uint8 in the IDX format of MNIST and Fashion-MNIST, plain or compressed with gzip.
 *
 * <pre>
 *   offset 0      0x00 0x00
 *   offset 2      element type, 0x08 = unsigned byte
 *   offset 3      rank r
 *   offset 4      r sizes, int32, big endian
 *   offset 4+4r   elements, the last dimension fastest
 * </pre>
 *
 * <p>Every field is checked, and the elements must end where the file does. Compression is recognised by its first two
 * bytes, whatever the file is called.
 *
 * <pre>{@code
 * IdxFile images = IdxFile.read(Path.of("train-images-idx3-ubyte.gz"));
 * IdxFile labels = IdxFile.read(Path.of("train-labels-idx1-ubyte.gz"));
 * Dataset training = IdxFile.dataset("fashion-mnist/training", 10, images, labels);
 * }</pre>
 *
 * <p>Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits".
 */
public final class IdxFile {
    private static final int UNSIGNED_BYTE = 0x08;
    private static final int MOST_DIMENSIONS = 4;
    private static final String REPLACE = "; the file is damaged or not what its name says: get it again";

    private final String file;
    private final int[] sizes;
    private final byte[] elements;

    private IdxFile(String file, int[] sizes, byte[] elements) {
        this.file = file;
        this.sizes = sizes;
        this.elements = elements;
    }

    /**
     * Reads a whole file.
     *
     * @throws DataException if it is missing, unreadable or not an IDX file of unsigned bytes
     */
    public static IdxFile read(Path path) {
        try (InputStream input = Files.newInputStream(path)) {
            return read(path.toString(), input);
        } catch (NoSuchFileException e) {
            throw new DataException(path + ": no such file; check the path", e);
        } catch (IOException e) {
            throw new DataException(path + ": cannot be read (" + e + "); check the path and its permissions", e);
        }
    }

    /**
     * Reads a stream to its end; the caller closes it.
     *
     * @param file the name used in messages
     */
    public static IdxFile read(String file, InputStream input) {
        BufferedInputStream buffered = new BufferedInputStream(input, 1 << 16);
        try {
            buffered.mark(2);
            boolean compressed = buffered.read() == 0x1F && buffered.read() == 0x8B;
            buffered.reset();
            return parse(file, compressed ? new GZIPInputStream(buffered, 1 << 16) : buffered);
        } catch (EOFException e) {
            throw new DataException(file + ": gzip: the compressed data ends too early" + REPLACE, e);
        } catch (ZipException e) {
            throw new DataException(file + ": gzip: corrupt (" + e.getMessage() + ")" + REPLACE, e);
        } catch (IOException e) {
            throw new DataException(file + ": cannot be read (" + e + "); check the disk and try again", e);
        }
    }

    private static IdxFile parse(String file, InputStream input) throws IOException {
        byte[] magic = header(file, "magic number", input, 4);
        if (magic[0] != 0 || magic[1] != 0) {
            throw new DataException(String.format(
                    Locale.ROOT,
                    "%s: magic number: expected 00 00 08 and the rank, found %02x %02x %02x %02x%s",
                    file,
                    magic[0],
                    magic[1],
                    magic[2],
                    magic[3],
                    REPLACE));
        }
        if (magic[2] != UNSIGNED_BYTE) {
            throw new DataException(String.format(
                    Locale.ROOT,
                    "%s: element type: expected 0x08 (unsigned byte), found 0x%02x%s; only images and labels of unsigned "
                            + "bytes are read",
                    file,
                    magic[2],
                    typeName(magic[2])));
        }
        int rank = magic[3] & 0xFF;
        if (rank < 1 || rank > MOST_DIMENSIONS) {
            throw new DataException(
                    file + ": rank: expected 1 to " + MOST_DIMENSIONS + " dimensions, found " + rank + REPLACE);
        }
        int[] sizes = new int[rank];
        long product = 1;
        for (int dimension = 0; dimension < rank; dimension++) {
            byte[] size = header(file, "size of dimension " + dimension, input, Integer.BYTES);
            for (byte part : size) {
                sizes[dimension] = sizes[dimension] << 8 | (part & 0xFF);
            }
            if (sizes[dimension] < 1) {
                throw new DataException(file + ": size of dimension " + dimension + ": expected 1 to 2147483647, found "
                        + Integer.toUnsignedString(sizes[dimension]) + REPLACE);
            }
            product *= sizes[dimension]; // below 2^31 before, so below 2^62 now
            if (product > Integer.MAX_VALUE - 8) { // the longest array that every virtual machine allows
                throw new DataException(file + ": size of dimension " + dimension + ": " + sizes[dimension]
                        + " makes more than 2147483639 elements, the most that is read from one file" + REPLACE);
            }
        }
        byte[] elements = input.readNBytes((int) product);
        if (elements.length < product) {
            throw new DataException(file + ": elements: expected " + product + " bytes (" + join(sizes)
                    + " by the header), found " + elements.length + REPLACE);
        }
        if (input.read() >= 0) { // reaching the end also makes gzip compare its checksum
            throw new DataException(file + ": elements: expected " + product + " bytes (" + join(sizes)
                    + " by the header), found more after them" + REPLACE);
        }
        return new IdxFile(file, sizes, elements);
    }

    private static byte[] header(String file, String field, InputStream input, int length) throws IOException {
        byte[] bytes = input.readNBytes(length);
        if (bytes.length < length) {
            throw new DataException(
                    file + ": " + field + ": expected " + length + " bytes, found " + bytes.length + REPLACE);
        }
        return bytes;
    }

    private static String typeName(byte type) {
        return switch (type) {
            case 0x09 -> " (signed byte)";
            case 0x0B -> " (16-bit integer)";
            case 0x0C -> " (32-bit integer)";
            case 0x0D -> " (float)";
            case 0x0E -> " (double)";
            default -> " (no IDX type)";
        };
    }

    private static String join(int[] sizes) {
        StringBuilder text = new StringBuilder();
        for (int size : sizes) {
            text.append(text.isEmpty() ? "" : "x").append(size);
        }
        return text.toString();
    }

    public int rank() {
        return sizes.length;
    }

    public int size(int dimension) {
        return sizes[dimension];
    }

    /**
     * Images (N, H, W) of one channel and their labels (N) as a data set, which shares the files' memory.
     *
     * @throws DataException if a rank or the counts are wrong, or a label is not in [0, classes)
     */
    public static Dataset dataset(String name, int classes, IdxFile images, IdxFile labels) {
        images.requireRank(3, "images (count, height, width)");
        labels.requireRank(1, "labels (count)");
        if (images.size(0) != labels.size(0)) {
            throw new DataException(
                    labels.file + ": count: expected " + images.size(0) + " labels, as many as images in " + images.file
                            + ", found " + labels.size(0) + "; the two files do not belong together");
        }
        for (int index = 0; index < labels.elements.length; index++) {
            int label = labels.elements[index] & 0xFF;
            if (label >= classes) {
                throw new DataException(labels.file + ": label " + index + ": expected 0 to " + (classes - 1)
                        + ", found " + label + "; this is not a label file of '" + name + "', or it is damaged");
            }
        }
        ImageShape shape = new ImageShape(1, images.size(1), images.size(2));
        return new InMemoryDataset(name, classes, shape, images.elements, labels.elements);
    }

    private void requireRank(int expected, String meaning) {
        if (rank() != expected) {
            throw new DataException(file + ": rank: expected " + expected + ", " + meaning + ", found " + rank()
                    + "; were the image and the label file exchanged?");
        }
    }
}
