package io.crescendo.cuda;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.WorkspacePlan;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Which operations of a program run beside the others, and before which the others wait for them: a pure function of
 * program and plan.
 *
 * <p>Weight gradients are leaves: no operation reads what they add to the gradient pack. They run on a stream of their
 * own, in the program's order, so that the same numbers are added up in the same order as on one stream. A leaf may
 * start when everything before it is done. Everything else runs in order too, and an operation waits for a leaf only if
 * it would write where the leaf reads, writes or has its scratch memory, or read where the leaf writes. The planner
 * gives memory to others when an operation is over by the program's order, which a leaf may not be; so it is asked to
 * wait for {@value #LINGER} more operations where there is room ({@link MemoryRequirements#lingers}).
 */
final class Branches {
    /** With so many, a leaf may lag two layers of convolution and norm behind; with more it gains nothing. */
    static final int LINGER = 6;

    private static final int NONE = -1;

    private final boolean[] leaves;
    private final int[] awaited;

    /** Bytes in the arena or in a pack. */
    private record Range(Home home, long from, long to) {
        boolean meets(Range other) {
            return home == other.home && from < other.to && other.from < to;
        }
    }

    /** What an operation touches. */
    private record Touched(List<Range> read, List<Range> written) {
        boolean mustFollow(Touched leaf) {
            return meet(written, leaf.read) || meet(written, leaf.written) || meet(read, leaf.written);
        }

        private static boolean meet(List<Range> some, List<Range> others) {
            return some.stream().anyMatch(range -> others.stream().anyMatch(range::meets));
        }
    }

    Branches(Program program, WorkspacePlan plan, MemoryRequirements sizes) {
        int ops = program.ops().size();
        leaves = new boolean[ops];
        awaited = new int[ops];
        Arrays.fill(awaited, NONE);
        List<Touched> byLeaves = new ArrayList<>(); // of those after the last one that was waited for
        List<Integer> indices = new ArrayList<>();
        for (int i = 0; i < ops; i++) {
            Touched touched = touched(program, plan, sizes, i);
            leaves[i] = isLeaf(program.ops().get(i));
            if (leaves[i]) {
                byLeaves.add(touched);
                indices.add(i);
                continue;
            }
            for (int last = byLeaves.size() - 1; last >= 0; last--) {
                if (touched.mustFollow(byLeaves.get(last))) {
                    awaited[i] = indices.get(last);
                    byLeaves.subList(0, last + 1).clear(); // those before it are done as well
                    indices.subList(0, last + 1).clear();
                    break;
                }
            }
        }
    }

    /** Whether all that an operation does is to add to the gradient pack. */
    static boolean isLeaf(Op op) {
        return !op.outputs().isEmpty() && op.outputs().stream().allMatch(value -> value.home() == Home.GRADIENTS);
    }

    private static Touched touched(Program program, WorkspacePlan plan, MemoryRequirements sizes, int index) {
        Op op = program.ops().get(index);
        List<Range> read = new ArrayList<>();
        List<Range> written = new ArrayList<>();
        op.inputs().forEach(value -> read.add(range(plan, sizes, value)));
        op.outputs().forEach(value -> written.add(range(plan, sizes, value)));
        long scratch = sizes.scratchBytes(index);
        if (scratch > 0) {
            long from = plan.scratchOffset(index);
            written.add(new Range(Home.ARENA, from, from + scratch));
        }
        return new Touched(read, written);
    }

    private static Range range(WorkspacePlan plan, MemoryRequirements sizes, Value value) {
        boolean inArena = value.home() == Home.ARENA;
        long from = inArena ? plan.offset(value) : Float.BYTES * value.offset();
        long bytes = inArena ? sizes.bytes(value) : Float.BYTES * value.shape().elements();
        return new Range(value.home(), from, from + bytes);
    }

    /** Whether any operation runs beside the others. */
    boolean any() {
        for (boolean leaf : leaves) {
            if (leaf) {
                return true;
            }
        }
        return false;
    }

    /** Whether an operation runs beside the others. */
    boolean isLeaf(int op) {
        return leaves[op];
    }

    /** The leaf that must be done, with those before it, when this other operation starts; -1 if there is none. */
    int awaitedBy(int op) {
        return awaited[op];
    }
}
