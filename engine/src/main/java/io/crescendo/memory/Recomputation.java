package io.crescendo.memory;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * Ways to trade time for memory: what to compute again in the backward pass instead of keeping it.
 *
 * <p>Each way names forward operations for {@link Program#recomputing} and estimates what repeating them costs. The
 * time of an operation is taken as its bytes plus its multiplications over {@link #OPERATIONS_PER_BYTE}.
 *
 * @param name {@code none}, {@code activations} or {@code blocks of 1/k}
 * @param released indices of forward operations
 * @param extraTime time of the repeated operations over that of the whole program: 0.03 is three per cent more
 */
public record Recomputation(String name, Set<Integer> released, double extraTime) {
    /** Nothing is computed again. */
    public static final Recomputation NONE = new Recomputation("none", Set.of(), 0);

    /** Multiply-adds in the time that one byte takes to and from memory; between processors (9) and fast cards (40). */
    private static final double OPERATIONS_PER_BYTE = 16;

    /** As many cheap operations may follow one another before a result is kept all the same. */
    private static final int DEEPEST_CHAIN = 4;

    /** In how many blocks the forward pass is tried to be cut; what is kept falls, and is recomputed longer. */
    private static final int[] BLOCKS = {2, 3, 4, 6, 8, 12};

    public Recomputation {
        released = Set.copyOf(released);
    }

    /** The program with this way applied. */
    public Program of(Program program) {
        return released.isEmpty() ? program : program.recomputing(released);
    }

    /**
     * The ways worth trying for a training program, the cheapest first, the first being {@link #NONE}: only those that
     * need less memory than all cheaper ones, by the nominal sizes of values.
     */
    public static List<Recomputation> ways(Program program) {
        List<Recomputation> candidates = new ArrayList<>();
        candidates.add(of("activations", program, activations(program)));
        for (int blocks : BLOCKS) {
            candidates.add(of("blocks of 1/" + blocks, program, blocks(program, blocks)));
        }
        candidates.sort(Comparator.comparingDouble(Recomputation::extraTime));
        List<Recomputation> ways = new ArrayList<>(List.of(NONE));
        long least = nominalBytes(program);
        for (Recomputation candidate : candidates) {
            long bytes = candidate.released.isEmpty() ? least : nominalBytes(candidate.of(program));
            if (bytes < least) {
                least = bytes;
                ways.add(candidate);
            }
        }
        return ways;
    }

    private static Recomputation of(String name, Program program, Set<Integer> released) {
        double before = time(program);
        return new Recomputation(name, released, time(program.recomputing(released)) / before - 1);
    }

    /** The largest sum of nominal bytes alive at once, in-place operations aside. */
    private static long nominalBytes(Program program) {
        Liveness liveness = Liveness.of(program);
        long[] change = new long[program.ops().size() + 1];
        for (Value value : program.values()) {
            if (liveness.contains(value)) {
                change[liveness.first(value)] += value.bytes();
                change[liveness.last(value) + 1] -= value.bytes();
            }
        }
        long alive = 0;
        long most = 0;
        for (long delta : change) {
            alive += delta;
            most = Math.max(most, alive);
        }
        return most;
    }

    private static double time(Program program) {
        return program.ops().stream().mapToDouble(Recomputation::time).sum();
    }

    /** Time as above for what grows with the samples: arena values and multiplications, weights aside. */
    static double work(Program program) {
        return program.ops().stream()
                .mapToDouble(op -> time(op, value -> value.home() == Home.ARENA))
                .sum();
    }

    private static double time(Op op) {
        return time(op, value -> true);
    }

    private static double time(Op op, Predicate<Value> counted) {
        double bytes = Stream.of(op.inputs(), op.outputs())
                .flatMap(List::stream)
                .filter(counted)
                .mapToDouble(Value::bytes)
                .sum();
        return bytes + op.flops() / 2 / OPERATIONS_PER_BYTE; // two of them are one multiplication with its addition
    }

    private static boolean isProduct(Op op) {
        return op instanceof Op.Conv2d || op instanceof Op.Dense;
    }

    /**
     * Norms, activations and whatever else costs a pass over memory, as far as all they start from is kept for the
     * backward pass anyway.
     */
    private static Set<Integer> activations(Program program) {
        Set<Value> readBackward = readBackward(program);
        Map<Value, Integer> depths = new HashMap<>(); // of released results: cheap operations since what is kept
        Set<Integer> released = new HashSet<>();
        for (int i = 0; i < program.forwardOps() - 1; i++) {
            Op op = program.ops().get(i);
            if (isProduct(op)) {
                continue;
            }
            int depth = 0;
            for (Value input : op.inputs()) {
                if (input.home() == Home.ARENA) {
                    int before = depths.getOrDefault(input, readBackward.contains(input) ? 0 : DEEPEST_CHAIN);
                    depth = Math.max(depth, before + 1);
                }
            }
            if (depth <= DEEPEST_CHAIN) {
                released.add(i);
                for (Value output : op.outputs()) {
                    depths.put(output, depth);
                }
            }
        }
        return released;
    }

    private static Set<Value> readBackward(Program program) {
        Set<Value> values = new HashSet<>();
        for (int i = program.forwardOps(); i < program.ops().size(); i++) {
            values.addAll(program.ops().get(i).inputs());
        }
        return values;
    }

    /**
     * Everything but what crosses from one block to the next; of the last block, whose backward pass comes at once,
     * nothing is released. Blocks end where little crosses, and hold about equal bytes.
     */
    private static Set<Integer> blocks(Program program, int count) {
        int forward = program.forwardOps() - 1;
        Map<Value, int[]> spans = spans(program, forward);
        long[] made = new long[forward + 1]; // bytes defined before an operation
        long[] crossing = new long[forward + 1]; // bytes defined before it and read by it or later ones
        spans.forEach((value, span) -> {
            for (int at = span[0] + 1; at <= forward; at++) {
                made[at] += value.bytes();
                crossing[at] += at <= span[1] ? value.bytes() : 0;
            }
        });
        TreeSet<Integer> cuts = new TreeSet<>();
        for (int block = 1; block < count; block++) {
            cuts.add(cut(crossing, made, made[forward] * block / count, made[forward] / count / 2));
        }
        Set<Value> kept = new HashSet<>(program.kept());
        spans.forEach((value, span) -> {
            if (cuts.stream().anyMatch(at -> span[0] < at && at <= span[1])) {
                kept.add(value);
            }
        });
        int last = cuts.isEmpty() ? 0 : cuts.last();
        Set<Integer> released = new HashSet<>();
        for (int i = 0; i < last; i++) {
            if (program.ops().get(i).outputs().stream().noneMatch(kept::contains)) {
                released.add(i);
            }
        }
        return released;
    }

    /** For each arena value the operations of the forward pass, the loss included, that define it and read it last. */
    private static Map<Value, int[]> spans(Program program, int forward) {
        Map<Value, int[]> spans = new HashMap<>();
        for (int i = 0; i <= forward; i++) {
            for (Value input : program.ops().get(i).inputs()) {
                int[] span = spans.get(input);
                if (span != null) {
                    span[1] = i;
                }
            }
            for (Value output : program.ops().get(i).outputs()) {
                spans.put(output, new int[] {i, i});
            }
        }
        return spans;
    }

    /** The operation before which the least crosses, among those near a share of the bytes. */
    private static int cut(long[] crossing, long[] made, long wanted, long margin) {
        int best = 1;
        for (int at = 2; at < crossing.length; at++) {
            long distance = Math.abs(made[at] - wanted);
            long bestDistance = Math.abs(made[best] - wanted);
            boolean better = Math.max(distance, bestDistance) <= margin
                    ? crossing[at] < crossing[best]
                    : distance < bestDistance;
            best = better ? at : best;
        }
        return best;
    }
}
