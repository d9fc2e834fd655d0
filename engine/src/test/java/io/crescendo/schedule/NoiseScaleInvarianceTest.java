package io.crescendo.schedule;

import static io.crescendo.schedule.TrainingPlan.batch;
import static io.crescendo.schedule.TrainingPlan.momentum;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** Conversions keep g = εN/(B(1−m)) at every update. */
class NoiseScaleInvarianceTest {
    /** Some ten double operations per side err by about 1e-15; a whole batch may be taken at 1e-12 from it. */
    private static final double RELATIVE = 2e-12;

    private static void assertSameNoise(TrainingPlan stated, TrainingPlan converted, Supplier<String> message) {
        Progress now = converted.start();
        while (!converted.finished(now)) {
            double expected = stated.noiseScale(now).approximate();
            assertEquals(expected, converted.noiseScale(now).approximate(), RELATIVE * expected, message);
            now = converted.advance(now, converted.nextUpdate(now).samples());
        }
    }

    @RepeatedTest(100)
    void everyConversionOfEveryPlanKeepsTheNoiseScale() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        TrainingPlan stated = RandomPlans.stated(random);
        assertSameNoise(stated, RandomPlans.converted(random, stated), () -> "seed " + seed);
    }

    @TestFactory
    Stream<DynamicTest> smoothSchedulesGrowInMultiplesOfTheQuantum() {
        record Case(String name, Schedule learningRate) {}
        return Stream.of(
                        new Case("cosine", Schedule.cosine(0.1, 0, 20)),
                        new Case("linear", Schedule.linear(0.1, 0.0001, 20)),
                        new Case("exponential", Schedule.exponential(0.1, 0.7)),
                        new Case("polynomial", Schedule.polynomial(0.1, 0, 2, 20)),
                        new Case("own", progress -> 0.1 / (1 + progress.epochs())))
                .map(each -> DynamicTest.dynamicTest(each.name, () -> {
                    TrainingPlan stated = TrainingPlan.of(each.learningRate, batch(24), momentum(0.9))
                            .forEpochs(20, 5003);
                    TrainingPlan growing = stated.growBatchInstead(500).quantum(16);
                    assertSameNoise(stated, growing, () -> each.name);
                    long previous = 24;
                    for (PlanRow row : growing.table().rows()) {
                        assertTrue(row.batch() == 24 || row.batch() % 16 == 0, row::toString);
                        assertTrue(row.batch() >= previous && row.batch() <= 500, row::toString);
                        assertTrue(
                                row.learningRate() <= 0.1 * (1 + 1e-12), "the learning rate exceeds its peak: " + row);
                        previous = row.batch();
                    }
                    assertTrue(growing.distinctBatches().size() > 4, "the batch grows");
                    assertTrue(growing.updates() < stated.updates());
                }));
    }

    @Test
    void atTheCapTheLearningRateDecaysAgain() {
        TrainingPlan stated = TrainingPlan.of(Schedule.exponential(0.1, 0.5), batch(10), momentum(0.9))
                .forEpochs(10, 1000);
        TrainingPlan growing = stated.growBatchInstead(40);
        // 2^-3 of the noise with a batch 4 times as large leaves half the learning rate.
        assertEquals(40, growing.at(Progress.atEpoch(3, 1000)).batch());
        assertEquals(0.05, growing.at(Progress.atEpoch(3, 1000)).learningRate(), 0.05 * RELATIVE);
        assertEquals(0.025, growing.at(Progress.atEpoch(4, 1000)).learningRate(), 0.025 * RELATIVE);
    }

    @Test
    void byDefaultASmoothScheduleVisitsMultiplesOfTheFirstBatch() {
        TrainingPlan plan = TrainingPlan.of(Schedule.linear(0.1, 0.001, 10), batch(32), momentum(0.9))
                .growBatchInstead(160)
                .forEpochs(10, 4000);
        assertEquals(List.of(32L, 64L, 96L, 128L, 160L), plan.distinctBatches());
    }

    @Test
    void withoutACapInWordsTheBatchGrowsToATenthOfTheTrainingSet() {
        TrainingPlan plan = TrainingPlan.of(Schedule.staircase(0.1, 0.2, 60, 120, 160), batch(128), momentum(0.9))
                .growBatchInstead()
                .forEpochs(200, 50_000);
        assertEquals(List.of(128L, 640L, 3200L, 5000L), plan.distinctBatches());
    }

    @RepeatedTest(20)
    void conversionsCommute() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        TrainingPlan stated = TrainingPlan.of(
                        RandomPlans.learningRate(random, 10), batch(1L + random.nextInt(20)), momentum(0.8))
                .forEpochs(10, 4000);
        TrainingPlan one = stated.growBatchInstead(333)
                .withMomentum(0.9)
                .scaleLearningRate(1.5)
                .quantum(7);
        TrainingPlan other =
                stated.quantum(7).scaleLearningRate(1.5).growBatchInstead(333).withMomentum(0.9);
        assertEquals(one.table(), other.table(), "seed " + seed);
    }

    @Test
    void hybridTurnsTheFirstDecaysIntoGrowth() {
        TrainingPlan stated = TrainingPlan.of(Schedule.staircase(0.1, 0.2, 1, 2, 3), batch(10), momentum(0.9))
                .forEpochs(4, 20_000);
        TrainingPlan two = stated.hybrid(2);
        assertEquals(List.of(10L, 50L, 250L), two.distinctBatches());
        assertEquals(0.1, two.at(Progress.atEpoch(2, 20_000)).learningRate(), 1e-15);
        assertEquals(0.02, two.at(Progress.atEpoch(3, 20_000)).learningRate(), 1e-15);
        assertEquals(stated.table(), stated.hybrid(0).table());
        assertEquals(stated.growBatchInstead(1250).table(), stated.hybrid(3).table());
        assertSameNoise(stated, two, () -> "hybrid(2)");
    }

    /** The batch that growth at all decays would lead to is no concern of a plan that grows at the first of them. */
    @Test
    void hybridMayHaveACapAboveTheTrainingSet() {
        TrainingPlan stated = TrainingPlan.of(Schedule.staircase(0.1, 0.2, 1, 2, 3), batch(10), momentum(0.9))
                .forEpochs(4, 1000);
        assertThrows(IllegalArgumentException.class, () -> stated.growBatchInstead(2000), "1250 at the end");
        TrainingPlan hybrid = PlanVariant.HYBRID.of(stated, 2000);
        assertEquals(List.of(10L, 50L), hybrid.distinctBatches());
        assertEquals(hybrid.table(), stated.hybrid(1, 50).table());
        assertEquals(List.of(10L, 40L), stated.hybrid(1, 40).distinctBatches());
        assertSameNoise(stated, stated.hybrid(1, 40), () -> "hybrid(1, 40)");
    }

    @Test
    void aSchedulesHighestPointCountsEvenIfItLiesBetweenItsBoundaries() {
        Schedule warmedCosine = Schedule.linear(0.01, 0.1, 2).then(2, Schedule.cosine(0.1, 0, 8));
        TrainingPlan plan = TrainingPlan.of(warmedCosine, batch(16), momentum(0.9))
                .growBatchInstead(160)
                .forEpochs(10, 1600);
        assertEquals(16, plan.at(Progress.atEpoch(1, 1600)).batch());
        // Half-way down the cosine: the double of the batch at the peak's learning rate.
        assertEquals(32, plan.at(Progress.atEpoch(6, 1600)).batch());
        assertEquals(0.1, plan.at(Progress.atEpoch(6, 1600)).learningRate(), 0.1 * RELATIVE);
    }

    @Test
    void exactAndApproximateNoiseScaleDifferByTheShareOfTheBatch() {
        NoiseScale g = new NoiseScale(0.1, 128, 0.9, 50_000);
        assertEquals(390.625, g.approximate(), 390.625 * RELATIVE);
        assertEquals(g.approximate() * (1 - 128.0 / 50_000), g.exact(), g.exact() * RELATIVE);
        assertEquals(0, new NoiseScale(0.1, 50_000, 0.9, 50_000).exact());
    }

    @Test
    void theNoiseScaleIsTheStationaryVarianceOnAQuadratic() {
        // w <- w - ε v, v <- m v + (w + noise of variance s/B): var(w) = ε s / (2 B (1-m)) for small ε.
        long seed = new Random().nextLong();
        double[] variances = new double[2];
        Phase[] phases = {new Phase(10, 0.01, 0.9), new Phase(40, 0.02, 0.8)};
        double[] expected = new double[2];
        for (int i = 0; i < 2; i++) {
            Random random = new Random(seed + i);
            Phase phase = phases[i];
            double w = 0;
            double v = 0;
            double sum = 0;
            int updates = 2_000_000;
            for (int update = 0; update < updates; update++) {
                double gradient = w + random.nextGaussian() / Math.sqrt((double) phase.batch());
                v = phase.momentum() * v + gradient;
                w -= phase.learningRate() * v;
                sum += w * w;
            }
            variances[i] = sum / updates;
            expected[i] = phase.noiseScale(1000).approximate() / (2 * 1000);
        }
        for (int i = 0; i < 2; i++) {
            // w forgets in about (1-m)/ε = 10 updates, so 1e5 independent values: 0.5 % deviation; the small-ε form
            // is off by about ε/(2(1-m)) = 5 %. Ten percent covers both, and a wrong power of B, ε or 1-m does not fit.
            assertEquals(expected[i], variances[i], 0.1 * expected[i], "seed " + seed);
        }
    }
}
