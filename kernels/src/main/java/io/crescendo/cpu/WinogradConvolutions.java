package io.crescendo.cpu;

import static io.crescendo.cpu.OpPlan.arg;
import static org.bytedeco.dnnl.global.dnnl.*;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.dnnl.dnnl_primitive_desc;
import org.jspecify.annotations.Nullable;

/**
 * Convolutions with 3×3 filters and stride 1, and their gradients, by F(4×4, 3×3): a quarter of the multiplications.
 *
 * <pre>
 *   x ─► patches V = Bᵀ d B ─┐
 *                            ├─► 36 matrix products M = U V ─► y = Aᵀ M A, + addend, ReLU
 *   w ─► filters U = G g Gᵀ ─┘
 *
 *   dx: the same with dy for x and filters turned by 180° that trade inputs for outputs
 *   dw: dU = dM Vᵀ of dM = A dy Aᵀ,  dg = Gᵀ dU G
 * </pre>
 *
 * <p>The 36 products are one grouped 1×1 convolution of oneDNN's, with a group per point and the tiles of some rows as
 * one row of pixels. Each thread takes a few rows of tiles at a time through transform, products and transform while
 * their points are in its cache, or, where there are few tiles for many filters, a few outputs with their filters
 * ({@link WinogradRun}). The sums over channels are those of a direct convolution; the transforms cost one to two
 * decimal digits of float32's seven.
 *
 * <p>IMPLEMENTATION NOTES. oneDNN itself has no such algorithm since 3.0. Two processor cores with AVX-512 spend about
 * 8.4 ps on a multiplication and addition of either convolution, 1.1 ns on taking one pixel of one channel to its
 * points or back, and 7 ns on a filter; {@link #share} weighs that. What is chosen depends on the geometry, and on the
 * number of samples in one case: tensors past 2 GiB are left to the direct convolution. Splitting a batch changes
 * nothing all the same. What lies side by side is a shard ({@link Sharding}), and a shard so large is a single ghost
 * batch, or a single sample where there are no statistics, which no split divides; the ragged end of a batch is the
 * same shard in any split.
 */
final class WinogradConvolutions {
    /**
     * Points that one thread holds at a time: with as many on the other side of the products they stay in its cache.
     */
    private static final long THREAD_BYTES = 1 << 20;

    /** Points that all threads together hold at a time for the weights' gradient, which needs long sums. */
    private static final long SHARED_BYTES = 8 << 20;

    /** Blocks of outputs that a thread takes at a time where threads share out the filters. */
    private static final int OUTPUT_BLOCKS = 2;

    /** Fewer tiles make the products slow. */
    private static final int FEWEST_TILES = 64;

    /** Costs in multiplications and additions of the products. */
    private static final double PIXEL = 130;

    private static final double FILTER = 830;
    /** Samples over which transforming the filters is spread. */
    private static final int USUAL_SAMPLES = 32;

    /** Below this {@link #share} it is used: an estimate may be off by something. */
    static final double USUALLY_BELOW = 0.85;

    static final int POINTS = WinogradTransforms.TILE * WinogradTransforms.TILE;
    private static final int TILE_PIXELS = WinogradTransforms.OUTPUTS * WinogradTransforms.OUTPUTS;

    private final SectionLowering section;
    private final int block = block();

    WinogradConvolutions(SectionLowering section) {
        this.section = section;
    }

    /** Channels that lie together in a vector register, or 0 where there are none wide enough. */
    private static int block() {
        int isa = dnnl_get_effective_cpu_isa();
        return isa >= dnnl_cpu_isa_avx512_core ? 16 : isa >= dnnl_cpu_isa_avx2 ? 8 : 0;
    }

    /** The estimated time as a share of the direct convolution's. */
    static double share(long inputs, long outputs, long outputHeight, long outputWidth) {
        double tiles = (double) WinogradTiles.tiles((int) outputHeight) * WinogradTiles.tiles((int) outputWidth);
        double products = POINTS * tiles * inputs * outputs;
        double pixels = PIXEL * TILE_PIXELS * tiles * (inputs + outputs);
        double filters = FILTER * inputs * outputs / USUAL_SAMPLES;
        double direct = 9.0 * inputs * outputs * outputHeight * outputWidth;
        return (products + pixels + filters) / direct;
    }

    private boolean suits(Value input, Value output, Window window, int groups) {
        long[] x = section.extents(input);
        long[] y = section.extents(output);
        return block > 0
                && section.backend().setsThreads()
                && groups == 1
                && window.kernelHeight() == WinogradTransforms.TAPS
                && window.kernelWidth() == WinogradTransforms.TAPS
                && window.strideHeight() == 1
                && window.strideWidth() == 1
                && x[1] % block == 0
                && y[1] % block == 0
                && bytes(x) <= Integer.MAX_VALUE // Java's views of memory end there
                && bytes(y) <= Integer.MAX_VALUE
                && share(x[1], y[1], y[2], y[3]) < section.backend().winogradBelow();
    }

    private static long bytes(long[] extents) {
        return extents[0] * extents[1] * extents[2] * extents[3] * Float.BYTES;
    }

    /** The plan, if this is the way to do it. */
    Optional<OpPlan> forward(Op.Conv2d op) {
        if (op.bias() != null || !suits(op.input(), op.output(), op.window(), op.groups())) {
            return Optional.empty();
        }
        return convolve(
                op.input(),
                op.weight(),
                false,
                op.window().padTop(),
                op.window().padLeft(),
                op.addend(),
                op.relu(),
                op.output());
    }

    /** The plan, if this is the way to do it. */
    Optional<OpPlan> inputGradient(Op.Conv2dInputGradient op) {
        if (!suits(op.inputGradient(), op.outputGradient(), op.window(), op.groups())) {
            return Optional.empty();
        }
        int most = WinogradTransforms.TAPS - 1;
        return convolve(
                op.outputGradient(),
                op.weight(),
                true,
                most - op.window().padTop(),
                most - op.window().padLeft(),
                null,
                false,
                op.inputGradient());
    }

    private Optional<OpPlan> convolve(
            Value input,
            Value weight,
            boolean turned,
            int padTop,
            int padLeft,
            @Nullable Value addend,
            boolean relu,
            Value output) {
        OpPlan plan = section.plan();
        CpuBackend backend = section.backend();
        int threads = backend.workers().count();
        long[] x = section.extents(input);
        long[] y = section.extents(output);
        int rows = tileRows(y);
        int together = OUTPUT_BLOCKS * block;
        // Where filters have far more points than tiles, threads share out the filters instead of the tiles.
        boolean byOutputs = y[1] % together == 0
                && y[1] / together >= threads
                && (long) rows * tilesWide(y) <= (long) together * threads;
        int chunk = byOutputs ? rows : chunk((rows + threads - 1) / threads, x, y, THREAD_BYTES);
        long outputs = byOutputs ? together : y[1];
        WinogradProducts products =
                new WinogradProducts(section, block, POINTS, x[1], outputs, (long) chunk * tilesWide(y));
        Optional<dnnl_primitive_desc> chosen = products.forward(plan);
        if (chosen.isEmpty()) {
            return Optional.empty();
        }
        Operand image = section.operand(plan, input, Layout.blockedImages(section.scope(), block, x));
        Layout outputLayout = Layout.blockedImages(section.scope(), block, y);
        Operand result = section.define(output, outputLayout);
        Operand added = null;
        if (addend != null) {
            if (section.operand(addend).layout().sameAs(outputLayout)) {
                plan.allowOverwriting(addend); // each row is read before it is written
            }
            added = section.operand(plan, addend, outputLayout);
        }
        @Nullable Operand finalAddend = added;
        Operand filters = section.operand(weight);
        List<Operand> u = scratch(plan, products.weights, byOutputs ? threads : 1);
        List<Operand> v = scratch(plan, products.source, byOutputs ? 1 : threads);
        List<Operand> m = scratch(plan, products.destination, threads);
        Function<Binding, List<Step>> product = plan.inner(
                "products",
                chosen.get(),
                IntStream.range(0, threads)
                        .mapToObj(thread -> List.of(
                                arg(DNNL_ARG_SRC, v.get(thread % v.size())),
                                arg(DNNL_ARG_WEIGHTS, u.get(thread % u.size())),
                                arg(DNNL_ARG_DST, m.get(thread))))
                        .toList(),
                backend::onOneThread);
        WinogradTiles in = tiles(x, padTop, padLeft, y, x[1], chunk);
        WinogradTiles out = tiles(y, 0, 0, y, outputs, chunk);
        long[] w = weight.shape().dims();
        WinogradFilters transformed = new WinogradFilters(block, (int) w[0], (int) w[1], turned, (int) outputs);
        plan.step((binding, steps) -> {
            WinogradStage stage = binding.stage(threads);
            stage.reserve(Math.max(in.stripFloats(), out.stripFloats()), transformed.filtersAtATime());
            WinogradRun run = new WinogradRun(
                    backend,
                    stage,
                    in,
                    out,
                    transformed,
                    binding.floats(filters),
                    u.stream().map(binding::floats).toList(),
                    binding.floats(image),
                    v.stream().map(binding::floats).toList(),
                    product.apply(binding),
                    m.stream().map(binding::floats).toList(),
                    finalAddend == null ? null : binding.floats(finalAddend),
                    relu,
                    binding.floats(result));
            steps.add(byOutputs ? run.byOutputs(rows) : run.byTiles(rows, chunk));
        });
        return Optional.of(plan);
    }

    private static List<Operand> scratch(OpPlan plan, Layout layout, int count) {
        return Stream.generate(() -> plan.scratch(layout)).limit(count).toList();
    }

    /** The plan, if this is the way to do it. */
    Optional<OpPlan> weightGradient(Op.Conv2dWeightGradient op) {
        if (op.biasGradient() != null || !suits(op.input(), op.outputGradient(), op.window(), op.groups())) {
            return Optional.empty();
        }
        OpPlan plan = section.plan();
        CpuBackend backend = section.backend();
        long[] x = section.extents(op.input());
        long[] y = section.extents(op.outputGradient());
        int rows = tileRows(y);
        int chunk = chunk(rows, x, y, SHARED_BYTES);
        WinogradProducts whole = new WinogradProducts(section, block, POINTS, x[1], y[1], (long) chunk * tilesWide(y));
        WinogradProducts one = new WinogradProducts(section, block, 1, x[1], y[1], (long) chunk * tilesWide(y));
        Optional<dnnl_primitive_desc> chosen = one.weightGradient(plan);
        if (chosen.isEmpty()) {
            return Optional.empty();
        }
        Operand image = section.operand(plan, op.input(), Layout.blockedImages(section.scope(), block, x));
        Operand gradient = section.operand(plan, op.outputGradient(), Layout.blockedImages(section.scope(), block, y));
        Operand filters = section.operand(op.weightGradient());
        Operand u = plan.scratch(whole.weights);
        Operand v = plan.scratch(whole.source);
        Operand m = plan.scratch(whole.destination);
        Function<Binding, List<Step>> product = plan.inner(
                "products",
                chosen.get(),
                IntStream.range(0, POINTS)
                        .mapToObj(point -> List.of(
                                arg(DNNL_ARG_SRC, v.part(one.source, point * one.source.bytes())),
                                arg(DNNL_ARG_DIFF_WEIGHTS, u.part(one.weights, point * one.weights.bytes())),
                                arg(DNNL_ARG_DIFF_DST, m.part(one.destination, point * one.destination.bytes()))))
                        .toList(),
                backend::onOneThread);
        WinogradTiles in = tiles(x, op.window().padTop(), op.window().padLeft(), y, x[1], chunk);
        WinogradTiles out = tiles(y, 0, 0, y, y[1], chunk);
        WinogradFilters transformed = new WinogradFilters(block, (int) y[1], (int) x[1], false, (int) y[1]);
        plan.step((binding, steps) -> {
            WinogradStage stage = binding.stage(backend.workers().count());
            stage.reserve(Math.max(in.stripFloats(), out.stripFloats()), transformed.filtersAtATime());
            steps.add(new WinogradWeightGradient(
                    backend,
                    stage,
                    rows,
                    chunk,
                    in,
                    out,
                    binding.floats(image),
                    binding.floats(gradient),
                    binding.floats(v),
                    binding.floats(m),
                    product.apply(binding),
                    transformed.addGradient(binding.floats(u), binding.floats(filters), stage)));
        });
        return Optional.of(plan);
    }

    /** Where a part of all begins, which is where the one before it ends. */
    static int share(int all, int part, int parts) {
        return (int) ((long) all * part / parts);
    }

    private WinogradTiles tiles(
            long[] image, int padTop, int padLeft, long[] output, long channelsAtATime, int chunkRows) {
        return new WinogradTiles(
                block,
                (int) image[1],
                (int) channelsAtATime,
                (int) image[2],
                (int) image[3],
                padTop,
                padLeft,
                (int) output[2],
                (int) output[3],
                chunkRows);
    }

    private static int tilesWide(long[] output) {
        return WinogradTiles.tiles((int) output[3]);
    }

    /** Rows of tiles in all samples. */
    private static int tileRows(long[] output) {
        return Math.toIntExact(output[0] * WinogradTiles.tiles((int) output[2]));
    }

    /** How many of so many rows of tiles have their points in memory at a time: chunks of nearly equal size. */
    private static int chunk(int rows, long[] input, long[] output, long limitBytes) {
        int tilesWide = tilesWide(output);
        long tiles = limitBytes / (POINTS * Math.max(input[1], output[1]) * Float.BYTES);
        long most = Math.max(1, Math.max(tiles, FEWEST_TILES) / tilesWide);
        long chunks = (rows + most - 1) / most;
        return (int) ((rows + chunks - 1) / chunks);
    }
}
