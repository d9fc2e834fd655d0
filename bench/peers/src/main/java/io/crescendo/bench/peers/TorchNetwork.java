package io.crescendo.bench.peers;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.Activation;
import ai.djl.nn.convolutional.Conv2d;
import ai.djl.nn.core.Linear;
import ai.djl.nn.norm.BatchNorm;
import ai.djl.nn.pooling.Pool;
import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** A task's network in PyTorch, through the functions DJL's own blocks call; autograd finds the gradients. */
public final class TorchNetwork {
    private final List<Op> forward;
    private final Map<Value, NDArray> weights = new LinkedHashMap<>();
    private final Map<Value, NDArray> statistics = new HashMap<>();

    /** Copies the task's first weights and statistics into arrays of this manager. */
    public TorchNetwork(Task task, NDManager manager) {
        forward = task.forward();
        for (Op op : forward) {
            for (Value input : op.inputs()) {
                if (input.home() == Home.WEIGHTS && !weights.containsKey(input)) {
                    NDArray weight = manager.create(task.initial(input), shape(input));
                    weight.setRequiresGradient(true);
                    weights.put(input, weight);
                } else if (input.home() == Home.STATISTICS && !statistics.containsKey(input)) {
                    statistics.put(input, manager.create(task.initial(input), shape(input)));
                }
            }
        }
    }

    /** The learned arrays in the program's order. */
    public Map<Value, NDArray> weights() {
        return weights;
    }

    /**
     * Records the forward pass.
     *
     * @param images (N, C, H, W) float32; results are attached to its manager
     * @param labels (N) int64
     * @return the mean loss, a scalar
     */
    public NDArray loss(NDArray images, NDArray labels) {
        Map<Value, NDArray> activations = new HashMap<>();
        for (Op op : forward) {
            if (op instanceof Op.SoftmaxCrossEntropy last) {
                NDArray logProbability = get(last.logits(), activations, images).logSoftmax(1);
                return logProbability
                        .get(new NDIndex().addAllDim(1).addPickDim(labels))
                        .neg()
                        .mean();
            }
            NDArray input = get(op.inputs().get(0), activations, images);
            activations.put(op.outputs().get(0), apply(op, input, activations, images));
        }
        throw new IllegalStateException("the program has no loss");
    }

    private NDArray apply(Op op, NDArray x, Map<Value, NDArray> activations, NDArray images) {
        if (op instanceof Op.Conv2d conv) {
            Window window = symmetric(conv.window());
            Shape stride = new Shape(window.strideHeight(), window.strideWidth());
            Shape padding = new Shape(window.padTop(), window.padLeft());
            return one(Conv2d.conv2d(
                    x, weight(conv.weight()), bias(conv.bias()), stride, padding, new Shape(1, 1), conv.groups()));
        } else if (op instanceof Op.GhostBatchNorm norm) {
            return one(BatchNorm.batchNorm(
                    x,
                    statistic(norm.runningMean()),
                    statistic(norm.runningVariance()),
                    weight(norm.scale()),
                    weight(norm.shift()),
                    -1, // the axis PyTorch normalises anyway, without DJL's swap of axes
                    (float) (1 - norm.momentum()),
                    (float) norm.epsilon(),
                    true));
        } else if (op instanceof Op.Relu) {
            return Activation.relu(x);
        } else if (op instanceof Op.Add add) {
            return x.add(get(add.right(), activations, images));
        } else if (op instanceof Op.MaxPool pool) {
            Window window = symmetric(pool.window());
            return Pool.maxPool2d(
                    x,
                    new Shape(window.kernelHeight(), window.kernelWidth()),
                    new Shape(window.strideHeight(), window.strideWidth()),
                    new Shape(window.padTop(), window.padLeft()),
                    false);
        } else if (op instanceof Op.AveragePool pool) {
            Window window = symmetric(pool.window());
            return Pool.avgPool2d(
                    x,
                    new Shape(window.kernelHeight(), window.kernelWidth()),
                    new Shape(window.strideHeight(), window.strideWidth()),
                    new Shape(window.padTop(), window.padLeft()),
                    false,
                    false);
        } else if (op instanceof Op.Reshape reshape) {
            Shape output = shape(reshape.output());
            // As many samples as there are: the program was recorded for one batch, but runs with any.
            return x.reshape(new Shape(x.getShape().get(0)).addAll(output.slice(1, output.dimension())));
        } else if (op instanceof Op.Dense dense) {
            return one(Linear.linear(x, weight(dense.weight()), bias(dense.bias())));
        }
        throw new IllegalArgumentException("no translation of " + op.name() + " to PyTorch yet");
    }

    private static Window symmetric(Window window) {
        if (window.padTop() != window.padBottom() || window.padLeft() != window.padRight()) {
            throw new IllegalArgumentException("PyTorch pads both sides alike, but the window is " + window);
        }
        return window;
    }

    private NDArray get(Value value, Map<Value, NDArray> activations, NDArray images) {
        return value.home() == Home.IMAGES ? images : Objects.requireNonNull(activations.get(value), value::toString);
    }

    private NDArray weight(Value value) {
        return Objects.requireNonNull(weights.get(value), value::toString);
    }

    private @Nullable NDArray bias(@Nullable Value value) {
        return value == null ? null : weight(value);
    }

    private NDArray statistic(Value value) {
        return Objects.requireNonNull(statistics.get(value), value::toString);
    }

    private static NDArray one(NDList list) {
        return list.singletonOrThrow();
    }

    private static Shape shape(Value value) {
        long[] dimensions = new long[value.shape().rank()];
        for (int i = 0; i < dimensions.length; i++) {
            dimensions[i] = value.shape().dim(i);
        }
        return new Shape(dimensions);
    }
}
