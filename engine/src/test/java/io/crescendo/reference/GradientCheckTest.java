package io.crescendo.reference;

import static org.junit.jupiter.api.Assertions.fail;

import io.crescendo.autograd.Fusion;
import io.crescendo.backend.Feed;
import io.crescendo.backend.NetworkCase;
import io.crescendo.backend.Rig;
import io.crescendo.tensor.Parameter;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Every operation and fused form against differences of the loss, in double precision. */
class GradientCheckTest {
    /**
     * A difference of step h is wrong by about h²·L''' (1e-10 for the largest step) plus 1e-16·L/h of rounding (1e-8
     * for the smallest, with a loss around ten): 1e-6 leaves two digits to spare, and any wrong factor is far larger.
     */
    private static final double TOLERANCE = 1e-6;

    /** A kink (ReLU, a maximum) within a step spoils that difference; a smaller step or the other side misses it. */
    private static final double[] STEPS = {1e-5, 1e-6, 1e-7};

    private static final int ELEMENTS_PER_PARAMETER = 10;

    @TestFactory
    List<DynamicTest> gradientsAreDifferencesOfTheLoss() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        List<NetworkCase> cases = new ArrayList<>(NetworkCase.operations(random));
        cases.addAll(NetworkCase.networks(random));
        List<DynamicTest> tests = new ArrayList<>();
        for (NetworkCase network : cases) {
            for (Set<Fusion> fusions : List.of(EnumSet.allOf(Fusion.class), EnumSet.noneOf(Fusion.class))) {
                long caseSeed = random.nextLong();
                tests.add(DynamicTest.dynamicTest(
                        network + (fusions.isEmpty() ? " unfused" : " fused"),
                        () -> check(network, fusions, new Random(caseSeed), "seed " + seed)));
            }
        }
        return tests;
    }

    private static void check(NetworkCase network, Set<Fusion> fusions, Random random, String seed) {
        try (ReferenceBackend backend = new ReferenceBackend(fusions, true)) {
            Rig rig = new Rig(backend, network.training(fusions), random.nextLong());
            Feed feed = Rig.feed(random, network, network.batch());
            double[] weights = ReferenceMemory.of(rig.model.weights()).values();
            backend.metrics().clear();
            rig.executable.run(feed);
            double loss = backend.metrics().read().loss();
            double[] gradients =
                    ReferenceMemory.of(rig.model.gradients()).values().clone();
            for (Parameter parameter : rig.program.parameters().parameters()) {
                int length = (int) parameter.shape().elements();
                for (int i = 0; i < Math.min(length, ELEMENTS_PER_PARAMETER); i++) {
                    int at = (int) parameter.offset() + (length <= ELEMENTS_PER_PARAMETER ? i : random.nextInt(length));
                    if (!agrees(backend, rig, feed, weights, at, gradients[at], loss)) {
                        fail(seed + ": " + network + ", " + Rig.where(rig.program.parameters(), at) + ": gradient "
                                + gradients[at] + ", central difference "
                                + (lossAt(backend, rig, feed, weights, at, 1e-6)
                                                - lossAt(backend, rig, feed, weights, at, -1e-6))
                                        / 2e-6
                                + "\n" + rig.program.dump());
                    }
                }
            }
        }
    }

    private static boolean agrees(
            ReferenceBackend backend, Rig rig, Feed feed, double[] weights, int at, double gradient, double loss) {
        for (double h : STEPS) {
            double up = lossAt(backend, rig, feed, weights, at, h);
            double down = lossAt(backend, rig, feed, weights, at, -h);
            double farUp = lossAt(backend, rig, feed, weights, at, 2 * h);
            double farDown = lossAt(backend, rig, feed, weights, at, -2 * h);
            double bound = TOLERANCE * Math.max(1, Math.abs(gradient));
            if (Math.abs((up - down) / (2 * h) - gradient) < bound
                    || Math.abs((4 * up - 3 * loss - farUp) / (2 * h) - gradient) < bound
                    || Math.abs((3 * loss - 4 * down + farDown) / (2 * h) - gradient) < bound) {
                return true;
            }
        }
        return false;
    }

    private static double lossAt(ReferenceBackend backend, Rig rig, Feed feed, double[] weights, int at, double step) {
        double before = weights[at];
        weights[at] = before + step;
        backend.metrics().clear();
        rig.executable.run(feed);
        weights[at] = before;
        return backend.metrics().read().loss();
    }
}
