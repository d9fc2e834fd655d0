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
 *   points  (36, C/b, tiles, b)         tiles = samples of a chunk · ⌈rows/4⌉ · ⌈columns/4⌉
 * </pre>
 *
 * <p>Tiles count 4×4 pixels of the convolution's output. A tile at the lower or right edge may hang over; what it has
 * beyond the image is zero on the way in and left out on the way back.
 */
final class WinogradTiles {
    /** Floats of a row that are transformed at a time: enough for long loops, few enough for the cache. */
    private static final int ROW_FLOATS = 1024;

    private final int block;
    private final int blocks;
    private final int height;
    private final int width;
    private final int padTop;
    private final int padLeft;
    private final int tilesHigh;
    private final int tilesWide;
    private final int chunkTiles;
    private final int groupBlocks;

    /**
     * One way of a tensor.
     *
     * @param block channels that lie together
     * @param channels C, a multiple of it
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
            int height,
            int width,
            int padTop,
            int padLeft,
            int outputHeight,
            int outputWidth,
            int chunkRows) {
        this.block = block;
        this.blocks = channels / block;
        this.height = height;
        this.width = width;
        this.padTop = padTop;
        this.padLeft = padLeft;
        this.tilesHigh = tiles(outputHeight);
        this.tilesWide = tiles(outputWidth);
        this.chunkTiles = chunkRows * tilesWide;
        this.groupBlocks = Math.max(1, Math.min(blocks, ROW_FLOATS / (width * block)));
    }

    static int tiles(int outputs) {
        return (outputs + OUTPUTS - 1) / OUTPUTS;
    }

    /** Length of the arrays that a group of blocks needs. */
    int rowFloats() {
        // A patch ends in the columns of the tile behind it, so there is one group of columns more than there are
        // tiles.
        return groupBlocks * Math.max(width, tilesWide + 1) * block;
    }

    /** V = Bᵀ d B of all patches d of 6×6 pixels, which overlap by two. */
    void patches(FloatBuffer image, FloatBuffer points, WinogradStage.Arrays arrays, int chunkStart, int from, int to) {
        int step = (tilesWide + 1) * block;
        for (int row = from; row < to; row++) {
            int top = row % tilesHigh * OUTPUTS - padTop;
            for (int first = 0; first < blocks; first += groupBlocks) {
                int count = Math.min(groupBlocks, blocks - first);
                for (int r = 0; r < TILE; r++) {
                    readRow(image, row / tilesHigh, top + r, first, count, arrays.rows[r]);
                }
                WinogradTransforms.input(arrays.rows, arrays.half, count * width * block);
                for (int r = 0; r < TILE; r++) {
                    splitColumns(arrays.half[r], -padLeft, tilesWide + 1, count, arrays.columns);
                    // A patch ends with the first two columns of the next. A loop that read them at an offset would
                    // not be vectorised; a copy costs a tenth of that.
                    for (int m = OUTPUTS; m < TILE; m++) {
                        System.arraycopy(
                                arrays.columns[m - OUTPUTS], block, arrays.columns[m], 0, count * step - block);
                    }
                    WinogradTransforms.input(arrays.columns, arrays.full, count * step);
                    writePoints(points, r, arrays.full, row - chunkStart, first, count, step);
                }
            }
        }
    }

    /** dM = A dy Aᵀ of all tiles dy of 4×4 pixels. */
    void gradientTiles(
            FloatBuffer image, FloatBuffer points, WinogradStage.Arrays arrays, int chunkStart, int from, int to) {
        int step = tilesWide * block;
        for (int row = from; row < to; row++) {
            int top = row % tilesHigh * OUTPUTS;
            for (int first = 0; first < blocks; first += groupBlocks) {
                int count = Math.min(groupBlocks, blocks - first);
                for (int r = 0; r < OUTPUTS; r++) {
                    readRow(image, row / tilesHigh, top + r, first, count, arrays.rows[r]);
                }
                WinogradTransforms.outputGradient(arrays.rows, arrays.half, count * width * block);
                for (int r = 0; r < TILE; r++) {
                    splitColumns(arrays.half[r], 0, tilesWide, count, arrays.columns);
                    WinogradTransforms.outputGradient(arrays.columns, arrays.full, count * step);
                    writePoints(points, r, arrays.full, row - chunkStart, first, count, step);
                }
            }
        }
    }

    /** y = Aᵀ M A of all tiles, and then the sum with another tensor and ReLU, if there are. */
    void outputs(
            FloatBuffer points,
            @Nullable FloatBuffer addend,
            boolean relu,
            FloatBuffer image,
            WinogradStage.Arrays arrays,
            int chunkStart,
            int from,
            int to) {
        int step = tilesWide * block;
        for (int row = from; row < to; row++) {
            int top = row % tilesHigh * OUTPUTS;
            for (int first = 0; first < blocks; first += groupBlocks) {
                int count = Math.min(groupBlocks, blocks - first);
                for (int r = 0; r < TILE; r++) {
                    readPoints(points, r, arrays.full, row - chunkStart, first, count, step);
                    // Row r of column c goes to half[6c + r].
                    WinogradTransforms.output(arrays.full, 0, arrays.half, r, TILE, count * step);
                }
                for (int column = 0; column < OUTPUTS; column++) {
                    WinogradTransforms.output(arrays.half, column * TILE, arrays.full, 0, 1, count * step);
                    for (int r = 0; r < OUTPUTS; r++) {
                        joinColumn(arrays.full[r], column, count, arrays.rows[r]);
                    }
                }
                for (int r = 0; r < OUTPUTS && top + r < height; r++) {
                    if (addend != null) {
                        readRow(addend, row / tilesHigh, top + r, first, count, arrays.rows[TILE - 1]);
                        add(arrays.rows[r], arrays.rows[TILE - 1], count * width * block);
                    }
                    if (relu) {
                        rectify(arrays.rows[r], count * width * block);
                    }
                    writeRow(image, row / tilesHigh, top + r, first, count, arrays.rows[r]);
                }
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

    private int row(int sample, int y, int channelBlock) {
        return ((sample * blocks + channelBlock) * height + y) * width * block;
    }

    private void readRow(FloatBuffer image, int sample, int y, int firstBlock, int count, float[] to) {
        int rowFloats = width * block;
        if (y < 0 || y >= height) {
            Arrays.fill(to, 0, count * rowFloats, 0);
            return;
        }
        for (int k = 0; k < count; k++) {
            image.get(row(sample, y, firstBlock + k), to, k * rowFloats, rowFloats);
        }
    }

    private void writeRow(FloatBuffer image, int sample, int y, int firstBlock, int count, float[] from) {
        int rowFloats = width * block;
        for (int k = 0; k < count; k++) {
            image.put(row(sample, y, firstBlock + k), from, k * rowFloats, rowFloats);
        }
    }

    /** Column 4j + m of each row goes to place j of array m; columns outside the image are zero. */
    private void splitColumns(float[] rows, int firstColumn, int places, int count, float[][] columns) {
        for (int k = 0; k < count; k++) {
            for (int j = 0; j < places; j++) {
                int to = (k * places + j) * block;
                for (int m = 0; m < OUTPUTS; m++) {
                    int column = firstColumn + j * OUTPUTS + m;
                    if (column < 0 || column >= width) {
                        Arrays.fill(columns[m], to, to + block, 0);
                    } else {
                        System.arraycopy(rows, (k * width + column) * block, columns[m], to, block);
                    }
                }
            }
        }
    }

    /** The reverse for one of the four arrays; what hangs over is left out. */
    private void joinColumn(float[] column, int number, int count, float[] rows) {
        for (int k = 0; k < count; k++) {
            for (int j = 0, x = number; x < width; j++, x += OUTPUTS) {
                System.arraycopy(column, (k * tilesWide + j) * block, rows, (k * width + x) * block, block);
            }
        }
    }

    private int point(int row, int column, int channelBlock, int chunkRow) {
        int matrix = (row * TILE + column) * blocks + channelBlock;
        return (matrix * chunkTiles + chunkRow * tilesWide) * block;
    }

    private void writePoints(
            FloatBuffer points, int row, float[][] from, int chunkRow, int firstBlock, int count, int step) {
        for (int column = 0; column < TILE; column++) {
            for (int k = 0; k < count; k++) {
                points.put(point(row, column, firstBlock + k, chunkRow), from[column], k * step, tilesWide * block);
            }
        }
    }

    private void readPoints(
            FloatBuffer points, int row, float[][] to, int chunkRow, int firstBlock, int count, int step) {
        for (int column = 0; column < TILE; column++) {
            for (int k = 0; k < count; k++) {
                points.get(point(row, column, firstBlock + k, chunkRow), to[column], k * step, tilesWide * block);
            }
        }
    }

    private static void add(float[] to, float[] addend, int length) {
        for (int i = 0; i < length; i++) {
            to[i] += addend[i];
        }
    }

    private static void rectify(float[] values, int length) {
        for (int i = 0; i < length; i++) {
            values[i] = Math.max(values[i], 0);
        }
    }
}
