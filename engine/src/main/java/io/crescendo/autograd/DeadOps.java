package io.crescendo.autograd;

import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Drops operations whose results nobody reads and that change nothing outside the arena. */
final class DeadOps {
    private DeadOps() {}

    static List<Op> remove(List<Op> ops, Collection<Value> kept) {
        Set<Value> needed = new HashSet<>(kept);
        Deque<Op> alive = new ArrayDeque<>();
        for (int i = ops.size() - 1; i >= 0; i--) {
            Op op = ops.get(i);
            if (hasEffect(op) || op.outputs().stream().anyMatch(needed::contains)) {
                needed.addAll(op.inputs());
                alive.addFirst(op);
            }
        }
        return List.copyOf(alive);
    }

    private static boolean hasEffect(Op op) {
        return op instanceof Op.SoftmaxCrossEntropy
                || op instanceof Op.GhostBatchNorm
                || op.outputs().stream().anyMatch(v -> v.home() == Home.GRADIENTS);
    }
}
