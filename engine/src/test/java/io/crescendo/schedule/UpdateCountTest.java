package io.crescendo.schedule;

import static io.crescendo.schedule.TrainingPlan.batch;
import static io.crescendo.schedule.TrainingPlan.momentum;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;

/** The predicted count is the performed one, whatever the plan. */
class UpdateCountTest {

    /** What happens when training by the rules, stated once more without any of the plan's own walking. */
    private record Simulated(long updates, Set<Long> sizes) {
        static Simulated of(TrainingPlan plan, RaggedEpoch ragged) {
            long samplesPerEpoch = plan.samplesPerEpoch();
            long samples = 0;
            long updates = 0;
            Set<Long> sizes = new LinkedHashSet<>();
            while ((double) samples / samplesPerEpoch < plan.epochs()) {
                long batch = plan.at(new Progress(samples, 0, samplesPerEpoch)).batch();
                long left = samplesPerEpoch - samples % samplesPerEpoch;
                if (batch > left && ragged == RaggedEpoch.DROP) {
                    samples += left;
                    continue;
                }
                long size = Math.min(batch, left);
                sizes.add(size);
                samples += size;
                updates++;
            }
            return new Simulated(updates, sizes);
        }
    }

    @RepeatedTest(300)
    void countsAndSizesEqualABruteForceSimulation() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        TrainingPlan plan = RandomPlans.converted(random, RandomPlans.stated(random));
        for (RaggedEpoch ragged : RaggedEpoch.values()) {
            Simulated expected = Simulated.of(plan, ragged);
            String message = "seed " + seed + " " + ragged;
            PlanTable table = plan.table(ragged);
            assertEquals(expected.updates, plan.updates(ragged), message);
            assertEquals(expected.updates, table.updates(), message);
            assertEquals(
                    expected.updates,
                    table.rows().stream().mapToLong(PlanRow::updates).sum(),
                    message);
            assertEquals(List.copyOf(expected.sizes), plan.ragged(ragged).distinctBatches(), message);
        }
    }

    @RepeatedTest(50)
    void theTrainersLoopPerformsThePredictedCount() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        TrainingPlan plan = RandomPlans.converted(random, RandomPlans.stated(random));
        Progress now = plan.start();
        while (!plan.finished(now)) {
            PlannedUpdate update = plan.nextUpdate(now);
            assertEquals(plan.at(now), update.phase(), "seed " + seed);
            assertTrue(update.samples() <= now.samplesLeftInEpoch(), () -> "straddles an epoch, seed " + seed);
            assertTrue(
                    plan.raggedEpoch() == RaggedEpoch.KEEP || !update.ragged(),
                    () -> "DROP has full batches only, seed " + seed);
            now = plan.advance(now, update.samples());
        }
        assertEquals(plan.updates(), now.updates(), "seed " + seed);
        assertTrue(now.epochs() >= plan.epochs(), () -> "the clock reaches the end, seed " + seed);
    }

    @RepeatedTest(50)
    void tableRowsJoinAndSayWhatThePlanSays() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        TrainingPlan plan = RandomPlans.converted(random, RandomPlans.stated(random));
        double end = 0;
        for (PlanRow row : plan.table().rows()) {
            assertEquals(end, row.firstEpoch(), "seed " + seed);
            assertTrue(row.lastEpoch() > row.firstEpoch(), () -> "seed " + seed);
            Phase phase = plan.at(Progress.atEpoch(row.firstEpoch(), plan.samplesPerEpoch()));
            assertEquals(new Phase(row.batch(), row.learningRate(), row.momentum()), phase, "seed " + seed);
            end = row.lastEpoch();
        }
        assertEquals(plan.epochs(), end, "seed " + seed);
    }

    @RepeatedTest(50)
    void theExactCountOfAStaircaseLiesBetweenDropAndKeep() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        int epochs = 4 + random.nextInt(20);
        long samples = 500L + random.nextInt(5000);
        long batch = 1L + random.nextInt(40);
        TrainingPlan plan = TrainingPlan.of(Schedule.staircase(0.1, 0.3, 2, 3), batch(batch), momentum(0.9))
                .growBatchInstead(batch * 7)
                .forEpochs(epochs, samples);
        double expected = 0;
        for (int epoch = 0; epoch < epochs; epoch++) {
            expected +=
                    (double) samples / plan.at(Progress.atEpoch(epoch, samples)).batch();
        }
        // Sums of a few dozen doubles in another order.
        assertEquals(expected, plan.exactUpdates(), 1e-9 * expected, "seed " + seed);
        assertTrue(plan.updates(RaggedEpoch.DROP) <= expected, () -> "seed " + seed);
        assertTrue(plan.updates(RaggedEpoch.KEEP) >= expected, () -> "seed " + seed);
    }

    @Test
    void aBillionSamplesAreCountedByDivision() {
        long samples = 1_000_000_007;
        TrainingPlan plan = TrainingPlan.of(Schedule.staircase(0.1, 0.2, 60, 120.5, 160), batch(128), momentum(0.9))
                .growBatchInstead(16_000)
                .forEpochs(200, samples);
        // The epoch with the boundary half-way: updates of 640 that begin before it, then 3200.
        long half = (samples + 1) / 2;
        long before = (half + 639) / 640;
        long expected = 60 * (samples / 128)
                + 60 * (samples / 640)
                + before
                + (samples - before * 640) / 3200
                + 39 * (samples / 3200)
                + 40 * (samples / 16_000);
        assertEquals(expected, plan.updates(RaggedEpoch.DROP));
        // A cosine whose batch stays is counted by division too: it would take 1.6 billion steps otherwise.
        TrainingPlan smooth = TrainingPlan.of(Schedule.cosine(0.1, 0, 200), batch(128), momentum(0.9))
                .forEpochs(200, samples);
        assertEquals(200 * (samples / 128 + 1), smooth.updates(RaggedEpoch.KEEP));
    }

    @Test
    void aFractionalBoundaryTakesEffectAtTheFirstUpdateAtOrAfterIt() {
        TrainingPlan plan = TrainingPlan.of(Schedule.staircase(1, 0.5, 1.5), batch(30), momentum(0))
                .growBatchInstead(60)
                .forEpochs(2, 100);
        // Epoch 1 begins at sample 100: updates at 100, 130 < 150, then 160 with the grown batch does not fit.
        assertEquals(60, plan.at(new Progress(150, 0, 100)).batch());
        assertEquals(30, plan.at(new Progress(149, 0, 100)).batch());
        assertEquals(3 + 2, plan.updates(RaggedEpoch.DROP));
        assertEquals(4 + 3, plan.updates(RaggedEpoch.KEEP));
        assertEquals(List.of(30L), plan.ragged(RaggedEpoch.DROP).distinctBatches());
        assertEquals(List.of(30L, 10L, 40L), plan.ragged(RaggedEpoch.KEEP).distinctBatches());
    }

    @Test
    void aRunThatWasLeftInsideADroppedRestResumesAtTheNextEpoch() {
        TrainingPlan plan =
                TrainingPlan.of(Schedule.constant(0.1), batch(30), momentum(0)).forEpochs(2, 100);
        Progress inRest = new Progress(90, 3, 100);
        assertFalse(plan.finished(inRest));
        assertEquals(30, plan.nextUpdate(inRest).samples());
        assertEquals(new Progress(130, 4, 100), plan.advance(inRest, 30));
        assertTrue(plan.finished(new Progress(190, 6, 100)));
        assertThrows(IllegalArgumentException.class, () -> plan.nextUpdate(new Progress(190, 6, 100)));
    }
}
