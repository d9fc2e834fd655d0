package io.crescendo.autograd;

import io.crescendo.tensor.ParameterPack;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * An immutable list of operations in the order they run, each value defined once.
 *
 * <p>Made by {@link Tape#program}. One program serves one number of samples; a backend prepares it once and replays it.
 */
public final class Program {
    private final Mode mode;
    private final int microBatch;
    private final int ghostBatch;
    private final List<Op> ops;
    private final List<Value> values;
    private final List<Value> kept;
    private final ParameterPack parameters;
    private final ParameterPack statistics;

    Program(
            Mode mode,
            int microBatch,
            int ghostBatch,
            List<Op> ops,
            List<Value> values,
            List<Value> kept,
            ParameterPack parameters,
            ParameterPack statistics) {
        this.mode = mode;
        this.microBatch = microBatch;
        this.ghostBatch = ghostBatch;
        this.ops = List.copyOf(ops);
        this.values = List.copyOf(values);
        this.kept = List.copyOf(kept);
        this.parameters = parameters;
        this.statistics = statistics;
    }

    /** Training or inference. */
    public Mode mode() {
        return mode;
    }

    /** Samples that one run processes. */
    public int microBatch() {
        return microBatch;
    }

    /** Samples per batch-norm statistic. */
    public int ghostBatch() {
        return ghostBatch;
    }

    /** The operations in running order. */
    public List<Op> ops() {
        return ops;
    }

    /** Every value, indexed by its id; some may have lost their operation to a fusion. */
    public List<Value> values() {
        return values;
    }

    /** Arena values that stay readable after a run, for example the logits of an inference program. */
    public List<Value> kept() {
        return kept;
    }

    /** Layout of the learned parameters; gradients and optimizer state have the same. */
    public ParameterPack parameters() {
        return parameters;
    }

    /** Layout of the running means and variances. */
    public ParameterPack statistics() {
        return statistics;
    }

    /** Whether any operation takes statistics over a ghost batch, so that micro-batches must be multiples of it. */
    public boolean usesGhostBatches() {
        return ops.stream().anyMatch(Op.GhostBatchNorm.class::isInstance);
    }

    /** {@link Op#flops Floating-point operations} per sample. */
    public double flopsPerSample() {
        return ops.stream().mapToDouble(Op::flops).sum() / microBatch;
    }

    /** How many operations, from the first, belong to the forward pass: up to the loss, or all without one. */
    public int forwardOps() {
        for (int i = 0; i < ops.size(); i++) {
            if (ops.get(i) instanceof Op.SoftmaxCrossEntropy) {
                return i + 1;
            }
        }
        return ops.size();
    }

    /**
     * The same program with less to keep: results of these forward operations are computed again where the backward
     * pass needs them. Gradients, loss and running averages are the same bit for bit.
     *
     * @param released indices of forward operations; any but the loss
     */
    public Program recomputing(Set<Integer> released) {
        return Recomputing.rewrite(this, released);
    }

    /** The same with other operations, which may define further values. */
    Program with(List<Op> newOps, List<Value> newValues) {
        return new Program(mode, microBatch, ghostBatch, newOps, newValues, kept, parameters, statistics);
    }

    /** The value that is fed with images, if the program reads any. */
    public Optional<Value> images() {
        return ops.stream()
                .flatMap(op -> op.inputs().stream())
                .filter(v -> v.home() == Home.IMAGES)
                .findFirst();
    }

    /** One line per operation: what it defines, its name, what it reads. */
    public String dump() {
        StringBuilder text = new StringBuilder()
                .append(mode.name().toLowerCase(java.util.Locale.ROOT))
                .append(" program, micro-batch ")
                .append(microBatch)
                .append(", ghost batch ")
                .append(ghostBatch)
                .append(", ")
                .append(parameters.count())
                .append(" parameters, ")
                .append(ops.size())
                .append(" operations\n");
        for (int i = 0; i < ops.size(); i++) {
            Op op = ops.get(i);
            text.append(String.format(Locale.ROOT, "%4d  ", i))
                    .append(describe(op.outputs()))
                    .append(op.outputs().isEmpty() ? "" : " = ")
                    .append(op.name())
                    .append('(')
                    .append(describe(op.inputs()))
                    .append(')')
                    .append(attributes(op))
                    .append('\n');
        }
        return text.toString();
    }

    /** The operation with its number and shapes, for messages: {@code operation 12, Conv2d group1.conv1 (…) → (…)}. */
    public String describe(int opIndex) {
        Op op = ops.get(opIndex);
        return "operation " + opIndex + ", " + op.name() + " [" + describe(op.inputs()) + "] -> ["
                + describe(op.outputs()) + "]" + attributes(op);
    }

    private static String describe(List<Value> values) {
        return values.stream().map(Value::toString).collect(Collectors.joining(", "));
    }

    private static String attributes(Op op) {
        if (op instanceof Op.Conv2d conv) {
            return "  " + conv.window() + (conv.groups() > 1 ? " groups " + conv.groups() : "")
                    + (conv.relu() ? " relu" : "");
        } else if (op instanceof Op.GhostBatchNorm norm) {
            return "  ghost " + norm.ghostBatch() + " epsilon " + norm.epsilon() + " momentum " + norm.momentum()
                    + (norm.relu() ? " relu" : "");
        } else if (op instanceof Op.BatchNormInference norm) {
            return "  epsilon " + norm.epsilon() + (norm.relu() ? " relu" : "");
        } else if (op instanceof Op.Add add) {
            return add.relu() ? "  relu" : "";
        } else if (op instanceof Op.MaxPool pool) {
            return "  " + pool.window();
        } else if (op instanceof Op.AveragePool pool) {
            return "  " + pool.window();
        } else if (op instanceof Op.Scale scale) {
            return "  " + scale.factor();
        } else if (op instanceof Op.Dropout dropout) {
            return "  rate " + dropout.rate();
        }
        return "";
    }
}
