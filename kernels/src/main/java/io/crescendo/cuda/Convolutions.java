package io.crescendo.cuda;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.cuda.ConvolutionMethod.Operands;
import io.crescendo.cuda.ConvolutionProblem.Direction;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;

/**
 * Convolution and its two gradients, each by the method that {@link AlgorithmChoice} names.
 *
 * <p>cuDNN pads both sides of an image alike. Where the window's padding differs between the sides, and this shows in
 * the result, x is copied into scratch memory with its margins and convolved without padding; its gradient is computed
 * with margins there, and cropped.
 *
 * <p>A tensor of cuDNN has at most 2³¹ − 1 elements (cudnnSetTensor4dDescriptor: "limited to 2 Giga-elements"). A
 * larger activation is computed in pieces of some samples each, one after another; the answer is the same.
 */
final class Convolutions {
    private static final long MOST_ELEMENTS = Integer.MAX_VALUE;
    /** That many samples are a multiple of 16 bytes, as tensor cores want it, whatever one sample has. */
    private static final int ALIGNED_SAMPLES = 8;

    private final CudaLowering lowering;
    private final List<Narrow> narrow = new ArrayList<>();

    Convolutions(CudaLowering lowering) {
        this.lowering = lowering;
    }

    OpPlan forward(Op.Conv2d op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.output());
        Value bias = op.bias();
        Value addend = op.addend();
        Layer layer = new Layer(op.input(), op.output(), op.window(), op.groups());
        Work work =
                new Work(plan, layer, Direction.FORWARD, p -> p.withEpilogue(bias != null, addend != null, op.relu()));
        if (addend != null) {
            plan.allowOverwriting(addend);
        }
        for (Piece piece : layer.pieces) {
            plan.launch(at -> {
                long x = layer.address(at, op.input(), piece);
                Operands operands = new Operands(
                        layer.padded ? work.padded(at) : x,
                        lowering.factor(at, op.weight()),
                        layer.address(at, op.output(), piece),
                        bias == null ? 0 : at.weights(bias),
                        addend == null ? 0 : layer.address(at, addend, piece),
                        work.workspace(at));
                Launch convolve = work.method(piece).bind(lowering.target().kernels(), operands);
                return layer.padded ? inOrder(pad(layer, piece, x, work.padded(at)), convolve) : convolve;
            });
        }
        return plan;
    }

    OpPlan inputGradient(Op.Conv2dInputGradient op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.inputGradient());
        Layer layer = new Layer(op.inputGradient(), op.outputGradient(), op.window(), op.groups());
        Value addend = op.addend();
        Work work = new Work(plan, layer, Direction.INPUT_GRADIENT, p -> p.withEpilogue(false, addend != null, false));
        if (addend != null) {
            plan.allowOverwriting(addend);
        }
        for (Piece piece : layer.pieces) {
            plan.launch(at -> {
                long dx = layer.address(at, op.inputGradient(), piece);
                long others = addend == null ? 0 : layer.address(at, addend, piece);
                long padded = work.padded(at);
                Operands operands = new Operands(
                        layer.address(at, op.outputGradient(), piece),
                        lowering.factor(at, op.weight()),
                        layer.padded ? padded : dx,
                        0,
                        layer.padded && addend != null ? padded : others,
                        work.workspace(at));
                Launch convolve = work.method(piece).bind(lowering.target().kernels(), operands);
                if (!layer.padded) {
                    return convolve;
                }
                Launch cropped = inOrder(convolve, crop(layer, piece, padded, dx));
                return addend == null ? cropped : inOrder(pad(layer, piece, others, padded), cropped);
            });
        }
        return plan;
    }

    OpPlan weightGradient(Op.Conv2dWeightGradient op) {
        OpPlan plan = lowering.plan();
        Layer layer = new Layer(op.input(), op.outputGradient(), op.window(), op.groups());
        Work work = new Work(plan, layer, Direction.WEIGHT_GRADIENT, UnaryOperator.identity());
        for (Piece piece : layer.pieces) {
            long bytes =
                    lowering.bf16() ? Short.BYTES * op.weightGradient().shape().elements() : 0;
            Narrow held = new Narrow(work, piece, op.weightGradient(), plan.hold(bytes));
            if (bytes > 0) {
                narrow.add(held);
            }
            plan.launch(at -> {
                long x = layer.address(at, op.input(), piece);
                ConvolutionMethod method = work.method(piece);
                Operands operands = new Operands(
                        layer.padded ? work.padded(at) : x,
                        layer.address(at, op.outputGradient(), piece),
                        method.narrow() ? held.address(at) : at.gradients(op.weightGradient()),
                        0,
                        0,
                        work.workspace(at));
                Launch convolve = method.bind(lowering.target().kernels(), operands);
                return layer.padded ? inOrder(pad(layer, piece, x, work.padded(at)), convolve) : convolve;
            });
        }
        Value biasGradient = op.biasGradient();
        if (biasGradient != null) {
            Biases.appendGradient(lowering, plan, op.outputGradient(), biasGradient);
        }
        return plan;
    }

    /** Adds the narrow weight gradients, behind the last that may be one. Once, when every operation has its plan. */
    void finish() {
        if (!narrow.isEmpty()) {
            OpPlan last = narrow.get(narrow.size() - 1).work.plan;
            last.launch(at -> NarrowGradients.launch(
                    lowering.target().kernels(),
                    lowering.grids(),
                    narrow.stream()
                            .filter(held -> held.work.method(held.piece).narrow())
                            .map(held -> held.summand(at))
                            .toList()));
        }
    }

    /**
     * Room for the weight gradient of a piece, whose method may leave it in bf16.
     *
     * @param offset in what the operation holds
     */
    private record Narrow(Work work, Piece piece, Value gradient, long offset) {
        long address(Addresses at) {
            return at.held(work.plan, offset);
        }

        NarrowGradients.Summand summand(Addresses at) {
            return new NarrowGradients.Summand(
                    at.gradients(gradient), address(at), gradient.shape().elements());
        }
    }

    private static Launch inOrder(Launch first, Launch second) {
        return lane -> {
            first.enqueue(lane);
            second.enqueue(lane);
        };
    }

    private Launch pad(Layer layer, Piece piece, long from, long to) {
        return move(layer.x, layer.height, layer.width, piece, layer.window.padTop(), layer.window.padLeft(), from, to);
    }

    private Launch crop(Layer layer, Piece piece, long from, long to) {
        Nhwc margins = new Nhwc(layer.x.samples(), layer.x.channels(), layer.height, layer.width);
        return move(
                margins,
                layer.x.height(),
                layer.x.width(),
                piece,
                -layer.window.padTop(),
                -layer.window.padLeft(),
                from,
                to);
    }

    private Launch move(Nhwc source, int height, int width, Piece piece, int top, int left, long from, long to) {
        long packs = (long) piece.samples * height * width * lowering.grids().packsOf(source.channels());
        return lowering.call(
                "pad",
                lowering.grids().threads(packs),
                to,
                from,
                piece.samples,
                source.channels(),
                source.height(),
                source.width(),
                height,
                width,
                top,
                left);
    }

    /** Consecutive samples that are computed at once. */
    record Piece(int first, int samples) {}

    /**
     * Cuts samples into pieces of at most so many, about equally large; the first is the largest.
     *
     * @param most at least 8 where there are more samples than that, so that every piece can start at a multiple of 8
     */
    static List<Piece> pieces(int samples, long most) {
        if (samples <= most) {
            return List.of(new Piece(0, samples));
        }
        long count = (samples + most - 1) / most;
        long even = (samples + count - 1) / count;
        int size = (int) (Math.min(most, even + ALIGNED_SAMPLES - 1) / ALIGNED_SAMPLES * ALIGNED_SAMPLES);
        List<Piece> pieces = new ArrayList<>();
        for (int first = 0; first < samples; first += size) {
            pieces.add(new Piece(first, Math.min(size, samples - first)));
        }
        return List.copyOf(pieces);
    }

    /** The layer as cuDNN sees it: x with margins where it needs them, in pieces. */
    private final class Layer {
        final Nhwc x;
        final Nhwc y;
        final Window window;
        final int groups;
        /** Whether x is copied into a larger image. */
        final boolean padded;
        /** Rows and columns of x, with margins if it is copied. */
        final int height;

        final int width;
        final List<Piece> pieces;

        Layer(Value input, Value output, Window window, int groups) {
            x = Nhwc.of(input);
            y = Nhwc.of(output);
            this.window = window;
            this.groups = groups;
            Window w = window;
            padded = !symmetric(x.height(), y.height(), w.kernelHeight(), w.strideHeight(), w.padTop())
                    || !symmetric(x.width(), y.width(), w.kernelWidth(), w.strideWidth(), w.padLeft());
            height = x.height() + (padded ? w.padTop() + w.padBottom() : 0);
            width = x.width() + (padded ? w.padLeft() + w.padRight() : 0);
            long largest = Math.max((long) height * width * x.channels(), (long) y.plane() * y.channels());
            long most = MOST_ELEMENTS / largest;
            if (most < Math.min(x.samples(), ALIGNED_SAMPLES)) {
                throw new IllegalArgumentException("the convolution from " + input + " to " + output + " has " + largest
                        + " elements per sample; cuDNN's tensors hold at most " + MOST_ELEMENTS + ", and "
                        + ALIGNED_SAMPLES + " samples at once must fit, or all of fewer");
            }
            pieces = pieces(x.samples(), most);
        }

        /** Whether padding both sides as the first one gives the same windows. */
        private static boolean symmetric(int extent, int outExtent, int kernel, int stride, int pad) {
            int reach = extent + 2 * pad - kernel;
            return reach >= 0 && reach / stride + 1 == outExtent;
        }

        ConvolutionProblem problem(Direction direction, Piece piece) {
            return new ConvolutionProblem(
                    direction,
                    lowering.target().precision(),
                    piece.samples,
                    x.channels(),
                    height,
                    width,
                    y.channels(),
                    y.height(),
                    y.width(),
                    window.kernelHeight(),
                    window.kernelWidth(),
                    window.strideHeight(),
                    window.strideWidth(),
                    padded ? 0 : window.padTop(),
                    padded ? 0 : window.padLeft(),
                    groups,
                    false,
                    false,
                    false);
        }

        /** Where a piece of an activation starts. */
        long address(Addresses at, Value value, Piece piece) {
            return at.value(value) + piece.first * value.shape().elementsPerSample() * lowering.elementBytes();
        }
    }

    /** Methods and scratch memory of one operation. */
    private final class Work {
        final OpPlan plan;
        final Map<Integer, Target.Method> choices = new HashMap<>(); // by samples of the piece
        final long paddedOffset;

        Work(OpPlan plan, Layer layer, Direction direction, UnaryOperator<ConvolutionProblem> finish) {
            this.plan = plan;
            for (Piece piece : layer.pieces) {
                if (!choices.containsKey(piece.samples)) {
                    ConvolutionProblem problem = finish.apply(layer.problem(direction, piece));
                    Target.Method choice = lowering.target().method(problem);
                    plan.onClose(choice::close);
                    plan.onPrepare(choice::decide);
                    choices.put(piece.samples, choice);
                }
            }
            plan.workspace(() -> choices.values().stream()
                    .mapToLong(Target.Method::workspaceBytes)
                    .max()
                    .orElse(0));
            long samples = layer.pieces.get(0).samples; // the first is the largest
            paddedOffset = plan.scratch(
                    layer.padded
                            ? samples * layer.height * layer.width * layer.x.channels() * lowering.elementBytes()
                            : 0);
        }

        ConvolutionMethod method(Piece piece) {
            Target.Method choice = choices.get(piece.samples);
            if (choice == null) {
                throw new IllegalStateException("nothing was considered for " + piece + " of " + plan);
            }
            return choice.decide();
        }

        long workspace(Addresses at) {
            return at.scratch(plan, plan.workspaceOffset());
        }

        long padded(Addresses at) {
            return at.scratch(plan, paddedOffset);
        }
    }
}
