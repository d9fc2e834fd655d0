package io.crescendo.cpu;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import java.util.HashSet;
import java.util.Set;

/** How many samples go through a program side by side: a pure function of the program. */
final class Sharding {
    /**
     * Results of this many bytes, forward and backward together, still find most of their readers in a shared cache of
     * common size, and are enough work per primitive that starting it does not count.
     */
    static final long TARGET_BYTES = 32L << 20;

    private Sharding() {}

    /** The whole micro-batch, or a multiple of the ghost batch if there are statistics over ghost batches. */
    static int samples(Program program, long targetBytes) {
        int granule = program.usesGhostBatches() ? program.ghostBatch() : 1;
        long fitting = Math.max(1, targetBytes / Math.max(1, bytesPerSample(program)));
        long samples = Math.max(1, fitting / granule) * granule;
        return Math.toIntExact(Math.min(samples, program.microBatch()));
    }

    private static long bytesPerSample(Program program) {
        Set<Value> results = new HashSet<>();
        for (Op op : program.ops()) {
            results.addAll(op.outputs());
        }
        return results.stream()
                        .filter(v -> v.home() == Home.ARENA)
                        .mapToLong(Value::bytes)
                        .sum()
                / program.microBatch();
    }
}
