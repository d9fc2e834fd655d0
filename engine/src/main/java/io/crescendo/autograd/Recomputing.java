package io.crescendo.autograd;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Rewrites a training program so that results of some forward operations are computed a second time for the backward
 * pass instead of being kept for it (Chen et al. 2016, arXiv 1604.06174).
 *
 * <p>A released operation is repeated right before the first backward operation that reads one of its results, after
 * those released operations whose results it reads itself. The copy does the same arithmetic on the same numbers, so
 * gradients are the same bit for bit: dropout is keyed by the sample, weights do not change within a step, and a
 * repeated norm leaves the running averages alone (its momentum is zero).
 */
final class Recomputing {
    private final Program program;
    private final Set<Integer> released;
    private final List<Value> values;
    private final List<Op> ops = new ArrayList<>();
    private final Map<Value, Integer> producers = new HashMap<>();
    private final Map<Value, Value> copies = new HashMap<>();

    private Recomputing(Program program, Set<Integer> released) {
        this.program = program;
        this.released = released;
        this.values = new ArrayList<>(program.values());
    }

    static Program rewrite(Program program, Set<Integer> released) {
        return new Recomputing(program, released).run();
    }

    private Program run() {
        int forward = program.forwardOps();
        for (int i = 0; i < program.ops().size(); i++) {
            Op op = program.ops().get(i);
            if (i < forward) {
                if (released.contains(i)) {
                    op.outputs().forEach(value -> requireReleasable(op, value));
                    int index = i;
                    op.outputs().forEach(value -> producers.put(value, index));
                }
                ops.add(op);
            } else {
                op.inputs().forEach(this::repeat);
                ops.add(op.accept(new Substitution(this::newest, value -> value)));
            }
        }
        return program.with(ops, values);
    }

    private static void requireReleasable(Op op, Value value) {
        if (value.home() != Home.ARENA || op instanceof Op.SoftmaxCrossEntropy) {
            throw new IllegalArgumentException(op.name() + " cannot be computed again: it changes more than the arena");
        }
    }

    private Value newest(Value value) {
        return copies.getOrDefault(value, value);
    }

    /** Appends what computes a value again, unless it was kept or is there already. */
    private void repeat(Value value) {
        Integer index = producers.get(value);
        if (index == null || copies.containsKey(value)) {
            return;
        }
        Op op = program.ops().get(index);
        op.inputs().forEach(this::repeat);
        Op copy = op.accept(new Substitution(this::newest, this::define));
        ops.add(copy instanceof Op.GhostBatchNorm norm ? norm.withMomentum(0) : copy);
        for (int i = 0; i < op.outputs().size(); i++) {
            copies.put(op.outputs().get(i), copy.outputs().get(i));
        }
    }

    private Value define(Value of) {
        Value value = new Value(values.size(), of.name() + ".again", of.shape(), of.dtype(), of.home(), of.offset());
        values.add(value);
        return value;
    }
}
