package io.crescendo.autograd;

import io.crescendo.tensor.DType;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Appends the backward operations: reverse-mode differentiation over the recorded forward operations.
 *
 * <p>IMPLEMENTATION NOTES. Operations are visited last to first. When one is reached, every reader of its output has
 * been visited already, so the output's gradient is complete. A value read by several operations collects its
 * contributions in {@link Op.Add}s, or in an operation that adds its own to those before. Nothing is emitted towards
 * values that depend on no parameter (the images), nor from values the loss does not depend on. Weight gradients come
 * before input gradients, so that the layer's input can die first.
 */
final class Gradients {
    private final List<Value> values;
    private final Set<Fusion> fusions;
    private final Map<Value, Value> gradients = new HashMap<>();
    private final Set<Value> differentiable = new HashSet<>();
    private final List<Op> ops = new ArrayList<>();

    Gradients(List<Value> values, Set<Fusion> fusions) {
        this.values = values;
        this.fusions = fusions;
    }

    List<Op> append(List<Op> forward) {
        for (Op op : forward) {
            if (op.inputs().stream().anyMatch(v -> v.home() == Home.WEIGHTS || differentiable.contains(v))) {
                differentiable.addAll(op.outputs());
            }
        }
        ops.addAll(forward);
        for (int i = forward.size() - 1; i >= 0; i--) {
            backward(forward.get(i));
        }
        return ops;
    }

    private Value define(Value of, Home home, long offset) {
        Value value = new Value(values.size(), of.name() + ".gradient", of.shape(), DType.FLOAT32, home, offset);
        values.add(value);
        return value;
    }

    /** The slice of the gradient pack that belongs to a parameter. */
    private Value ofParameter(Value parameter) {
        return gradients.computeIfAbsent(parameter, p -> define(p, Home.GRADIENTS, p.offset()));
    }

    private @Nullable Value ofOptionalParameter(@Nullable Value parameter) {
        return parameter == null ? null : ofParameter(parameter);
    }

    /** A new arena value for one contribution to a value's gradient. */
    private Value contribution(Value to) {
        return define(to, Home.ARENA, 0);
    }

    /** Books a contribution; the second and later ones are added to what is there. */
    private void contribute(Value to, Value contribution) {
        Value sum = gradients.get(to);
        if (sum == null) {
            gradients.put(to, contribution);
        } else {
            Value total = define(to, Home.ARENA, 0);
            ops.add(new Op.Add(sum, contribution, total, false));
            gradients.put(to, total);
        }
    }

    private boolean wanted(Value value) {
        return differentiable.contains(value);
    }

    private void backward(Op op) {
        List<Value> outputs = op.outputs();
        if (op instanceof Op.SoftmaxCrossEntropy loss) {
            backward(loss);
            return;
        }
        Value dy = gradients.get(outputs.get(0));
        if (dy == null) {
            return; // the loss does not depend on it
        }
        if (op instanceof Op.Conv2d conv2d) {
            backward(conv2d, dy);
        } else if (op instanceof Op.Dense dense) {
            backward(dense, dy);
        } else if (op instanceof Op.GhostBatchNorm ghostBatchNorm) {
            backward(ghostBatchNorm, dy);
        } else if (op instanceof Op.Relu relu) {
            backward(relu, dy);
        } else if (op instanceof Op.Add add) {
            backward(add, dy);
        } else if (op instanceof Op.Scale scale) {
            backward(scale, dy);
        } else if (op instanceof Op.Concat concat) {
            backward(concat, dy);
        } else if (op instanceof Op.MaxPool maxPool) {
            backward(maxPool, dy);
        } else if (op instanceof Op.AveragePool averagePool) {
            backward(averagePool, dy);
        } else if (op instanceof Op.Reshape reshape) {
            backward(reshape, dy);
        } else if (op instanceof Op.Dropout dropout) {
            backward(dropout, dy);
        } else {
            throw new IllegalStateException(op.name() + " has no gradient: it never stands on a training tape");
        }
    }

    private void backward(Op.Conv2d op, Value dy) {
        if (op.relu()) {
            Value masked = contribution(op.output());
            ops.add(new Op.ReluGradient(op.output(), dy, masked));
            dy = masked;
        }
        ops.add(new Op.Conv2dWeightGradient(
                op.input(), dy, ofParameter(op.weight()), ofOptionalParameter(op.bias()), op.window(), op.groups()));
        if (wanted(op.input())) {
            Value dx = contribution(op.input());
            Value others = others(op.input(), Fusion.CONV_GRADIENT_ADD);
            ops.add(new Op.Conv2dInputGradient(dy, op.weight(), others, dx, op.window(), op.groups()));
            contribute(op.input(), dx);
        }
        if (op.addend() != null && wanted(op.addend())) {
            contribute(op.addend(), dy);
        }
    }

    private void backward(Op.Dense op, Value dy) {
        ops.add(new Op.DenseWeightGradient(op.input(), dy, ofParameter(op.weight()), ofOptionalParameter(op.bias())));
        if (wanted(op.input())) {
            Value dx = contribution(op.input());
            ops.add(new Op.DenseInputGradient(dy, op.weight(), dx));
            contribute(op.input(), dx);
        }
    }

    private void backward(Op.GhostBatchNorm op, Value dy) {
        boolean toAddend = op.addend() != null && wanted(op.addend());
        // Without a ReLU the addend's gradient is dy itself; with one it is the masked dy.
        Value dAddend = toAddend && op.relu() && op.addend() != null ? contribution(op.addend()) : null;
        Value dx = contribution(op.input());
        Value residual = others(op.input(), Fusion.NORM_GRADIENT_ADD);
        ops.add(new Op.GhostBatchNormGradient(
                op.input(),
                dy,
                op.scale(),
                op.mean(),
                op.variance(),
                op.mask(),
                residual,
                dx,
                dAddend,
                ofParameter(op.scale()),
                ofParameter(op.shift()),
                op.ghostBatch(),
                op.epsilon()));
        if (wanted(op.input())) {
            contribute(op.input(), dx);
        }
        if (toAddend && op.addend() != null) {
            contribute(op.addend(), dAddend == null ? dy : dAddend);
        }
    }

    /** What others have contributed, for an operation that adds its own to it, or null. */
    private @Nullable Value others(Value value, Fusion offered) {
        return fusions.contains(offered) ? gradients.remove(value) : null;
    }

    private void backward(Op.Relu op, Value dy) {
        if (wanted(op.input())) {
            Value dx = contribution(op.input());
            ops.add(new Op.ReluGradient(op.output(), dy, dx));
            contribute(op.input(), dx);
        }
    }

    private void backward(Op.Add op, Value dy) {
        if (op.relu()) {
            Value masked = contribution(op.output());
            ops.add(new Op.ReluGradient(op.output(), dy, masked));
            dy = masked;
        }
        if (wanted(op.left())) {
            contribute(op.left(), dy);
        }
        if (wanted(op.right())) {
            contribute(op.right(), dy);
        }
    }

    private void backward(Op.Scale op, Value dy) {
        if (wanted(op.input())) {
            Value dx = contribution(op.input());
            ops.add(new Op.Scale(dy, dx, op.factor()));
            contribute(op.input(), dx);
        }
    }

    private void backward(Op.Concat op, Value dy) {
        List<Value> parts = op.inputs().stream().map(this::contribution).toList();
        ops.add(new Op.ConcatGradient(dy, parts));
        for (int i = 0; i < parts.size(); i++) {
            if (wanted(op.inputs().get(i))) {
                contribute(op.inputs().get(i), parts.get(i));
            }
        }
    }

    private void backward(Op.MaxPool op, Value dy) {
        if (op.indices() != null && wanted(op.input())) {
            Value dx = contribution(op.input());
            ops.add(new Op.MaxPoolGradient(dy, op.indices(), dx, op.window()));
            contribute(op.input(), dx);
        }
    }

    private void backward(Op.AveragePool op, Value dy) {
        if (wanted(op.input())) {
            Value dx = contribution(op.input());
            ops.add(new Op.AveragePoolGradient(dy, dx, op.window()));
            contribute(op.input(), dx);
        }
    }

    private void backward(Op.Reshape op, Value dy) {
        if (wanted(op.input())) {
            Value dx = contribution(op.input());
            ops.add(new Op.Reshape(dy, dx));
            contribute(op.input(), dx);
        }
    }

    private void backward(Op.Dropout op, Value dy) {
        if (wanted(op.input())) {
            Value dx = contribution(op.input());
            ops.add(new Op.Dropout(dy, dx, op.rate(), op.key()));
            contribute(op.input(), dx);
        }
    }

    private void backward(Op.SoftmaxCrossEntropy op) {
        if (op.logitsGradient() != null && wanted(op.logits())) {
            contribute(op.logits(), op.logitsGradient());
        }
    }
}
