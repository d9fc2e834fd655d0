package io.crescendo.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.backend.Feed;
import io.crescendo.backend.NetworkCase;
import io.crescendo.backend.Rig;
import io.crescendo.backend.StepMetrics;
import io.crescendo.memory.Recomputation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Computing forward results again for the backward pass never changes a bit. */
class RecomputingTest {
    /** Everything a training run leaves. */
    private record Result(List<Double> gradients, List<Double> statistics, StepMetrics.Sums sums) {}

    @Test
    void everyWayGivesTheSameBits() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        int repeated = 0;
        for (NetworkCase network : cases(random)) {
            for (Set<Fusion> fusions : List.of(EnumSet.allOf(Fusion.class), EnumSet.noneOf(Fusion.class))) {
                Program program = network.training(fusions);
                Feed feed = Rig.feed(random, network, network.batch());
                long weightSeed = random.nextLong();
                Result kept = run(program, feed, weightSeed);
                List<Set<Integer>> releases = new ArrayList<>();
                Recomputation.ways(program).forEach(way -> releases.add(way.released()));
                releases.add(subset(program, random, 2));
                releases.add(subset(program, random, Integer.MAX_VALUE)); // everything
                for (Set<Integer> released : releases) {
                    Program rewritten = program.recomputing(released);
                    repeated += rewritten.ops().size() - program.ops().size();
                    Result again = run(rewritten, feed, weightSeed);
                    String what = "seed " + seed + ": " + network + " releasing " + released + "\n" + rewritten.dump();
                    assertEquals(kept, again, what);
                }
            }
        }
        assertTrue(repeated > 100, "only " + repeated + " operations were repeated: the check above tests nothing");
    }

    @Test
    void theLossIsNeverRepeated() {
        NetworkCase network = NetworkCase.networks(new Random(1)).get(0);
        Program program = network.training(Set.of());
        String message = String.valueOf(assertThrows(
                        IllegalArgumentException.class, () -> program.recomputing(Set.of(program.forwardOps() - 1)))
                .getMessage());
        assertTrue(message.contains("SoftmaxCrossEntropy"), message);
    }

    private static List<NetworkCase> cases(Random random) {
        List<NetworkCase> cases = new ArrayList<>(NetworkCase.operations(random));
        cases.addAll(NetworkCase.networks(random));
        return cases;
    }

    /** One in so many forward operations but the loss, or all of them. */
    private static Set<Integer> subset(Program program, Random random, int oneIn) {
        Set<Integer> released = new HashSet<>();
        for (int i = 0; i < program.forwardOps(); i++) {
            boolean chosen = oneIn == Integer.MAX_VALUE || random.nextInt(oneIn) == 0;
            if (chosen && !(program.ops().get(i) instanceof Op.SoftmaxCrossEntropy)) {
                released.add(i);
            }
        }
        return released;
    }

    private static Result run(Program program, Feed feed, long weightSeed) {
        // Poisoned: a value that is read after its memory was given away is NaN.
        try (ReferenceBackend backend = new ReferenceBackend(EnumSet.allOf(Fusion.class), true);
                Rig rig = new Rig(backend, program, weightSeed)) {
            rig.executable.run(feed);
            return new Result(
                    boxed(ReferenceMemory.of(rig.model.gradients()).values()),
                    boxed(ReferenceMemory.of(rig.model.statistics()).values()),
                    backend.metrics().read());
        }
    }

    private static List<Double> boxed(double[] values) {
        return Arrays.stream(values).boxed().toList();
    }
}
