package io.crescendo.cuda;

import io.crescendo.backend.Precision;
import io.crescendo.cuda.ConvolutionProblem.Direction;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A convolution of images with few channels, or its weight gradient, by the kernels of few_channels.cu: what a network
 * begins with. Tensor cores have little to do there, and cuDNN widens the channels first.
 *
 * <p>Arithmetic is float32 in every precision, and a weight gradient goes into the pack without being rounded to bf16.
 */
final class FewChannelsConvolution implements ConvolutionMethod {
    static final String NAME = "few-channels";

    /** With more there is enough for tensor cores. */
    private static final int MOST_CHANNELS = 4;
    /** As few_channels.cu has them. */
    private static final int FILTERS_OF_BLOCK = 16;

    private static final int WINDOWS_OF_THREAD = 2;
    private static final int MOST_TAPS = 256;
    private static final int MOST_WINDOWS = 256;
    private static final int MOST_PIXELS = 6144;
    /** Some work while others wait for their pixels; each leaves a whole gradient to be added. */
    private static final int BLOCKS_OF_MULTIPROCESSOR = 3;

    private final ConvolutionProblem problem;
    private final Grids grids;
    private final Epilogue epilogue;
    private final int tileRows;
    private final int tileColumns;

    private FewChannelsConvolution(ConvolutionProblem problem, Grids grids, int tileRows, int tileColumns) {
        this.problem = problem;
        this.grids = grids;
        this.epilogue = new Epilogue(problem, grids);
        this.tileRows = tileRows;
        this.tileColumns = tileColumns;
    }

    /** The method, or null if it does not take the problem. */
    static @Nullable ConvolutionMethod of(ConvolutionProblem p, Grids grids) {
        long windows = (long) p.samples() * p.outHeight() * p.outWidth();
        int taps = p.kernelHeight() * p.kernelWidth() * p.channels();
        if (p.direction() == Direction.INPUT_GRADIENT
                || p.groups() != 1
                || p.channels() > MOST_CHANNELS
                || taps > MOST_TAPS
                || windows > Integer.MAX_VALUE) {
            return null;
        }
        // Whole lines of the result if there is room, and as many as fit.
        for (int columns = Math.min(p.outWidth(), MOST_WINDOWS); columns > 0; columns /= 2) {
            for (int rows = Math.min(p.outHeight(), MOST_WINDOWS / columns); rows > 0; rows--) {
                if (pixels(p, rows, columns) <= MOST_PIXELS) {
                    return new FewChannelsConvolution(p, grids, rows, columns);
                }
            }
        }
        return null;
    }

    /** Numbers under a tile of windows. */
    private static long pixels(ConvolutionProblem p, int rows, int columns) {
        long height = (rows - 1L) * p.strideHeight() + p.kernelHeight();
        long width = (columns - 1L) * p.strideWidth() + p.kernelWidth();
        return height * width * p.channels();
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public long workspaceBytes() {
        return problem.direction() == Direction.WEIGHT_GRADIENT ? Float.BYTES * parts() * problem.weightElements() : 0;
    }

    /** Blocks that share the windows. */
    private long parts() {
        long across = (problem.outWidth() + tileColumns - 1L) / tileColumns;
        long down = (problem.outHeight() + tileRows - 1L) / tileRows;
        return grids.blocks(problem.samples() * down * across, BLOCKS_OF_MULTIPROCESSOR)
                .x();
    }

    private int filterBlocks() {
        return (problem.filters() + FILTERS_OF_BLOCK - 1) / FILTERS_OF_BLOCK;
    }

    @Override
    public boolean deterministic() {
        return true;
    }

    @Override
    public Launch bind(Kernels kernels, Operands operands) {
        return problem.direction() == Direction.FORWARD
                ? forward(kernels, operands)
                : weightGradient(kernels, operands);
    }

    private Launch forward(Kernels kernels, Operands operands) {
        boolean added = problem.addend() && operands.addend() == operands.result();
        long windows = (long) problem.samples() * problem.outHeight() * problem.outWidth();
        int blocks = grids.threads((windows + WINDOWS_OF_THREAD - 1) / WINDOWS_OF_THREAD)
                .x();
        Kernels.Call call = call(
                kernels, "few_channels", blocks, operands.first(), operands.second(), operands.result(), added ? 1 : 0);
        Launch after = epilogue.bind(kernels, operands, added);
        return lane -> {
            call.enqueue(lane.stream());
            after.enqueue(lane);
        };
    }

    private Launch weightGradient(Kernels kernels, Operands operands) {
        int parts = Math.toIntExact(parts());
        Kernels.Call call = call(
                kernels,
                "few_channels_weight_gradient",
                parts,
                operands.first(),
                operands.second(),
                operands.workspace(),
                tileRows,
                tileColumns);
        int count = Math.toIntExact(problem.weightElements());
        Kernels.Call add = kernels.call(
                "add_partials_f32", grids.warps(count).x(), 1, operands.result(), operands.workspace(), parts, count);
        return lane -> {
            call.enqueue(lane.stream());
            add.enqueue(lane.stream());
        };
    }

    private Kernels.Call call(Kernels kernels, String kernel, int blocks, Object... own) {
        List<Object> arguments = new ArrayList<>(List.of(own));
        arguments.addAll(problem.extents());
        String type = problem.precision() == Precision.BF16 ? "_bf16" : "_f32";
        return kernels.call(kernel + type, blocks, filterBlocks(), arguments.toArray());
    }

    @Override
    public void close() {}
}
