package io.crescendo.autograd;

import io.crescendo.tensor.DType;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Rewrites pairs of forward operations into one, where the value between them has no other reader.
 *
 * <p>Runs before gradients are appended, so a fused operation brings its own fused gradient. The fused operation takes
 * the place of the later of the two: everything it reads is defined by then.
 */
final class FusionPass {
    private final List<Value> values;
    private final Collection<Value> kept;
    private final Set<Fusion> fusions;
    private final List<@Nullable Op> ops;

    FusionPass(List<Value> values, Collection<Value> kept, Set<Fusion> fusions, List<Op> forward) {
        this.values = values;
        this.kept = kept;
        this.fusions = fusions;
        this.ops = new ArrayList<>(forward);
    }

    List<Op> run() {
        // Adds come before ReLUs, so that relu(norm(x) + y) first becomes a norm with an addend.
        rewrite((op, producers) -> op instanceof Op.Add add ? fuseAdd(add, producers) : null);
        rewrite((op, producers) -> op instanceof Op.Relu relu ? fuseRelu(relu, producers) : null);
        return ops.stream()
                .filter(Objects::nonNull)
                .map(Objects::requireNonNull)
                .toList();
    }

    /** The fused operation and the index of the earlier one that it swallows. */
    private record Fused(Op op, int swallowed) {}

    private interface Rule {
        @Nullable
        Fused fuse(Op op, Map<Value, Integer> soleProducers);
    }

    private void rewrite(Rule rule) {
        // Found once: a fusion takes over the reads of the operation it swallows, whose output nobody asks for again.
        Map<Value, Integer> soleProducers = soleProducers();
        for (int i = 0; i < ops.size(); i++) {
            Op op = ops.get(i);
            if (op == null) {
                continue;
            }
            Fused fused = rule.fuse(op, soleProducers);
            if (fused != null) {
                ops.set(fused.swallowed, null);
                ops.set(i, fused.op);
            }
        }
    }

    /** Producer index of each value that exactly one operation reads and nobody keeps. */
    private Map<Value, Integer> soleProducers() {
        Map<Value, Integer> readers = new HashMap<>();
        for (Op op : ops) {
            if (op != null) {
                op.inputs().forEach(v -> readers.merge(v, 1, Integer::sum));
            }
        }
        Map<Value, Integer> producers = new HashMap<>();
        for (int i = 0; i < ops.size(); i++) {
            Op op = ops.get(i);
            if (op != null && !op.outputs().isEmpty()) {
                Value output = op.outputs().get(0);
                if (readers.getOrDefault(output, 0) == 1 && !kept.contains(output)) {
                    producers.put(output, i);
                }
            }
        }
        return producers;
    }

    private @Nullable Fused fuseAdd(Op.Add add, Map<Value, Integer> producers) {
        // Prefer the operand computed last: the other one is then certainly there already.
        int left = producers.getOrDefault(add.left(), -1);
        int right = producers.getOrDefault(add.right(), -1);
        Fused first = absorbAdd(add, Math.max(left, right), left > right ? add.right() : add.left());
        return first != null ? first : absorbAdd(add, Math.min(left, right), left > right ? add.left() : add.right());
    }

    private @Nullable Fused absorbAdd(Op.Add add, int index, Value addend) {
        Op producer = index < 0 ? null : ops.get(index);
        if (producer instanceof Op.Conv2d conv
                && fusions.contains(Fusion.CONV_ADD)
                && conv.addend() == null
                && !conv.relu()) {
            return new Fused(conv.plus(addend, add.output()), index);
        }
        if (producer instanceof Op.GhostBatchNorm norm
                && fusions.contains(Fusion.NORM_ADD)
                && norm.addend() == null
                && !norm.relu()) {
            return new Fused(norm.plus(addend, add.output()), index);
        }
        if (producer instanceof Op.BatchNormInference norm
                && fusions.contains(Fusion.NORM_ADD)
                && norm.addend() == null
                && !norm.relu()) {
            return new Fused(norm.plus(addend, add.output()), index);
        }
        return null;
    }

    private @Nullable Fused fuseRelu(Op.Relu relu, Map<Value, Integer> producers) {
        int index = producers.getOrDefault(relu.input(), -1);
        Op producer = index < 0 ? null : ops.get(index);
        if (producer instanceof Op.GhostBatchNorm norm && fusions.contains(Fusion.NORM_RELU) && !norm.relu()) {
            Value mask = new Value(
                    values.size(), relu.output().name() + ".mask", relu.output().shape(), DType.UINT8, Home.ARENA, 0);
            values.add(mask);
            return new Fused(norm.withRelu(mask, relu.output()), index);
        }
        if (producer instanceof Op.BatchNormInference norm && fusions.contains(Fusion.NORM_RELU) && !norm.relu()) {
            return new Fused(norm.withRelu(relu.output()), index);
        }
        if (producer instanceof Op.Conv2d conv && fusions.contains(Fusion.CONV_RELU) && !conv.relu()) {
            return new Fused(conv.withRelu(relu.output()), index);
        }
        if (producer instanceof Op.Add add && fusions.contains(Fusion.ADD_RELU) && !add.relu()) {
            return new Fused(new Op.Add(add.left(), add.right(), relu.output(), true), index);
        }
        return null;
    }
}
