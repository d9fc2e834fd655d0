package io.crescendo.cpu;

import static io.crescendo.cpu.WinogradTransforms.OUTPUTS;
import static io.crescendo.cpu.WinogradTransforms.TILE;

import java.nio.FloatBuffer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * One image tensor and the 36 points of its tiles.
 *
 * <pre>
 *   image   (N, C/b, H, W, b)           b channels that fill a vector register
 *   points  (36, C/b, tiles, b)         C of all channels or some, tiles = samples of a chunk · ⌈rows/4⌉ · ⌈columns/4⌉
 * </pre>
 *
 * <p>Tiles count 4×4 pixels of the convolution's output. A tile at the lower or right edge may hang over; what it has
 * beyond the image is zero on the way in and left out on the way back.
 */
final class WinogradTiles {
    /**
     * Tiles of one block of channels that are transformed at a time: enough for long loops and long copies, few enough
     * for the cache next to the processor.
     */
    private static final int STRIP_TILES = 32;

    private final int block;
    private final int imageBlocks;
    private final int blocks;
    private final int height;
    private final int padTop;
    private final int padLeft;
    private final int tilesHigh;
    private final int tilesWide;
    private final int chunkTiles;
    private final int stripRows;
    /** Floats of a row of the image. */
    private final int rowFloats;
    /** Floats of a row with the zeros around it: all columns that tiles reach into. */
    private final int wideFloats;

    /**
     * One way of a tensor.
     *
     * @param block channels that lie together
     * @param channels C, a multiple of it
     * @param channelsAtATime those whose points are held at a time
     * @param height rows of the tensor
     * @param width columns of the tensor
     * @param padTop rows of zeros above the first, for patches
     * @param padLeft columns of zeros in front of the first, for patches
     * @param outputHeight rows of the convolution's output
     * @param outputWidth columns of the convolution's output
     * @param chunkRows rows of tiles whose points are held at a time
     */
    WinogradTiles(
            int block,
            int channels,
            int channelsAtATime,
            int height,
            int width,
            int padTop,
            int padLeft,
            int outputHeight,
            int outputWidth,
            int chunkRows) {
        this.block = block;
        this.imageBlocks = channels / block;
        this.blocks = channelsAtATime / block;
        this.height = height;
        this.padTop = padTop;
        this.padLeft = padLeft;
        this.tilesHigh = tiles(outputHeight);
        this.tilesWide = tiles(outputWidth);
        this.chunkTiles = chunkRows * tilesWide;
        this.stripRows = Math.max(1, STRIP_TILES / tilesWide);
        this.rowFloats = width * block;
        this.wideFloats = (tilesWide * OUTPUTS + TILE - OUTPUTS) * block;
    }

    static int tiles(int outputs) {
        return (outputs + OUTPUTS - 1) / OUTPUTS;
    }

    /** Length of the arrays that a strip needs. */
    int stripFloats() {
        return stripRows * wideFloats;
    }

    /** V = Bᵀ d B of all patches d of 6×6 pixels, which overlap by two. */
    void patches(FloatBuffer image, FloatBuffer points, WinogradStage.Arrays arrays, int chunkStart, int from, int to) {
        for (int strip = from; strip < to; strip += stripRows) {
            int count = Math.min(stripRows, to - strip);
            for (int k = 0; k < blocks; k++) {
                readRows(image, strip, count, k, TILE, padTop, padLeft, arrays.rows);
                // Along the columns while they lie side by side: overlapping columns are not computed twice.
                WinogradTransforms.input(arrays.rows, arrays.half, count * wideFloats);
                for (int r = 0; r < TILE; r++) {
                    splitColumns(arrays.half[r], count, arrays.columns);
                    WinogradTransforms.input(arrays.columns, arrays.full, tileFloats(count));
                    writePoints(points, r, arrays.full, k, strip - chunkStart, count);
                }
            }
        }
    }

    /** dM = A dy Aᵀ of all tiles dy of 4×4 pixels. */
    void gradientTiles(
            FloatBuffer image, FloatBuffer points, WinogradStage.Arrays arrays, int chunkStart, int from, int to) {
        for (int strip = from; strip < to; strip += stripRows) {
            int count = Math.min(stripRows, to - strip);
            for (int k = 0; k < blocks; k++) {
                readRows(image, strip, count, k, OUTPUTS, 0, 0, arrays.rows);
                for (int column = 0; column < OUTPUTS; column++) {
                    for (int r = 0; r < OUTPUTS; r++) {
                        pickColumn(arrays.rows[r], column, count, arrays.columns[r]);
                    }
                    // Row r of column c goes to half[6c + r].
                    WinogradTransforms.outputGradient(
                            arrays.columns, 0, 1, arrays.half, column * TILE, tileFloats(count));
                }
                for (int r = 0; r < TILE; r++) {
                    WinogradTransforms.outputGradient(arrays.half, r, TILE, arrays.full, 0, tileFloats(count));
                    writePoints(points, r, arrays.full, k, strip - chunkStart, count);
                }
            }
        }
    }

    /**
     * y = Aᵀ M A of all tiles, and then the sum with another tensor and ReLU, if there are.
     *
     * @param firstBlock which block of the image's channels the first one of the points is
     */
    void outputs(
            int firstBlock,
            FloatBuffer points,
            @Nullable FloatBuffer addend,
            boolean relu,
            FloatBuffer image,
            WinogradStage.Arrays arrays,
            int chunkStart,
            int from,
            int to) {
        for (int strip = from; strip < to; strip += stripRows) {
            int count = Math.min(stripRows, to - strip);
            for (int k = 0; k < blocks; k++) {
                for (int r = 0; r < TILE; r++) {
                    readPoints(points, r, arrays.full, k, strip - chunkStart, count);
                    // Row r of column c goes to half[6c + r].
                    WinogradTransforms.output(arrays.full, 0, arrays.half, r, TILE, tileFloats(count));
                }
                for (int column = 0; column < OUTPUTS; column++) {
                    WinogradTransforms.output(arrays.half, column * TILE, arrays.full, 0, 1, tileFloats(count));
                    for (int r = 0; r < OUTPUTS; r++) {
                        joinColumn(arrays.full[r], r, column, count, arrays.plane);
                    }
                }
                writePlane(arrays, strip, count, firstBlock + k, addend, relu, image);
            }
        }
    }

    /** Zeros at the points of the rows of tiles behind the first so many of a chunk. */
    void clearFrom(int rows, FloatBuffer points, WinogradStage.Arrays arrays) {
        float[] zeros = arrays.rows[0];
        int most = zeros.length / block;
        Arrays.fill(zeros, 0);
        for (int matrixRow = 0; matrixRow < TILE * TILE * blocks; matrixRow++) {
            for (int tile = rows * tilesWide; tile < chunkTiles; tile += most) {
                int count = Math.min(chunkTiles - tile, most);
                points.put((matrixRow * chunkTiles + tile) * block, zeros, 0, count * block);
            }
        }
    }

    /** Floats of so many rows of tiles. */
    private int tileFloats(int tileRows) {
        return tileRows * tilesWide * block;
    }

    private int row(int sample, int y, int channelBlock) {
        return ((sample * imageBlocks + channelBlock) * height + y) * rowFloats;
    }

    /**
     * Row m of each row of tiles goes to array m, one behind the other, with zeros where the image ends.
     *
     * @param each rows of an image that a row of tiles reaches into
     */
    private void readRows(
            FloatBuffer image, int strip, int count, int channelBlock, int each, int above, int before, float[][] to) {
        int left = before * block;
        int right = Math.min(wideFloats, left + rowFloats);
        for (int t = 0; t < count; t++) {
            int sample = (strip + t) / tilesHigh;
            int top = (strip + t) % tilesHigh * OUTPUTS - above;
            int start = t * wideFloats;
            for (int m = 0; m < each; m++) {
                int y = top + m;
                if (y < 0 || y >= height) {
                    Arrays.fill(to[m], start, start + wideFloats, 0);
                } else {
                    Arrays.fill(to[m], start, start + left, 0);
                    image.get(row(sample, y, channelBlock), to[m], start + left, right - left);
                    Arrays.fill(to[m], start + right, start + wideFloats, 0);
                }
            }
        }
    }

    /** Column 4j + m of each row goes to place j of array m; patches end with the first two columns of the next. */
    private void splitColumns(float[] rows, int count, float[][] columns) {
        for (int m = 0; m < OUTPUTS; m++) {
            pickColumn(rows, m, count, columns[m]);
        }
        int behind = (tilesWide - 1) * block;
        for (int m = OUTPUTS; m < TILE; m++) {
            float[] next = columns[m - OUTPUTS];
            float[] to = columns[m];
            for (int t = 0; t < count; t++) {
                int start = tileFloats(t);
                System.arraycopy(next, start + block, to, start, behind);
                System.arraycopy(rows, t * wideFloats + behind * OUTPUTS + m * block, to, start + behind, block);
            }
        }
    }

    /** Column 4j + number of each row goes to place j. */
    private void pickColumn(float[] rows, int number, int count, float[] column) {
        int step = OUTPUTS * block;
        int to = 0;
        for (int t = 0; t < count; t++) {
            int from = t * wideFloats + number * block;
            for (int j = 0; j < tilesWide; j++, from += step, to += block) {
                System.arraycopy(rows, from, column, to, block);
            }
        }
    }

    /** The reverse, to the rows of the image as they lie; what hangs over at the right is left out. */
    private void joinColumn(float[] column, int r, int number, int count, float[] plane) {
        int step = OUTPUTS * block;
        for (int t = 0; t < count; t++) {
            int from = tileFloats(t);
            int start = (t * OUTPUTS + r) * rowFloats;
            for (int to = number * block; to < rowFloats; to += step, from += block) {
                System.arraycopy(column, from, plane, start + to, block);
            }
        }
    }

    /** Rows of one sample lie together; what hangs over at its lower end is left out. */
    private void writePlane(
            WinogradStage.Arrays arrays,
            int strip,
            int count,
            int channelBlock,
            @Nullable FloatBuffer addend,
            boolean relu,
            FloatBuffer image) {
        int together;
        for (int t = 0; t < count; t += together) {
            int top = (strip + t) % tilesHigh;
            together = Math.min(count - t, tilesHigh - top);
            int from = t * OUTPUTS * rowFloats;
            int length = (Math.min(height, (top + together) * OUTPUTS) - top * OUTPUTS) * rowFloats;
            int at = row((strip + t) / tilesHigh, top * OUTPUTS, channelBlock);
            if (addend != null) {
                addend.get(at, arrays.addend, from, length);
                add(arrays.plane, arrays.addend, from, from + length);
            }
            if (relu) {
                rectify(arrays.plane, from, from + length);
            }
            image.put(at, arrays.plane, from, length);
        }
    }

    private int point(int row, int column, int channelBlock, int chunkRow) {
        int matrix = (row * TILE + column) * blocks + channelBlock;
        return (matrix * chunkTiles + chunkRow * tilesWide) * block;
    }

    private void writePoints(FloatBuffer points, int row, float[][] from, int channelBlock, int chunkRow, int count) {
        for (int column = 0; column < TILE; column++) {
            points.put(point(row, column, channelBlock, chunkRow), from[column], 0, tileFloats(count));
        }
    }

    private void readPoints(FloatBuffer points, int row, float[][] to, int channelBlock, int chunkRow, int count) {
        for (int column = 0; column < TILE; column++) {
            points.get(point(row, column, channelBlock, chunkRow), to[column], 0, tileFloats(count));
        }
    }

    private static void add(float[] to, float[] addend, int from, int end) {
        for (int i = from; i < end; i++) {
            to[i] += addend[i];
        }
    }

    private static void rectify(float[] values, int from, int end) {
        for (int i = from; i < end; i++) {
            values[i] = Math.max(values[i], 0);
        }
    }
}
