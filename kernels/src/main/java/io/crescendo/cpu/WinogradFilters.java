package io.crescendo.cpu;

import static io.crescendo.cpu.WinogradTransforms.TAPS;
import static io.crescendo.cpu.WinogradTransforms.TILE;

import java.nio.FloatBuffer;
import java.util.List;
import java.util.function.Function;
import java.util.function.IntConsumer;

/**
 * Filters on their way to the 36 points of a tile, U = G g Gᵀ, and their gradients on the way back, dg = Gᵀ dU G.
 *
 * <pre>
 *   pack    (K, C, 3, 3), row-major
 *   points  36 matrices of blocks: (36, K/b, C/b, b of C, b of K), b channels that fill a vector register
 * </pre>
 *
 * <p>For the input's gradient the filters are turned by 180° and trade inputs for outputs, and so do the points.
 */
final class WinogradFilters {
    /** Blocks that are copied at a time: a kilobyte each, and each copy goes to a page of its own. */
    private static final int BLOCKS = 4;

    private static final int FILTER = TAPS * TAPS;
    private static final int POINTS = TILE * TILE;

    private final int block;
    private final int inputBlocks;
    private final boolean turned;
    /** Blocks of the convolution's outputs, which for turned filters are the inputs of the weights. */
    private final int outerBlocks;

    private final int innerBlocks;
    /** Blocks of those whose points lie together. */
    private final int together;

    /**
     * For the weights of one convolution.
     *
     * @param block channels that lie together
     * @param outputs K
     * @param inputs C
     * @param turned whether for the convolution that carries gradients from outputs to inputs
     * @param atATime channels of the result whose points are held at a time
     */
    WinogradFilters(int block, int outputs, int inputs, boolean turned, int atATime) {
        this.block = block;
        this.inputBlocks = inputs / block;
        this.turned = turned;
        this.outerBlocks = (turned ? inputs : outputs) / block;
        this.innerBlocks = (turned ? outputs : inputs) / block;
        this.together = atATime / block;
    }

    /** Filters that are transformed at a time. */
    int filtersAtATime() {
        return BLOCKS * block * block;
    }

    /** How many times channels of the result are held. */
    int pieces() {
        return outerBlocks / together;
    }

    /** Which block of the result's channels a piece begins with. */
    int firstBlock(int piece) {
        return piece * together;
    }

    /** Weights to points, if all are held at a time. */
    Workers.Task toPoints(Binding.Floats weights, Binding.Floats points, WinogradStage stage) {
        return task(stage, arrays -> blocks(weights, points, arrays));
    }

    /** Weights to the points of one piece. */
    IntConsumer toPoints(Binding.Floats weights, Binding.Floats points, WinogradStage.Arrays arrays) {
        Blocks work = blocks(weights, points, arrays);
        return piece -> run(work, firstBlock(piece) * innerBlocks, firstBlock(piece + 1) * innerBlocks);
    }

    private Blocks blocks(Binding.Floats weights, Binding.Floats points, WinogradStage.Arrays arrays) {
        return (outer, inner, count) -> {
            if (turned) {
                takeTurned(weights.buffer(), inner, outer, count, arrays);
            } else {
                take(weights.buffer(), outer, inner, count, arrays);
            }
            transform(arrays, count);
            for (int point = 0; point < POINTS; point++) {
                points.buffer().put(point(point, outer, inner), arrays.points[point], 0, count * block * block);
            }
        };
    }

    private void take(FloatBuffer weights, int k, int c, int count, WinogradStage.Arrays arrays) {
        int inputs = count * block;
        read(weights, k, 1, c, count, arrays.packed);
        for (int o = 0; o < block; o++) {
            unpack(arrays.packed, o * inputs, inputs, arrays.taps, o, block);
        }
    }

    private void takeTurned(FloatBuffer weights, int k, int c, int count, WinogradStage.Arrays arrays) {
        read(weights, k, count, c, 1, arrays.packed);
        unpack(arrays.packed, 0, count * block * block, arrays.turnedTaps, 0, 1);
    }

    /** Tap by tap of so many filters to its array; one loop that knows all nine is four times faster than nine. */
    private static void unpack(float[] packed, int firstFilter, int filters, float[][] taps, int first, int step) {
        float[] t0 = taps[0];
        float[] t1 = taps[1];
        float[] t2 = taps[2];
        float[] t3 = taps[3];
        float[] t4 = taps[4];
        float[] t5 = taps[5];
        float[] t6 = taps[6];
        float[] t7 = taps[7];
        float[] t8 = taps[8];
        int from = firstFilter * FILTER;
        int to = first;
        for (int i = 0; i < filters; i++, from += FILTER, to += step) {
            t0[to] = packed[from];
            t1[to] = packed[from + 1];
            t2[to] = packed[from + 2];
            t3[to] = packed[from + 3];
            t4[to] = packed[from + 4];
            t5[to] = packed[from + 5];
            t6[to] = packed[from + 6];
            t7[to] = packed[from + 7];
            t8[to] = packed[from + 8];
        }
    }

    /** The reverse, which adds. */
    private static void packAdding(float[][] taps, int first, int step, float[] packed, int firstFilter, int filters) {
        float[] t0 = taps[0];
        float[] t1 = taps[1];
        float[] t2 = taps[2];
        float[] t3 = taps[3];
        float[] t4 = taps[4];
        float[] t5 = taps[5];
        float[] t6 = taps[6];
        float[] t7 = taps[7];
        float[] t8 = taps[8];
        int from = first;
        int to = firstFilter * FILTER;
        for (int i = 0; i < filters; i++, from += step, to += FILTER) {
            packed[to] += t0[from];
            packed[to + 1] += t1[from];
            packed[to + 2] += t2[from];
            packed[to + 3] += t3[from];
            packed[to + 4] += t4[from];
            packed[to + 5] += t5[from];
            packed[to + 6] += t6[from];
            packed[to + 7] += t7[from];
            packed[to + 8] += t8[from];
        }
    }

    /** Adds the gradient of the points to that of the weights. */
    Workers.Task addGradient(Binding.Floats points, Binding.Floats weightGradient, WinogradStage stage) {
        return task(stage, arrays -> (k, c, count) -> {
            int inputs = count * block;
            int filters = inputs * block;
            for (int point = 0; point < POINTS; point++) {
                points.buffer().get(point(point, k, c), arrays.points[point], 0, filters);
            }
            for (int column = 0; column < TILE; column++) {
                WinogradTransforms.filterGradient(
                        arrays.points, column, TILE, arrays.halfFilters, column, TILE, filters);
            }
            for (int row = 0; row < TAPS; row++) {
                WinogradTransforms.filterGradient(
                        arrays.halfFilters, row * TILE, 1, arrays.taps, row * TAPS, 1, filters);
            }
            read(weightGradient.buffer(), k, 1, c, count, arrays.packed);
            for (int o = 0; o < block; o++) {
                packAdding(arrays.taps, o, block, arrays.packed, o * inputs, inputs);
            }
            FloatBuffer to = weightGradient.buffer();
            for (int o = 0; o < block; o++) {
                to.put(packed(k * block + o, c), arrays.packed, o * inputs * FILTER, inputs * FILTER);
            }
        });
    }

    /** One block of channels on one side by some blocks in a row on the other. */
    private interface Blocks {
        void run(int outer, int inner, int count);
    }

    /** One piece of work per thread, made once: running allocates nothing. */
    private Workers.Task task(WinogradStage stage, Function<WinogradStage.Arrays, Blocks> make) {
        List<Blocks> blocks = stage.threads().stream().map(make).toList();
        int all = outerBlocks * innerBlocks;
        return (part, parts) -> run(
                blocks.get(part),
                WinogradConvolutions.share(all, part, parts),
                WinogradConvolutions.share(all, part + 1, parts));
    }

    private void run(Blocks work, int from, int end) {
        int count;
        for (int at = from; at < end; at += count) {
            int inner = at % innerBlocks;
            count = Math.min(Math.min(BLOCKS, innerBlocks - inner), end - at);
            work.run(at / innerBlocks, inner, count);
        }
    }

    /** Where the filters of one output channel and one block of input channels start. */
    private int packed(int output, int inputBlock) {
        return (output * inputBlocks + inputBlock) * block * FILTER;
    }

    /** The filters of some blocks, one output channel after the other. */
    private void read(FloatBuffer pack, int outputBlock, int outputs, int inputBlock, int inputs, float[] filters) {
        int floats = inputs * block * FILTER;
        for (int o = 0; o < outputs * block; o++) {
            pack.get(packed(outputBlock * block + o, inputBlock), filters, o * floats, floats);
        }
    }

    private void transform(WinogradStage.Arrays arrays, int blocks) {
        int filters = blocks * block * block;
        for (int column = 0; column < TAPS; column++) {
            WinogradTransforms.filter(arrays.taps, column, TAPS, arrays.halfFilters, column, TAPS, filters);
        }
        for (int row = 0; row < TILE; row++) {
            WinogradTransforms.filter(arrays.halfFilters, row * TAPS, 1, arrays.points, row * TILE, 1, filters);
        }
    }

    /** Where the points of a block lie among those that are held. */
    private int point(int number, int outer, int inner) {
        return ((number * together + outer % together) * innerBlocks + inner) * block * block;
    }
}
