package io.crescendo.memory;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import java.util.Arrays;
import java.util.List;

/**
 * First and last use of every arena value, as operation indices.
 *
 * <p>A value is alive from the operation that defines it to the last that reads it, both included. A kept value is
 * alive to the end of the program.
 */
public final class Liveness {
    private static final int NEVER = -1;

    private final int[] first;
    private final int[] last;

    private Liveness(int values) {
        first = new int[values];
        last = new int[values];
        Arrays.fill(first, NEVER);
        Arrays.fill(last, NEVER);
    }

    /** Analyses a program. */
    public static Liveness of(Program program) {
        Liveness liveness = new Liveness(program.values().size());
        List<Op> ops = program.ops();
        for (int i = 0; i < ops.size(); i++) {
            for (Value value : ops.get(i).outputs()) {
                if (value.home() == Home.ARENA) {
                    liveness.first[value.id()] = i;
                    liveness.last[value.id()] = i;
                }
            }
            for (Value value : ops.get(i).inputs()) {
                if (value.home() == Home.ARENA) {
                    if (liveness.first[value.id()] == NEVER) {
                        throw new IllegalStateException(
                                value + " is read before it is defined, by " + program.describe(i));
                    }
                    liveness.last[value.id()] = i;
                }
            }
        }
        for (Value value : program.kept()) {
            if (liveness.first[value.id()] != NEVER) {
                liveness.last[value.id()] = ops.size() - 1;
            }
        }
        return liveness;
    }

    /** Whether the value lives in the arena at all. */
    public boolean contains(Value value) {
        return first[value.id()] != NEVER;
    }

    /** Index of the operation that defines the value. */
    public int first(Value value) {
        return first[value.id()];
    }

    /** Index of the last operation that reads the value. */
    public int last(Value value) {
        return last[value.id()];
    }
}
