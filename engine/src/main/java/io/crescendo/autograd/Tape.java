package io.crescendo.autograd;

import io.crescendo.tensor.DType;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Records the forward operations of a network on symbolic values.
 *
 * <p>Every method checks shapes at once and names the layer in its {@link IllegalArgumentException}, because
 * {@link #name} was told who is speaking. Nothing is computed.
 */
public final class Tape {
    private final Mode mode;
    private final int microBatch;
    private final int ghostBatch;
    private final List<Value> values = new ArrayList<>();
    private final List<Op> ops = new ArrayList<>();
    private final List<Value> kept = new ArrayList<>();
    private final ParameterPack.Builder parameters = ParameterPack.builder();
    private final ParameterPack.Builder statistics = ParameterPack.builder();
    private @Nullable Value images;
    private @Nullable Value labels;
    private String layer = "network";
    private long dropouts;

    private Tape(Mode mode, int microBatch, int ghostBatch) {
        if (microBatch < 1 || ghostBatch < 1) {
            throw new IllegalArgumentException(
                    "micro-batch and ghost batch must be at least 1, but are " + microBatch + " and " + ghostBatch);
        }
        this.mode = mode;
        this.microBatch = microBatch;
        this.ghostBatch = ghostBatch;
    }

    /** A tape for forward and backward over {@code microBatch} samples with statistics per {@code ghostBatch}. */
    public static Tape training(int microBatch, int ghostBatch) {
        return new Tape(Mode.TRAINING, microBatch, ghostBatch);
    }

    /** A tape for forward only, with running statistics and without dropout. */
    public static Tape inference(int microBatch) {
        return new Tape(Mode.INFERENCE, microBatch, microBatch);
    }

    /** Training or inference. */
    public Mode mode() {
        return mode;
    }

    /** Names the layer whose operations follow; used in value names and errors. */
    public Tape name(String layer) {
        this.layer = layer;
        return this;
    }

    /** The fed images, (N, C, H, W) float32 with N the micro-batch; the same value at every call. */
    public Value images(int channels, int height, int width) {
        Shape shape = Shape.of(microBatch, channels, height, width);
        if (images == null) {
            images = define("images", shape, DType.FLOAT32, Home.IMAGES, 0);
        } else if (!images.shape().equals(shape)) {
            throw fail("images were already read as " + images.shape() + " and cannot be " + shape + " too");
        }
        return images;
    }

    /** The fed labels, (N) int32; the same value at every call. */
    public Value labels() {
        if (labels == null) {
            labels = define("labels", Shape.of(microBatch), DType.INT32, Home.LABELS, 0);
        }
        return labels;
    }

    /**
     * A learned tensor of the current layer, stored in the parameter pack as {@code layer.name}, which must be new
     * there.
     */
    public Value parameter(String name, Shape shape, Role role, Initializer initializer) {
        Parameter parameter = parameters.add(layer + "." + name, shape, role, initializer);
        return define(parameter.name(), shape, DType.FLOAT32, Home.WEIGHTS, parameter.offset());
    }

    /**
     * A running average of the current layer, stored in the statistics pack as {@code layer.name}, which must be new
     * there.
     */
    public Value statistic(String name, Shape shape, Role role, Initializer initializer) {
        Parameter parameter = statistics.add(layer + "." + name, shape, role, initializer);
        return define(parameter.name(), shape, DType.FLOAT32, Home.STATISTICS, parameter.offset());
    }

    /** See {@link Op.Conv2d}. Input (N, C, H, W), weight (K, C / groups, R, S), bias (K) or null. */
    public Value conv2d(Value input, Value weight, @Nullable Value bias, Window window, int groups) {
        requireActivation(input);
        requireRank(input, 4);
        requireHome(weight, Home.WEIGHTS, "weight");
        requireRank(weight, 4);
        long channels = input.shape().dim(1);
        long outputs = weight.shape().dim(0);
        if (groups < 1 || channels % groups != 0 || outputs % groups != 0) {
            throw fail("groups must divide both input channels " + channels + " and output channels " + outputs
                    + ", but is " + groups);
        }
        Shape expected = Shape.of(outputs, channels / groups, window.kernelHeight(), window.kernelWidth());
        if (!weight.shape().equals(expected)) {
            throw fail("the weight is " + weight.shape() + ", but input " + input.shape() + " with window " + window
                    + " and " + groups + " groups needs " + expected);
        }
        requireVector(bias, Home.WEIGHTS, outputs, "bias");
        return emit(
                windowed(input, outputs, window),
                y -> new Op.Conv2d(input, weight, bias, null, y, window, groups, false));
    }

    /** See {@link Op.Dense}. Input (N, F), weight (K, F), bias (K) or null. */
    public Value dense(Value input, Value weight, @Nullable Value bias) {
        requireActivation(input);
        requireRank(input, 2);
        requireHome(weight, Home.WEIGHTS, "weight");
        requireRank(weight, 2);
        if (weight.shape().dim(1) != input.shape().dim(1)) {
            throw fail("the weight is " + weight.shape() + ", but the input has "
                    + input.shape().dim(1) + " features: " + input.shape());
        }
        long outputs = weight.shape().dim(0);
        requireVector(bias, Home.WEIGHTS, outputs, "bias");
        return emit(Shape.of(microBatch, outputs), y -> new Op.Dense(input, weight, bias, y));
    }

    /**
     * Batch normalisation: {@link Op.GhostBatchNorm} on a training tape, {@link Op.BatchNormInference} otherwise. All
     * of scale, shift and the running averages are (C).
     */
    public Value batchNorm(
            Value input,
            Value scale,
            Value shift,
            Value runningMean,
            Value runningVariance,
            double epsilon,
            double momentum) {
        requireActivation(input);
        requireRank(input, 4);
        long channels = input.shape().dim(1);
        requireVector(scale, Home.WEIGHTS, channels, "scale");
        requireVector(shift, Home.WEIGHTS, channels, "shift");
        requireVector(runningMean, Home.STATISTICS, channels, "running mean");
        requireVector(runningVariance, Home.STATISTICS, channels, "running variance");
        if (!(epsilon > 0) || !(momentum >= 0 && momentum <= 1)) {
            throw fail("epsilon must be positive and momentum between 0 and 1, but they are " + epsilon + " and "
                    + momentum);
        }
        if (mode == Mode.INFERENCE) {
            return emit(
                    input.shape(),
                    y -> new Op.BatchNormInference(
                            input, scale, shift, runningMean, runningVariance, null, y, epsilon, false));
        }
        Shape perGroup = Shape.of((microBatch + ghostBatch - 1L) / ghostBatch, channels);
        Value mean = define(layer + ".mean", perGroup, DType.FLOAT32, Home.ARENA, 0);
        Value variance = define(layer + ".variance", perGroup, DType.FLOAT32, Home.ARENA, 0);
        return emit(
                input.shape(),
                y -> new Op.GhostBatchNorm(
                        input,
                        scale,
                        shift,
                        runningMean,
                        runningVariance,
                        null,
                        y,
                        mean,
                        variance,
                        null,
                        ghostBatch,
                        epsilon,
                        momentum));
    }

    /** See {@link Op.Relu}. */
    public Value relu(Value input) {
        requireActivation(input);
        return emit(input.shape(), y -> new Op.Relu(input, y));
    }

    /** See {@link Op.Add}. */
    public Value add(Value left, Value right) {
        requireActivation(left);
        requireActivation(right);
        if (!left.shape().equals(right.shape())) {
            throw fail("cannot add " + left.shape() + " and " + right.shape());
        }
        return emit(left.shape(), y -> new Op.Add(left, right, y, false));
    }

    /** See {@link Op.Scale}. */
    public Value scale(Value input, double factor) {
        requireActivation(input);
        return emit(input.shape(), y -> new Op.Scale(input, y, factor));
    }

    /** See {@link Op.Concat}: (N, C1, H, W), (N, C2, H, W), … become (N, C1 + C2 + …, H, W). */
    public Value concat(List<Value> inputs) {
        if (inputs.isEmpty()) {
            throw fail("concat needs at least one input");
        }
        Shape first = inputs.get(0).shape();
        long channels = 0;
        for (Value input : inputs) {
            requireActivation(input);
            requireRank(input, 4);
            if (input.shape().dim(2) != first.dim(2) || input.shape().dim(3) != first.dim(3)) {
                throw fail("cannot concatenate " + first + " and " + input.shape() + ": rows or columns differ");
            }
            channels += input.shape().dim(1);
        }
        return emit(Shape.of(microBatch, channels, first.dim(2), first.dim(3)), y -> new Op.Concat(inputs, y));
    }

    /** See {@link Op.MaxPool}. */
    public Value maxPool(Value input, Window window) {
        requireActivation(input);
        requireRank(input, 4);
        Shape shape = windowed(input, input.shape().dim(1), window);
        Value indices = mode == Mode.TRAINING ? define(layer + ".indices", shape, DType.INT32, Home.ARENA, 0) : null;
        return emit(shape, y -> new Op.MaxPool(input, y, indices, window));
    }

    /** See {@link Op.AveragePool}. */
    public Value averagePool(Value input, Window window) {
        requireActivation(input);
        requireRank(input, 4);
        return emit(windowed(input, input.shape().dim(1), window), y -> new Op.AveragePool(input, y, window));
    }

    /** The mean over all rows and columns: (N, C, H, W) becomes (N, C, 1, 1). */
    public Value globalAveragePool(Value input) {
        requireRank(input, 4);
        return averagePool(
                input, new Window(input.shape().intDim(2), input.shape().intDim(3), 1, 1, 0, 0, 0, 0));
    }

    /** (N, C, H, W) becomes (N, C·H·W); a value that is flat already is returned as it is. */
    public Value flatten(Value input) {
        requireActivation(input);
        if (input.shape().rank() == 2) {
            return input;
        }
        return emit(Shape.of(microBatch, input.shape().elementsPerSample()), y -> new Op.Reshape(input, y));
    }

    /** See {@link Op.Dropout}; the identity on an inference tape. */
    public Value dropout(Value input, double rate) {
        requireActivation(input);
        if (!(rate >= 0 && rate < 1)) {
            throw fail("the dropout rate must be in [0, 1), but is " + rate);
        }
        long key = dropouts++;
        return mode == Mode.INFERENCE || rate == 0
                ? input
                : emit(input.shape(), y -> new Op.Dropout(input, y, rate, key));
    }

    /** See {@link Op.SoftmaxCrossEntropy}. Ends the network: its gradient starts here. */
    public void softmaxCrossEntropy(Value logits, Value labels, double labelSmoothing) {
        requireActivation(logits);
        requireRank(logits, 2);
        requireHome(labels, Home.LABELS, "labels");
        if (!(labelSmoothing >= 0 && labelSmoothing < 1)) {
            throw fail("label smoothing must be in [0, 1), but is " + labelSmoothing);
        }
        Value gradient = mode == Mode.TRAINING
                ? define(logits.name() + ".gradient", logits.shape(), DType.FLOAT32, Home.ARENA, 0)
                : null;
        ops.add(new Op.SoftmaxCrossEntropy(logits, labels, gradient, labelSmoothing));
    }

    /** Keeps an arena value readable after a run. */
    public Value keep(Value value) {
        if (value.home() == Home.ARENA && !kept.contains(value)) {
            kept.add(value);
        }
        return value;
    }

    /** Fuses, appends gradients (on a training tape), drops dead operations. The tape can go on afterwards. */
    public Program program(Set<Fusion> fusions) {
        List<Value> allValues = new ArrayList<>(values);
        List<Op> allOps = new FusionPass(allValues, kept, fusions, ops).run();
        if (mode == Mode.TRAINING) {
            allOps = new Gradients(allValues, fusions).append(allOps);
        }
        return new Program(
                mode,
                microBatch,
                ghostBatch,
                DeadOps.remove(allOps, kept),
                allValues,
                kept,
                parameters.build(),
                statistics.build());
    }

    private Value define(String name, Shape shape, DType dtype, Home home, long offset) {
        Value value = new Value(values.size(), name, shape, dtype, home, offset);
        values.add(value);
        return value;
    }

    private Value emit(Shape shape, java.util.function.Function<Value, Op> op) {
        Value output = define(layer, shape, DType.FLOAT32, Home.ARENA, 0);
        ops.add(op.apply(output));
        return output;
    }

    private Shape windowed(Value input, long outputChannels, Window window) {
        long height = input.shape().dim(2);
        long width = input.shape().dim(3);
        if (!window.fits(height, width)) {
            throw fail("a window of " + window + " does not fit into input " + input.shape());
        }
        return Shape.of(microBatch, outputChannels, window.outputHeight(height), window.outputWidth(width));
    }

    private void requireRank(Value value, int rank) {
        if (value.shape().rank() != rank) {
            throw fail("expected " + (rank == 4 ? "(N, C, H, W)" : "(N, F)") + " but '" + value.name() + "' is "
                    + value.shape() + (rank == 2 ? "; flatten it first" : ""));
        }
    }

    private void requireVector(@Nullable Value value, Home home, long length, String what) {
        if (value == null) {
            return;
        }
        requireHome(value, home, what);
        if (!value.shape().equals(Shape.of(length))) {
            throw fail("the " + what + " must be (" + length + "), but is " + value.shape());
        }
    }

    /** Gradients reach parameters only through the operations that name them, and would be lost elsewhere. */
    private void requireActivation(Value value) {
        if (value.home() != Home.ARENA && value.home() != Home.IMAGES) {
            throw fail("expected images or the result of another operation, but '" + value.name() + "' " + value.shape()
                    + " lives in " + value.home());
        }
    }

    private void requireHome(Value value, Home home, String what) {
        if (value.home() != home) {
            throw fail("the " + what + " must live in " + home + ", but '" + value.name() + "' " + value.shape()
                    + " lives in " + value.home());
        }
    }

    private IllegalArgumentException fail(String message) {
        return new IllegalArgumentException("layer '" + layer + "': " + message);
    }
}
