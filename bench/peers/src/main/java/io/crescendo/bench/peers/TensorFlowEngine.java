package io.crescendo.bench.peers;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.bench.FixedBatch;
import io.crescendo.bench.TrainingStep;
import io.crescendo.nn.Network;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.tensorflow.Graph;
import org.tensorflow.Operand;
import org.tensorflow.Session;
import org.tensorflow.Tensor;
import org.tensorflow.TensorFlow;
import org.tensorflow.ndarray.Shape;
import org.tensorflow.ndarray.buffer.DataBuffers;
import org.tensorflow.op.Ops;
import org.tensorflow.op.core.Gradients;
import org.tensorflow.op.core.Placeholder;
import org.tensorflow.op.nn.Conv2d;
import org.tensorflow.op.nn.FusedBatchNorm;
import org.tensorflow.proto.ConfigProto;
import org.tensorflow.types.TFloat32;
import org.tensorflow.types.family.TType;

/**
 * TensorFlow through TensorFlow-Java: a graph in its preferred NHWC layout, run by one session call per step.
 *
 * <p>Weights are brought from (K, C, R, S) to TensorFlow's (R, S, C, K), and the rows of a dense layer behind a flatten
 * from (C, H, W) to (H, W, C) order, so that the numbers stay the same.
 */
final class TensorFlowEngine implements Engine, GrowingEngine {
    private final Graph graph = new Graph();
    private final Ops tf = Ops.create(graph);
    private final Task task;
    private final Map<Value, Operand<TType>> handles = new LinkedHashMap<>();
    private final Map<Value, Operand<TFloat32>> reads = new LinkedHashMap<>();
    private final Map<Value, Operand<TFloat32>> activations = new HashMap<>();
    private final Map<Value, io.crescendo.tensor.Shape> flattened = new HashMap<>();
    private final List<org.tensorflow.op.Op> initializers = new ArrayList<>();
    private final List<org.tensorflow.op.Op> updates = new ArrayList<>();
    private final Placeholder<TFloat32> images;
    private final Placeholder<TFloat32> targets;
    private final Operand<TFloat32> loss;
    private final Session session;
    private final Map<Integer, Loaded> batches = new HashMap<>();
    private final boolean anyBatch;

    private record Loaded(TFloat32 images, TFloat32 targets) {}

    /** A graph for the task's batch. */
    TensorFlowEngine(Task task, int threads) {
        this(task, threads, false);
    }

    /**
     * Builds the graph.
     *
     * @param anyBatch whether the graph leaves the number of samples open, as a training whose batch grows needs it
     */
    TensorFlowEngine(Task task, int threads, boolean anyBatch) {
        this.task = task;
        this.anyBatch = anyBatch;
        Network network = task.network();
        long samples = anyBatch ? Shape.UNKNOWN_SIZE : task.batch().samples();
        images = tf.placeholder(
                TFloat32.class,
                Placeholder.shape(Shape.of(samples, network.height(), network.width(), network.channels())));
        targets = tf.placeholder(TFloat32.class, Placeholder.shape(Shape.of(samples, network.classes())));
        Operand<TFloat32> mean = null;
        for (Op op : task.forward()) {
            if (op instanceof Op.SoftmaxCrossEntropy last) {
                mean = tf.math.mean(
                        tf.nn.softmaxCrossEntropyWithLogits(get(last.logits()), targets)
                                .loss(),
                        tf.constant(0));
            } else {
                activations.put(op.outputs().get(0), apply(op));
            }
        }
        loss = Objects.requireNonNull(mean);
        update();
        session = new Session(
                graph,
                ConfigProto.newBuilder()
                        .setIntraOpParallelismThreads(threads)
                        .setInterOpParallelismThreads(Integer.getInteger("peers.tensorflow.interOpThreads", threads))
                        .build());
        Session.Runner initialise = session.runner();
        initializers.forEach(initialise::addTarget);
        initialise.run().close();
        load(task.batch());
    }

    @Override
    public void load(FixedBatch batch) {
        Network network = task.network();
        TFloat32 pixels = TFloat32.tensorOf(
                Shape.of(batch.samples(), network.height(), network.width(), network.channels()),
                DataBuffers.of(channelsLast(batch, network)));
        float[] oneHot = new float[batch.samples() * network.classes()];
        for (int i = 0; i < batch.samples(); i++) {
            oneHot[i * network.classes() + batch.labels().get(i)] = 1;
        }
        batches.put(
                batch.samples(),
                new Loaded(
                        pixels,
                        TFloat32.tensorOf(Shape.of(batch.samples(), network.classes()), DataBuffers.of(oneHot))));
    }

    @Override
    public double step() {
        return step(task.batch().samples(), task.batch().samples());
    }

    @Override
    public double step(int batch, int next) {
        Loaded loaded = Objects.requireNonNull(batches.get(batch), () -> "batch " + batch + " was not loaded");
        Session.Runner runner = session.runner()
                .feed(images, loaded.images)
                .feed(targets, loaded.targets)
                .fetch(loss);
        updates.forEach(runner::addTarget);
        try (org.tensorflow.Result result = runner.run();
                Tensor value = result.get(0)) {
            return ((TFloat32) value).getFloat();
        }
    }

    private Operand<TFloat32> apply(Op op) {
        Operand<TFloat32> x = get(op.inputs().get(0));
        if (op instanceof Op.Conv2d conv) {
            Window window = conv.window();
            Operand<TFloat32> filter =
                    variable(conv.weight(), filterLastShape(conv.weight()), filterLast(conv.weight()));
            List<Long> strides = List.of(1L, (long) window.strideHeight(), (long) window.strideWidth(), 1L);
            // TensorFlow's SAME puts a stride's odd padding at the far end only, so other windows are padded first.
            boolean same = window.strideHeight() == 1
                    && window.strideWidth() == 1
                    && window.padTop() == window.padBottom()
                    && window.padLeft() == window.padRight()
                    && 2 * window.padTop() == window.kernelHeight() - 1
                    && 2 * window.padLeft() == window.kernelWidth() - 1;
            Operand<TFloat32> padded = same ? x : padded(x, window);
            Conv2d<TFloat32> y = tf.nn.conv2d(padded, filter, strides, same ? "SAME" : "VALID");
            return conv.bias() == null ? y : tf.nn.biasAdd(y, vector(conv.bias()));
        } else if (op instanceof Op.GhostBatchNorm norm) {
            FusedBatchNorm<TFloat32, TFloat32> y = tf.nn.fusedBatchNorm(
                    x,
                    vector(norm.scale()),
                    vector(norm.shift()),
                    vector(norm.runningMean()),
                    vector(norm.runningVariance()),
                    FusedBatchNorm.epsilon((float) norm.epsilon()),
                    FusedBatchNorm.exponentialAvgFactor((float) norm.momentum()),
                    FusedBatchNorm.isTraining(true));
            updates.add(tf.assignVariableOp(handle(norm.runningMean()), y.batchMean()));
            updates.add(tf.assignVariableOp(handle(norm.runningVariance()), y.batchVariance()));
            return y.y();
        } else if (op instanceof Op.Relu) {
            return tf.nn.relu(x);
        } else if (op instanceof Op.Add add) {
            return tf.math.add(x, get(add.right()));
        } else if (op instanceof Op.MaxPool pool) {
            Window window = pool.window();
            return tf.nn.maxPool(
                    padded(x, window),
                    tf.constant(new int[] {1, window.kernelHeight(), window.kernelWidth(), 1}),
                    tf.constant(new int[] {1, window.strideHeight(), window.strideWidth(), 1}),
                    "VALID");
        } else if (op instanceof Op.AveragePool pool
                && covers(pool.window(), pool.input().shape())) {
            return tf.math.mean(x, tf.constant(new int[] {1, 2}), org.tensorflow.op.math.Mean.keepDims(true));
        } else if (op instanceof Op.Reshape reshape) {
            flattened.put(reshape.output(), reshape.input().shape());
            return tf.reshape(x, tf.constant(new long[] {
                anyBatch ? -1 : reshape.output().shape().dim(0),
                reshape.output().shape().dim(1)
            }));
        } else if (op instanceof Op.Dense dense) {
            float[] weight = inputsFirst(dense.weight(), flattened.get(dense.input()));
            Shape shape = Shape.of(
                    dense.weight().shape().dim(1), dense.weight().shape().dim(0));
            Operand<TFloat32> y = tf.linalg.matMul(x, variable(dense.weight(), shape, weight));
            return dense.bias() == null ? y : tf.nn.biasAdd(y, vector(dense.bias()));
        }
        throw new IllegalArgumentException("no translation of " + op.name() + " to TensorFlow yet");
    }

    private static boolean covers(Window window, io.crescendo.tensor.Shape shape) {
        return window.kernelHeight() == shape.dim(2) && window.kernelWidth() == shape.dim(3);
    }

    private Operand<TFloat32> padded(Operand<TFloat32> x, Window window) {
        if (window.padTop() + window.padBottom() + window.padLeft() + window.padRight() == 0) {
            return x;
        }
        int[][] padding = {{0, 0}, {window.padTop(), window.padBottom()}, {window.padLeft(), window.padRight()}, {0, 0}
        };
        return tf.pad(x, tf.constant(padding), tf.constant(0f));
    }

    private void update() {
        List<Value> learned = reads.keySet().stream()
                .filter(value -> value.home() == Home.WEIGHTS)
                .toList();
        Gradients gradients =
                tf.gradients(loss, learned.stream().map(value -> read(value)).toList());
        Operand<TFloat32> learningRate = tf.constant((float) TrainingStep.LEARNING_RATE);
        Operand<TFloat32> momentum = tf.constant((float) TrainingStep.MOMENTUM);
        Operand<TFloat32> decay = tf.constant((float) TrainingStep.WEIGHT_DECAY);
        for (int i = 0; i < learned.size(); i++) {
            Value value = learned.get(i);
            Operand<TFloat32> gradient = gradients.dy(i);
            if (task.decays(value)) {
                gradient = tf.math.add(gradient, tf.math.mul(decay, read(value)));
            }
            Operand<TType> velocity = newVariable(
                    read(value).asOutput().shape(),
                    new float[Math.toIntExact(value.shape().elements())]);
            updates.add(tf.train.resourceApplyMomentum(handle(value), velocity, learningRate, gradient, momentum));
        }
    }

    private Operand<TFloat32> get(Value value) {
        return value.home() == Home.IMAGES ? images : Objects.requireNonNull(activations.get(value), value::toString);
    }

    private Operand<TType> handle(Value value) {
        return Objects.requireNonNull(handles.get(value), value::toString);
    }

    private Operand<TFloat32> read(Value value) {
        return Objects.requireNonNull(reads.get(value), value::toString);
    }

    private Operand<TFloat32> vector(Value value) {
        return variable(value, Shape.of(value.shape().elements()), task.initial(value));
    }

    private Operand<TFloat32> variable(Value value, Shape shape, float[] initial) {
        Operand<TFloat32> known = reads.get(value);
        if (known != null) {
            return known;
        }
        Operand<TType> handle = newVariable(shape, initial);
        handles.put(value, handle);
        Operand<TFloat32> read = tf.readVariableOp(handle, TFloat32.class);
        reads.put(value, read);
        return read;
    }

    private Operand<TType> newVariable(Shape shape, float[] initial) {
        Operand<TType> handle = tf.varHandleOp(
                TFloat32.class, shape, org.tensorflow.op.core.VarHandleOp.sharedName("variable" + initializers.size()));
        initializers.add(tf.assignVariableOp(handle, tf.constant(shape, DataBuffers.of(initial))));
        return handle;
    }

    private static Shape filterLastShape(Value weight) {
        return Shape.of(
                weight.shape().dim(2),
                weight.shape().dim(3),
                weight.shape().dim(1),
                weight.shape().dim(0));
    }

    /** (K, C, R, S) to (R, S, C, K). */
    private float[] filterLast(Value weight) {
        int outputs = Math.toIntExact(weight.shape().dim(0));
        int inputs = Math.toIntExact(weight.shape().dim(1));
        int taps = Math.toIntExact(weight.shape().dim(2) * weight.shape().dim(3));
        float[] from = task.initial(weight);
        float[] to = new float[from.length];
        for (int k = 0; k < outputs; k++) {
            for (int c = 0; c < inputs; c++) {
                for (int t = 0; t < taps; t++) {
                    to[(t * inputs + c) * outputs + k] = from[(k * inputs + c) * taps + t];
                }
            }
        }
        return to;
    }

    /** (K, C·H·W) to (H·W·C, K); without a flattened shape in front, (K, F) to (F, K). */
    private float[] inputsFirst(Value weight, io.crescendo.tensor.@Nullable Shape flattenedFrom) {
        int outputs = Math.toIntExact(weight.shape().dim(0));
        int features = Math.toIntExact(weight.shape().dim(1));
        int channels = flattenedFrom == null ? features : Math.toIntExact(flattenedFrom.dim(1));
        int pixels = features / channels;
        float[] from = task.initial(weight);
        float[] to = new float[from.length];
        for (int k = 0; k < outputs; k++) {
            for (int c = 0; c < channels; c++) {
                for (int p = 0; p < pixels; p++) {
                    to[(p * channels + c) * outputs + k] = from[k * features + c * pixels + p];
                }
            }
        }
        return to;
    }

    /** (N, C, H, W) to (N, H, W, C). */
    private static float[] channelsLast(FixedBatch batch, Network network) {
        int pixels = network.height() * network.width();
        int channels = network.channels();
        float[] to = new float[batch.images().capacity()];
        for (int n = 0; n < batch.samples(); n++) {
            for (int c = 0; c < channels; c++) {
                for (int p = 0; p < pixels; p++) {
                    to[(n * pixels + p) * channels + c] = batch.images().get((n * channels + c) * pixels + p);
                }
            }
        }
        return to;
    }

    @Override
    public String description() {
        return "TensorFlow " + TensorFlow.version() + " through TensorFlow-Java";
    }

    @Override
    public void close() {
        session.close();
        graph.close();
        batches.values().forEach(loaded -> {
            loaded.images.close();
            loaded.targets.close();
        });
    }
}
