package io.crescendo.memory;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/**
 * Packs values into one arena: a pure function of program and sizes.
 *
 * <p>Placing rectangles (lifetime × bytes) without overlap in the lowest strip is NP-hard; the greedy rule used here,
 * largest first at the lowest free offset that fits tightest, is the one production inference runtimes use (Pisarchyk
 * and Lee 2020, arXiv 2001.03288). Several orders are tried, then filling the arena from below moment by moment, which
 * often fits exactly where the greedy rule does not; then orders are improved by placing first what stuck out before,
 * and the smallest result wins. Before that, an output that may overwrite a dying input is merged with it into one
 * block, so in-place operations cost nothing.
 */
public final class WorkspacePlanner {
    /** Every offset is a multiple of this: a cache line, and the widest vector load on either kind of device. */
    public static final int ALIGNMENT_BYTES = 256;

    /** A plan this close to the bound is not improved any further. */
    private static final double GOOD_ENOUGH = 1.005;

    /** Pairs of blocks looked at in the search for a better order: some tens of milliseconds. */
    private static final long MOST_COMPARISONS = 20_000_000;

    /** Orders in which all blocks are placed, one after another. */
    private static final List<Comparator<Block>> ORDERS = List.of(
            Comparator.<Block>comparingLong(b -> -b.bytes).thenComparingInt(b -> b.first),
            Comparator.<Block>comparingLong(b -> -b.bytes * (b.last - b.first + 1L))
                    .thenComparingInt(b -> b.first),
            Comparator.<Block>comparingInt(b -> b.first - b.last).thenComparingLong(b -> -b.bytes),
            Comparator.<Block>comparingInt(b -> b.first).thenComparingLong(b -> -b.bytes));

    /** Which block is to fill a place that several fit: the greatest. */
    private static final List<Comparator<Block>> PREFERENCES = List.of(
            Comparator.<Block>comparingLong(b -> b.bytes * (b.last - b.first + 1L)),
            Comparator.<Block>comparingInt(b -> b.last - b.first).thenComparingLong(b -> b.bytes),
            Comparator.<Block>comparingLong(b -> b.bytes).thenComparingInt(b -> b.last - b.first));

    private WorkspacePlanner() {}

    /** Plans one program. */
    public static WorkspacePlan plan(Program program, MemoryRequirements requirements) {
        int ops = program.ops().size();
        List<Block> blocks = blocks(program, requirements, Liveness.of(program));
        Lowest lowest = new Lowest(blocks, lowerBound(blocks, ops));
        for (Comparator<Block> order : ORDERS) {
            lowest.offer(place(blocks, order));
            if (lowest.total == lowest.bound) {
                break;
            }
        }
        for (Comparator<Block> preferred : PREFERENCES) {
            if (!lowest.isGoodEnough()) {
                lowest.offer(fill(blocks, ops, preferred));
            }
        }
        Random random = new Random(0); // always the same: a plan is a pure function of its arguments
        for (Comparator<Block> order : ORDERS) {
            // Blocks that end at the top were placed too late: they go first, and all is placed again.
            List<Block> sorted = new ArrayList<>(blocks);
            sorted.sort(order);
            for (int round = rounds(blocks.size()); round > 0 && !lowest.isGoodEnough(); round--) {
                long total = place(sorted);
                lowest.offer(total);
                List<Block> top =
                        sorted.stream().filter(b -> b.offset + b.bytes == total).toList();
                sorted.removeAll(top);
                sorted.addAll(0, top);
                if (round % 4 == 0) { // out of the circles that this alone can run in
                    sorted.add(random.nextInt(sorted.size()), sorted.remove(random.nextInt(sorted.size())));
                }
            }
        }
        return lowest.plan(program, requirements);
    }

    /** The lowest arrangement that was found. */
    private static final class Lowest {
        final List<Block> blocks;
        final long bound;
        long[] offsets = {};
        long total = Long.MAX_VALUE;

        Lowest(List<Block> blocks, long bound) {
            this.blocks = blocks;
            this.bound = bound;
        }

        /** Takes over where the blocks lie now, if that is lower. */
        void offer(long height) {
            if (height < total) {
                total = height;
                offsets = blocks.stream().mapToLong(b -> b.offset).toArray();
            }
        }

        boolean isGoodEnough() {
            return total <= GOOD_ENOUGH * bound;
        }

        WorkspacePlan plan(Program program, MemoryRequirements requirements) {
            long[] valueOffsets = new long[program.values().size()];
            long[] scratchOffsets = new long[program.ops().size()];
            long[] heldOffsets = new long[program.ops().size()];
            Arrays.fill(valueOffsets, -1);
            for (int i = 0; i < offsets.length; i++) {
                Block block = blocks.get(i);
                for (Value value : block.values) {
                    valueOffsets[value.id()] = offsets[i];
                }
                if (block.scratchOf >= 0) {
                    scratchOffsets[block.scratchOf] = offsets[i];
                }
                if (block.heldBy >= 0) {
                    heldOffsets[block.heldBy] = offsets[i];
                }
            }
            return new WorkspacePlan(program, requirements, valueOffsets, scratchOffsets, heldOffsets, total, bound);
        }
    }

    /**
     * Bytes that must lie together for one stretch of operations: a value and those that overwrite it, or an
     * operation's.
     */
    private static final class Block {
        final List<Value> values = new ArrayList<>();
        final int scratchOf;
        final int heldBy;
        final int first;
        int last;
        final long bytes;
        long offset;

        Block(int scratchOf, int heldBy, int first, int last, long bytes) {
            this.scratchOf = scratchOf;
            this.heldBy = heldBy;
            this.first = first;
            this.last = last;
            this.bytes = (bytes + ALIGNMENT_BYTES - 1) / ALIGNMENT_BYTES * ALIGNMENT_BYTES;
        }

        boolean meets(Block other) {
            return first <= other.last && other.first <= last;
        }
    }

    private static List<Block> blocks(Program program, MemoryRequirements requirements, Liveness liveness) {
        List<Block> blocks = new ArrayList<>();
        Block[] blockOf = new Block[program.values().size()];
        for (int i = 0; i < program.ops().size(); i++) {
            Op op = program.ops().get(i);
            for (Value output : op.outputs()) {
                if (output.home() != Home.ARENA) {
                    continue;
                }
                Block block = null;
                if (output.equals(op.outputs().get(0))) {
                    block = overwritten(program, i, output, requirements, liveness, blockOf);
                }
                if (block == null) {
                    block = new Block(-1, -1, i, i, requirements.bytes(output));
                    blocks.add(block);
                }
                block.values.add(output);
                block.last = Math.max(block.last, liveness.last(output));
                blockOf[output.id()] = block;
            }
            long scratch = requirements.scratchBytes(i);
            if (scratch > 0) {
                blocks.add(new Block(i, -1, i, i, scratch));
            }
            long held = requirements.heldBytes(i);
            if (held > 0) {
                blocks.add(new Block(-1, i, i, program.ops().size() - 1, held));
            }
        }
        return blocks;
    }

    /** The block of a dying input of the same size that the output may take over, or null. */
    private static @Nullable Block overwritten(
            Program program,
            int index,
            Value output,
            MemoryRequirements requirements,
            Liveness liveness,
            Block[] blockOf) {
        Op op = program.ops().get(index);
        for (Value input : op.overwritable()) {
            // An input that is also read in another role (a convolution whose addend is its own input, say) must stay.
            // A kept one must survive even the last operation.
            if (input.home() == Home.ARENA
                    && !program.kept().contains(input)
                    && op.inputs().stream().filter(input::equals).count() == 1
                    && blockOf[input.id()].last == index
                    && liveness.last(input) == index
                    && requirements.bytes(input) == requirements.bytes(output)
                    && requirements.mayOverwrite(index, input)) {
                return blockOf[input.id()];
            }
        }
        return null;
    }

    private static long lowerBound(List<Block> blocks, int ops) {
        long[] change = new long[ops + 1];
        for (Block block : blocks) {
            change[block.first] += block.bytes;
            change[block.last + 1] -= block.bytes;
        }
        long alive = 0;
        long most = 0;
        for (long delta : change) {
            alive += delta;
            most = Math.max(most, alive);
        }
        return most;
    }

    /**
     * Fills the arena from below: the lowest stretch of operations takes the block that lives within it and is
     * preferred to the others, or is raised to its lower neighbour where there is none (Sekiyama, Imamichi, Imai and
     * Raymond 2018, arXiv 1804.10001).
     */
    private static long fill(List<Block> blocks, int ops, Comparator<Block> preferred) {
        List<Block> left = new ArrayList<>(blocks);
        long[] filled = new long[ops];
        long total = 0;
        while (!left.isEmpty()) {
            int from = 0;
            for (int i = 1; i < ops; i++) {
                from = filled[i] < filled[from] ? i : from;
            }
            long height = filled[from];
            int to = from; // the last operation of the stretch
            while (to + 1 < ops && filled[to + 1] == height) {
                to++;
            }
            Block best = null;
            for (Block block : left) {
                if (from <= block.first && block.last <= to && (best == null || preferred.compare(block, best) > 0)) {
                    best = block;
                }
            }
            if (best == null) {
                long before = from > 0 ? filled[from - 1] : Long.MAX_VALUE;
                long after = to + 1 < ops ? filled[to + 1] : Long.MAX_VALUE;
                Arrays.fill(filled, from, to + 1, Math.min(before, after));
            } else {
                best.offset = height;
                total = Math.max(total, height + best.bytes);
                Arrays.fill(filled, best.first, best.last + 1, height + best.bytes);
                left.remove(best);
            }
        }
        return total;
    }

    /** Fewer for large programs: placing takes time in the square of the blocks. */
    private static int rounds(int blocks) {
        return (int) Math.max(4, Math.min(100, MOST_COMPARISONS / (1L + (long) blocks * blocks)));
    }

    private static long place(List<Block> blocks, Comparator<Block> order) {
        List<Block> sorted = new ArrayList<>(blocks);
        sorted.sort(order);
        return place(sorted);
    }

    private static long place(List<Block> sorted) {
        List<Block> placed = new ArrayList<>(sorted.size()); // by offset
        long total = 0;
        for (Block block : sorted) {
            long bestGap = Long.MAX_VALUE;
            long chosen = -1;
            long cursor = 0;
            for (Block other : placed) {
                if (!other.meets(block)) {
                    continue;
                }
                long gap = other.offset - cursor;
                if (gap >= block.bytes && gap < bestGap) {
                    bestGap = gap;
                    chosen = cursor;
                }
                cursor = Math.max(cursor, other.offset + other.bytes);
            }
            block.offset = chosen >= 0 ? chosen : cursor;
            total = Math.max(total, block.offset + block.bytes);
            int at = 0;
            while (at < placed.size() && placed.get(at).offset <= block.offset) {
                at++;
            }
            placed.add(at, block);
        }
        return total;
    }
}
