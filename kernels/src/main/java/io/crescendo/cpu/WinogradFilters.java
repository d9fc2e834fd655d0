package io.crescendo.cpu;

import static io.crescendo.cpu.WinogradTransforms.TAPS;
import static io.crescendo.cpu.WinogradTransforms.TILE;

import java.nio.FloatBuffer;
import java.util.List;
import java.util.function.Function;

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
    private static final int FILTER = TAPS * TAPS;
    private static final int POINTS = TILE * TILE;

    private final int block;
    private final int outputBlocks;
    private final int inputBlocks;

    /**
     * For a convolution's own weights.
     *
     * @param block channels that lie together
     * @param outputs K
     * @param inputs C
     */
    WinogradFilters(int block, int outputs, int inputs) {
        this.block = block;
        this.outputBlocks = outputs / block;
        this.inputBlocks = inputs / block;
    }

    /** Filters that are transformed at a time. */
    int filtersAtATime() {
        return block * block;
    }

    /** Weights to points. */
    Workers.Task toPoints(Binding.Floats weights, Binding.Floats points, WinogradStage stage) {
        return task(stage, arrays -> (k, c) -> {
            read(weights.buffer(), k, c, arrays.packed);
            for (int tap = 0; tap < FILTER; tap++) {
                float[] taps = arrays.taps[tap];
                for (int o = 0; o < block; o++) {
                    for (int i = 0; i < block; i++) {
                        taps[i * block + o] = arrays.packed[(o * block + i) * FILTER + tap];
                    }
                }
            }
            transform(arrays);
            write(points.buffer(), arrays, k * inputBlocks + c);
        });
    }

    /** Weights to the points of the convolution that carries gradients from outputs to inputs. */
    Workers.Task toTurnedPoints(Binding.Floats weights, Binding.Floats points, WinogradStage stage) {
        return task(stage, arrays -> (k, c) -> {
            read(weights.buffer(), k, c, arrays.packed);
            for (int tap = 0; tap < FILTER; tap++) {
                float[] taps = arrays.taps[FILTER - 1 - tap];
                for (int filter = 0; filter < block * block; filter++) {
                    taps[filter] = arrays.packed[filter * FILTER + tap];
                }
            }
            transform(arrays);
            write(points.buffer(), arrays, c * outputBlocks + k);
        });
    }

    /** Adds the gradient of the points to that of the weights. */
    Workers.Task addGradient(Binding.Floats points, Binding.Floats weightGradient, WinogradStage stage) {
        int filters = block * block;
        return task(stage, arrays -> (k, c) -> {
            FloatBuffer from = points.buffer();
            for (int point = 0; point < POINTS; point++) {
                from.get(
                        (point * outputBlocks * inputBlocks + k * inputBlocks + c) * filters,
                        arrays.points[point],
                        0,
                        filters);
            }
            for (int column = 0; column < TILE; column++) {
                WinogradTransforms.filterGradient(
                        arrays.points, column, TILE, arrays.halfFilters, column, TILE, filters);
            }
            for (int row = 0; row < TAPS; row++) {
                WinogradTransforms.filterGradient(
                        arrays.halfFilters, row * TILE, 1, arrays.taps, row * TAPS, 1, filters);
            }
            read(weightGradient.buffer(), k, c, arrays.packed);
            for (int tap = 0; tap < FILTER; tap++) {
                float[] taps = arrays.taps[tap];
                for (int o = 0; o < block; o++) {
                    for (int i = 0; i < block; i++) {
                        arrays.packed[(o * block + i) * FILTER + tap] += taps[i * block + o];
                    }
                }
            }
            FloatBuffer to = weightGradient.buffer();
            for (int o = 0; o < block; o++) {
                to.put(packed(k * block + o, c), arrays.packed, o * block * FILTER, block * FILTER);
            }
        });
    }

    /** One block of outputs by one block of inputs. */
    private interface Block {
        void run(int outputBlock, int inputBlock);
    }

    /** One piece of work per thread, made once: running allocates nothing. */
    private Workers.Task task(WinogradStage stage, Function<WinogradStage.Arrays, Block> make) {
        List<Block> blocks = stage.threads().stream().map(make).toList();
        return (part, parts) -> shares(part, parts, blocks.get(part));
    }

    private void shares(int part, int parts, Block work) {
        long all = (long) outputBlocks * inputBlocks;
        for (int at = (int) (all * part / parts); at < (int) (all * (part + 1) / parts); at++) {
            work.run(at / inputBlocks, at % inputBlocks);
        }
    }

    /** Where the filters of one output channel and one block of input channels start. */
    private int packed(int output, int inputBlock) {
        return (output * inputBlocks + inputBlock) * block * FILTER;
    }

    private void read(FloatBuffer pack, int outputBlock, int inputBlock, float[] filters) {
        for (int o = 0; o < block; o++) {
            pack.get(packed(outputBlock * block + o, inputBlock), filters, o * block * FILTER, block * FILTER);
        }
    }

    private void transform(WinogradStage.Arrays arrays) {
        int filters = block * block;
        for (int column = 0; column < TAPS; column++) {
            WinogradTransforms.filter(arrays.taps, column, TAPS, arrays.halfFilters, column, TAPS, filters);
        }
        for (int row = 0; row < TILE; row++) {
            WinogradTransforms.filter(arrays.halfFilters, row * TAPS, 1, arrays.points, row * TILE, 1, filters);
        }
    }

    private void write(FloatBuffer points, WinogradStage.Arrays arrays, int blockNumber) {
        int filters = block * block;
        for (int point = 0; point < POINTS; point++) {
            points.put((point * outputBlocks * inputBlocks + blockNumber) * filters, arrays.points[point], 0, filters);
        }
    }
}
