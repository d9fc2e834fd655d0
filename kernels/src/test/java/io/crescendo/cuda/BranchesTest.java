package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.backend.NetworkCase;
import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.RealNetwork;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.memory.WorkspacePlanner;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;

/** Leaves beside the other operations: whoever runs when, each finds what it finds in the program's order. */
@NullMarked
class BranchesTest {
    private static final int CELL = WorkspacePlanner.ALIGNMENT_BYTES;
    private static final int ORDERS = 6;

    private final long seed = Long.getLong("crescendo.seed", new Random().nextLong());
    private final Random random = new Random(seed);

    /** Every operation may have scratch memory, leaves always do. */
    private record Sizes(Program program, long seed, int linger) implements MemoryRequirements {
        @Override
        public long bytes(Value value) {
            return value.bytes();
        }

        @Override
        public long scratchBytes(int opIndex) {
            Random drawn = new Random(seed + opIndex);
            return lingers(opIndex) > 0 || drawn.nextBoolean() ? 1 + drawn.nextInt(100_000) : 0;
        }

        @Override
        public boolean mayOverwrite(int opIndex, Value input) {
            return true;
        }

        @Override
        public int lingers(int opIndex) {
            return Branches.isLeaf(program.ops().get(opIndex)) ? linger : 0;
        }
    }

    /** A program with places for everything. */
    private record Planned(Program program, Sizes sizes, WorkspacePlan plan, Branches branches) {
        static Planned of(Program program, long seed, int linger) {
            Sizes sizes = new Sizes(program, seed, linger);
            WorkspacePlan plan = WorkspacePlanner.plan(program, sizes);
            return new Planned(program, sizes, plan, new Branches(program, plan, sizes));
        }

        /** Operations that run in order between a leaf and the one that waits for it, for each that waits. */
        List<Integer> distances() {
            List<Integer> distances = new ArrayList<>();
            for (int i = 0; i < program.ops().size(); i++) {
                if (branches.awaitedBy(i) >= 0) {
                    int between = 0;
                    for (int other = branches.awaitedBy(i) + 1; other < i; other++) {
                        between += branches.isLeaf(other) ? 0 : 1;
                    }
                    distances.add(between);
                }
            }
            return distances;
        }

        int leaves() {
            return (int) program.ops().stream().filter(Branches::isLeaf).count();
        }
    }

    /**
     * Memory that remembers which operation wrote last where, and for each operation what it found. A leaf writes its
     * scratch memory when it starts and reads everything when it ends.
     */
    private static final class Memory {
        final Planned planned;
        final int[] arena;
        final int[] gradients;
        final List<List<Integer>> found = new ArrayList<>();

        Memory(Planned planned) {
            this.planned = planned;
            arena = new int[(int) (planned.plan.totalBytes() / CELL) + 1];
            gradients = new int[Math.toIntExact(planned.program.parameters().elements())];
            Arrays.fill(arena, -1);
            Arrays.fill(gradients, -1);
            planned.program.ops().forEach(op -> found.add(new ArrayList<>()));
        }

        void start(int op) {
            long scratch = planned.sizes.scratchBytes(op);
            if (scratch > 0) {
                fill(planned.plan.scratchOffset(op), scratch, op);
            }
        }

        void end(int index) {
            Op op = planned.program.ops().get(index);
            List<Integer> finds = found.get(index);
            for (Value input : op.inputs()) {
                if (input.home() == Home.ARENA) {
                    add(finds, planned.plan.offset(input), planned.sizes.bytes(input));
                }
            }
            long scratch = planned.sizes.scratchBytes(index);
            if (scratch > 0) {
                add(finds, planned.plan.scratchOffset(index), scratch);
            }
            for (Value output : op.outputs()) {
                if (output.home() == Home.ARENA) {
                    fill(planned.plan.offset(output), planned.sizes.bytes(output), index);
                } else if (output.home() == Home.GRADIENTS) {
                    for (int i = 0; i < output.shape().elements(); i++) {
                        finds.add(gradients[(int) output.offset() + i]);
                        gradients[(int) output.offset() + i] = index;
                    }
                }
            }
        }

        void fill(long offset, long bytes, int op) {
            Arrays.fill(arena, (int) (offset / CELL), (int) ((offset + bytes + CELL - 1) / CELL), op);
        }

        void add(List<Integer> finds, long offset, long bytes) {
            for (long cell = offset / CELL; cell * CELL < offset + bytes; cell++) {
                finds.add(arena[(int) cell]);
            }
        }
    }

    private static Memory inOrder(Planned planned) {
        Memory memory = new Memory(planned);
        for (int i = 0; i < planned.program.ops().size(); i++) {
            memory.start(i);
            memory.end(i);
        }
        return memory;
    }

    /**
     * Runs leaves as late as the waits allow, or some time before that.
     *
     * @param early how likely the oldest leaf goes on after an operation
     * @param startsAtOnce whether leaves start as soon as they may, if none is running, and only end late
     */
    private Memory beside(Planned planned, double early, boolean startsAtOnce) {
        Memory memory = new Memory(planned);
        List<Integer> waiting = new ArrayList<>();
        boolean started = false;
        for (int i = 0; i <= planned.program.ops().size(); i++) {
            boolean end = i == planned.program.ops().size();
            int awaited = end ? i : planned.branches.awaitedBy(i);
            while (!waiting.isEmpty() && (waiting.get(0) <= awaited || random.nextDouble() < early)) {
                if (!started) {
                    memory.start(waiting.get(0));
                }
                memory.end(waiting.remove(0));
                started = false;
                if (startsAtOnce && !waiting.isEmpty()) {
                    memory.start(waiting.get(0));
                    started = true;
                }
            }
            if (end) {
                return memory;
            }
            if (planned.branches.isLeaf(i)) {
                waiting.add(i);
                if (startsAtOnce && waiting.size() == 1) {
                    memory.start(i);
                    started = true;
                }
            } else {
                memory.start(i);
                memory.end(i);
            }
        }
        return memory;
    }

    private void check(String what, Planned planned) {
        Memory expected = inOrder(planned);
        for (int order = 0; order < ORDERS; order++) {
            Memory actual = beside(planned, order < 2 ? 0 : random.nextDouble(), order % 2 == 0);
            for (int op = 0; op < planned.program.ops().size(); op++) {
                if (!expected.found.get(op).equals(actual.found.get(op))) {
                    assertEquals(
                            expected.found.get(op), actual.found.get(op), what + ", " + planned.program.describe(op));
                }
            }
            assertTrue(Arrays.equals(expected.gradients, actual.gradients), what);
        }
    }

    @Test
    void inAnyOrderThatTheWaitsAllowEachOperationFindsTheSame() {
        List<NetworkCase> cases = new ArrayList<>(NetworkCase.operations(random));
        cases.addAll(NetworkCase.networks(random));
        for (NetworkCase network : cases) {
            for (Set<Fusion> fusions : List.of(EnumSet.allOf(Fusion.class), EnumSet.noneOf(Fusion.class))) {
                for (int linger : new int[] {0, Branches.LINGER}) {
                    Planned planned = Planned.of(network.training(fusions), random.nextLong(), linger);
                    check("seed " + seed + ", " + network + ", lingering " + linger, planned);
                }
            }
        }
    }

    @Test
    void realNetworksToo() {
        for (RealNetwork network : RealNetwork.all().subList(0, 2)) {
            for (int linger : new int[] {0, Branches.LINGER}) {
                Program program = network.withBatch(2).program(EnumSet.allOf(Fusion.class));
                check("seed " + seed + ", " + network + ", lingering " + linger, Planned.of(program, seed, linger));
            }
        }
    }

    /** The waits are right without lingering, but then nothing would be left to run side by side. */
    @Test
    void leavesHaveTimeToRunBeside() {
        for (RealNetwork network : RealNetwork.all().subList(1, 3)) {
            Program program = network.program(EnumSet.allOf(Fusion.class));
            Planned lingering = Planned.of(program, seed, Branches.LINGER);
            Planned tight = Planned.of(program, seed, 0);
            String what = "seed " + seed + ", " + network + ": " + lingering.distances() + ", without lingering "
                    + tight.distances();
            assertTrue(lingering.distances().size() < lingering.leaves(), what);
            long hurried = lingering.distances().stream().filter(d -> d < 2).count();
            assertTrue(hurried <= lingering.leaves() / 4, what);
            assertTrue(lingering.plan.totalBytes() <= 1.005 * tight.plan.totalBytes(), what);
        }
    }

    @Test
    void inferenceHasNoLeaves() {
        Program program = NetworkCase.networks(random).get(0).inference(EnumSet.allOf(Fusion.class));
        assertFalse(Planned.of(program, seed, 1).branches.any());
    }
}
