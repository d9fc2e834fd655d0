package io.crescendo.models;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.Recomputation;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.nn.Network;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Every network of this module fits its workspace at every batch: what is wasted is memory that a batch could use. */
class WorkspaceTest {
    private static final double MOST_WASTE = 1.03;

    private static final List<Network> ZOO = List.of(
            FashionCnn.of(1, 28, 28, 10),
            WideResNet.of(10, 1, 1, 28, 28, 10),
            WideResNet.of(16, 4, 3, 32, 32, 10),
            WideResNet.of(28, 10, 3, 32, 32, 100));

    private static final List<Network> LARGE_IMAGES =
            List.of(ResNet50.of(3, 224, 224, 1000), InceptionResNetV2.of(3, 299, 299, 1000));

    /**
     * Bytes as on a device: every convolution asks for scratch memory that grows with its output, and a weight gradient
     * may wait in two bytes an element until the end.
     */
    private record Sizes(Program program, double scratchShare, boolean holds) implements MemoryRequirements {
        @Override
        public long bytes(Value value) {
            return value.bytes();
        }

        @Override
        public long scratchBytes(int opIndex) {
            Op op = program.ops().get(opIndex);
            return op instanceof Op.Conv2d || op instanceof Op.Conv2dInputGradient
                    ? (long) (scratchShare * op.outputs().get(0).bytes())
                    : 0;
        }

        @Override
        public long heldBytes(int opIndex) {
            return holds && program.ops().get(opIndex) instanceof Op.Conv2dWeightGradient gradient
                    ? Short.BYTES * gradient.weightGradient().shape().elements()
                    : 0;
        }

        @Override
        public boolean mayOverwrite(int opIndex, Value input) {
            return true;
        }
    }

    @Test
    void plansStayWithinThreePerCentOfTheBoundAtEveryBatch() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        for (Network network : ZOO) {
            for (int batch = 1; batch <= 16_384; batch = batch * 3 / 2 + 1 + random.nextInt(batch)) {
                checkAllForms(network, batch, seed, random);
            }
        }
    }

    /** Up to two thousand operations: fewer batches, one of them odd, one as large as anyone's memory. */
    @Test
    void networksForLargeImagesStayWithinThreePerCentToo() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        for (Network network : LARGE_IMAGES) {
            for (int batch : new int[] {1, 3 + 2 * random.nextInt(100), 256 + random.nextInt(256)}) {
                checkAllForms(network, batch, seed, random);
            }
        }
    }

    /** Recomputation is a trade, so a way that costs more must need less. */
    @Test
    void laterWaysToRecomputeLargeNetworksCostMoreAndNeedLess() {
        for (Network network : LARGE_IMAGES) {
            for (Set<Fusion> fusions : List.of(EnumSet.allOf(Fusion.class), EnumSet.noneOf(Fusion.class))) {
                Program program = network.trainingProgram(33, 32, 0, fusions);
                long least = Long.MAX_VALUE;
                double time = 0;
                for (Recomputation way : Recomputation.ways(program)) {
                    String what = network.name() + (fusions.isEmpty() ? " unfused, " : " fused, ") + way.name();
                    Program recomputing = way.of(program);
                    long bytes = WorkspacePlanner.plan(recomputing, new Sizes(recomputing, 0, false))
                            .totalBytes();
                    assertTrue(bytes < least, what + ": " + bytes + " bytes, before it " + least);
                    assertTrue(way.extraTime() >= time && way.extraTime() < 0.5, what + ": " + way.extraTime());
                    least = bytes;
                    time = way.extraTime();
                }
            }
        }
    }

    private static void checkAllForms(Network network, int batch, long seed, Random random) {
        for (Set<Fusion> fusions : List.of(EnumSet.allOf(Fusion.class), EnumSet.noneOf(Fusion.class))) {
            int ghostBatch = 1 + random.nextInt(256);
            Program program = network.trainingProgram(batch, ghostBatch, 0, fusions);
            double scratch = random.nextInt(3) * random.nextDouble();
            boolean holds = random.nextBoolean();
            String what = "seed " + seed + ", " + network.name() + ", batch " + batch + ", ghost batch " + ghostBatch
                    + ", scratch " + scratch + (fusions.isEmpty() ? ", unfused" : ", fused")
                    + (holds ? ", holding" : "");
            for (Recomputation way : Recomputation.ways(program)) {
                check(what + ", recomputing " + way.name(), way.of(program), scratch, holds);
            }
            check(what + ", inference", network.inferenceProgram(batch, 0, fusions), scratch, holds);
        }
    }

    private static void check(String what, Program program, double scratch, boolean holds) {
        WorkspacePlan plan = WorkspacePlanner.plan(program, new Sizes(program, scratch, holds));
        double ratio = (double) plan.totalBytes() / plan.lowerBoundBytes();
        assertTrue(ratio >= 1 && ratio <= MOST_WASTE, what + ": " + ratio);
    }
}
