package io.crescendo.cpu;

import static io.crescendo.cpu.OpPlan.arg;
import static org.bytedeco.dnnl.global.dnnl.*;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.ToIntFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.dnnl.dnnl_primitive_attr;
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
 * their points are in its cache. The sums over channels are those of a direct convolution; the transforms cost one to
 * two decimal digits of float32's seven.
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
    private static final long[] ONES = {1, 1};
    private static final long[] ZEROS = {0, 0};

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
        int share = (rows + threads - 1) / threads;
        int chunk = chunk(share, x, y, THREAD_BYTES);
        Products products = new Products(POINTS, x[1], y[1], (long) chunk * tilesWide(y));
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
        Operand u = plan.scratch(products.weights);
        List<Operand> v = Stream.generate(() -> plan.scratch(products.source))
                .limit(threads)
                .toList();
        List<Operand> m = Stream.generate(() -> plan.scratch(products.destination))
                .limit(threads)
                .toList();
        Function<Binding, List<Step>> product = plan.inner(
                "products",
                chosen.get(),
                IntStream.range(0, threads)
                        .mapToObj(thread -> List.of(
                                arg(DNNL_ARG_SRC, v.get(thread)),
                                arg(DNNL_ARG_WEIGHTS, u),
                                arg(DNNL_ARG_DST, m.get(thread))))
                        .toList(),
                backend::onOneThread);
        WinogradTiles in = tiles(x, padTop, padLeft, y, chunk);
        WinogradTiles out = tiles(y, 0, 0, y, chunk);
        long[] w = weight.shape().dims();
        WinogradFilters transformed = new WinogradFilters(block, (int) w[0], (int) w[1]);
        plan.step((binding, steps) -> {
            WinogradStage stage = binding.stage(threads);
            stage.reserve(Math.max(in.stripFloats(), out.stripFloats()), transformed.filtersAtATime());
            Binding.Floats weights = binding.floats(filters);
            Binding.Floats points = binding.floats(u);
            Workers.Task toPoints = turned
                    ? transformed.toTurnedPoints(weights, points, stage)
                    : transformed.toPoints(weights, points, stage);
            Binding.Floats images = binding.floats(image);
            Binding.Floats results = binding.floats(result);
            Binding.@Nullable Floats addends = finalAddend == null ? null : binding.floats(finalAddend);
            List<Binding.Floats> patches = v.stream().map(binding::floats).toList();
            List<Binding.Floats> sums = m.stream().map(binding::floats).toList();
            List<Step> multiply = product.apply(binding);
            // Each thread takes its own tiles all the way; none waits for another in between.
            Shard none = new Shard(); // a primitive does not look at it
            Workers.Task tilesOfThreads = (part, parts) -> {
                OpenMp.omp_set_num_threads(1);
                WinogradStage.Arrays arrays = stage.threads().get(part);
                FloatBuffer patchPoints = patches.get(part).buffer();
                FloatBuffer sumPoints = sums.get(part).buffer();
                int end = share(rows, part + 1, parts);
                for (int from = share(rows, part, parts); from < end; from += chunk) {
                    int to = Math.min(end, from + chunk);
                    in.patches(images.buffer(), patchPoints, arrays, from, from, to);
                    multiply.get(part).run(none); // what lies at points beyond the last tile goes nowhere
                    out.outputs(
                            sumPoints,
                            addends == null ? null : addends.buffer(),
                            relu,
                            results.buffer(),
                            arrays,
                            from,
                            from,
                            to);
                }
            };
            steps.add(shard -> {
                backend.workers().run(toPoints);
                backend.workers().run(tilesOfThreads);
                backend.useThreads();
            });
        });
        return Optional.of(plan);
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
        Products whole = new Products(POINTS, x[1], y[1], (long) chunk * tilesWide(y));
        Products one = new Products(1, x[1], y[1], (long) chunk * tilesWide(y));
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
        WinogradTiles in = tiles(x, op.window().padTop(), op.window().padLeft(), y, chunk);
        WinogradTiles out = tiles(y, 0, 0, y, chunk);
        WinogradFilters transformed = new WinogradFilters(block, (int) y[1], (int) x[1]);
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

    private WinogradTiles tiles(long[] image, int padTop, int padLeft, long[] output, int chunkRows) {
        return new WinogradTiles(
                block,
                (int) image[1],
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

    /**
     * Products of C by K matrices with tiles, one or 36 of them, as a grouped convolution of 1×1 filters over a row.
     */
    private final class Products {
        private final Layout source;
        private final Layout weights;
        private final Layout destination;

        Products(int points, long inputs, long outputs, long tiles) {
            NativeScope scope = section.scope();
            source = Layout.blockedImages(scope, block, 1, points * inputs, 1, tiles);
            weights = Layout.blockedFilters(scope, block, points, outputs, inputs, 1, 1);
            destination = Layout.blockedImages(scope, block, 1, points * outputs, 1, tiles);
        }

        Optional<dnnl_primitive_desc> forward(OpPlan plan) {
            dnnl_primitive_attr attributes = plan.attributes();
            return chooseOnOneThread(
                    plan,
                    chosen -> dnnl_convolution_forward_primitive_desc_create(
                            chosen,
                            section.oneDnn().engine,
                            dnnl_forward_training,
                            dnnl_convolution_direct,
                            source.descriptor(),
                            weights.descriptor(),
                            null,
                            destination.descriptor(),
                            ONES,
                            ZEROS,
                            ZEROS,
                            ZEROS,
                            attributes));
        }

        Optional<dnnl_primitive_desc> weightGradient(OpPlan plan) {
            dnnl_primitive_attr attributes = plan.attributes();
            return forward(plan)
                    .flatMap(hint -> chooseOnOneThread(
                            plan,
                            chosen -> dnnl_convolution_backward_weights_primitive_desc_create(
                                    chosen,
                                    section.oneDnn().engine,
                                    dnnl_convolution_direct,
                                    source.descriptor(),
                                    weights.descriptor(),
                                    null,
                                    destination.descriptor(),
                                    ONES,
                                    ZEROS,
                                    ZEROS,
                                    ZEROS,
                                    hint,
                                    attributes)));
        }

        private Optional<dnnl_primitive_desc> chooseOnOneThread(
                OpPlan plan, ToIntFunction<dnnl_primitive_desc> create) {
            List<dnnl_primitive_desc> found = new ArrayList<>();
            section.backend().onOneThread(() -> plan.chooseCompiled(create).ifPresent(found::add));
            return found.stream().findFirst();
        }
    }
}
