package io.crescendo.schedule;

import static io.crescendo.schedule.TrainingPlan.batch;
import static io.crescendo.schedule.TrainingPlan.momentum;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.function.Executable;

/** Bad plans are refused with the value, the place and the fix. */
class TrainingPlanErrorsTest {
    private static final Schedule DECAY = Schedule.staircase(0.1, 0.2, 60, 120, 160);

    private static TrainingPlan plan(long samples) {
        return TrainingPlan.of(DECAY, batch(128), momentum(0.9)).forEpochs(200, samples);
    }

    private static DynamicTest refused(String name, Executable action, String... words) {
        return DynamicTest.dynamicTest(name, () -> {
            String message = String.valueOf(
                    assertThrows(IllegalArgumentException.class, action).getMessage());
            for (String word : words) {
                assertTrue(message.contains(word), () -> "'" + word + "' is missing in: " + message);
            }
        });
    }

    @TestFactory
    Stream<DynamicTest> refusals() {
        TrainingPlan plan = plan(50_000);
        TrainingPlan cosine = TrainingPlan.of(Schedule.cosine(0.1, 0, 10), batch(8), momentum(0))
                .forEpochs(10, 1000);
        return Stream.of(
                refused(
                        "batch above the data",
                        () -> plan(100),
                        "batch 128 at epoch 0 is larger",
                        "100 samples; use a smaller batch"),
                refused(
                        "a scaled batch above the data",
                        () -> plan.scaleLearningRate(500),
                        "batch 64000 at epoch 0 (128 before the learning rate was scaled by 500.0) is larger",
                        "50000 samples; change that less, or start from a smaller batch"),
                refused(
                        "a batch above the data by momentum",
                        () -> plan.withMomentum(0.9999),
                        "batch 128000 at epoch 0 (128 before momentum was raised from 0.9 to 0.9999)"),
                refused(
                        "a batch above the data by both",
                        () -> plan.scaleLearningRate(5).withMomentum(0.999),
                        "(128 before the learning rate was scaled by 5.0 and momentum was raised from 0.9 to 0.999)"),
                refused(
                        "a batch above the data in spite of a smaller scale",
                        () -> plan.scaleLearningRate(0.5).withMomentum(0.9999),
                        "batch 64000 at epoch 0 (128 before momentum was raised"),
                refused(
                        "growth above the data",
                        () -> plan(9000).growBatchInstead(20_000),
                        "16000",
                        "epoch 160",
                        "9000",
                        "cap its growth, at 900 samples"),
                refused(
                        "growth above the data from more than a tenth of it",
                        () -> plan(1000).growBatchInstead(20_000),
                        "batch 3200",
                        "cap its growth, at 128 samples"),
                refused("momentum 1", () -> momentum(1), "1.0", "[0, 1)"),
                refused("momentum negative", () -> plan.withMomentum(-0.1), "-0.1", "[0, 1)"),
                refused("momentum NaN", () -> plan.withMomentum(Double.NaN), "NaN"),
                refused(
                        "momentum schedule",
                        () -> TrainingPlan.of(DECAY, batch(8), Schedule.linear(0.5, 1.5, 10))
                                .forEpochs(20, 1000),
                        "epoch 5",
                        "[0, 1)"),
                refused(
                        "learning rate 0",
                        () -> TrainingPlan.of(Schedule.constant(0), batch(8), momentum(0))
                                .forEpochs(1, 1000),
                        "learning rate 0.0",
                        "positive"),
                refused(
                        "learning rate NaN",
                        () -> TrainingPlan.of(p -> Double.NaN, batch(8), momentum(0))
                                .forEpochs(1, 1000),
                        "NaN"),
                refused(
                        "warm-up from zero",
                        () -> TrainingPlan.of(Schedule.warmUp(0, 5, DECAY), batch(8), momentum(0))
                                .forEpochs(9, 1000),
                        "epoch 0",
                        "learning rate 0.0"),
                refused("a cosine that ends early", () -> cosine.forEpochs(12, 1000), "epoch 10", "learning rate 0.0"),
                refused("batch 0", () -> batch(0), "batch 0"),
                refused(
                        "batch schedule below 1",
                        () -> TrainingPlan.of(DECAY, Schedule.constant(0.5), momentum(0))
                                .forEpochs(1, 1000),
                        "batch 0.5"),
                refused("boundaries not increasing", () -> Schedule.staircase(1, 0.1, 30, 30), "[30.0, 30.0]"),
                refused("boundary at zero", () -> Schedule.staircase(1, 0.1, 0), "0.0"),
                refused("boundary NaN", () -> Schedule.staircase(1, 0.1, Double.NaN), "NaN"),
                refused("factor", () -> Schedule.staircase(1, -0.1, 3), "factor -0.1"),
                refused("infinite value", () -> Schedule.constant(Double.POSITIVE_INFINITY), "Infinity"),
                refused("epochs of a cosine", () -> Schedule.cosine(1, 0, 0), "epochs 0.0"),
                refused("epochs", () -> plan.forEpochs(0, 50_000), "epochs 0.0"),
                refused("samples", () -> plan.forEpochs(1, 0), "samplesPerEpoch 0"),
                refused("cap 0", () -> plan.growBatchInstead(0), "cap 0"),
                refused("cap 0 of a hybrid", () -> plan.hybrid(1, 0), "cap 0"),
                refused("cap below the first batch", () -> plan.growBatchInstead(64), "64", "128; raise the cap, or"),
                refused(
                        "cap below the scaled first batch",
                        () -> plan.scaleLearningRate(5).growBatchInstead(64),
                        "the cap of 64 samples is below the first batch of 640 (128 before the learning rate",
                        "raise the cap, change that less, or start from a smaller batch"),
                refused("quantum", () -> plan.quantum(0), "quantum 0"),
                refused("scale", () -> plan.scaleLearningRate(-5), "-5.0"),
                refused(
                        "hybrid of too many",
                        () -> plan.hybrid(4),
                        "first 4 decays",
                        "it has 3",
                        "[60.0, 120.0, 160.0]"),
                refused("hybrid of a cosine", () -> cosine.hybrid(1), "a smooth schedule has none"),
                refused("another clock", () -> plan.at(Progress.start(60_000)), "50000", "60000"),
                refused(
                        "straddling",
                        () -> plan.advance(new Progress(49_800, 0, 50_000), 300),
                        "300",
                        "200 left",
                        "straddle"),
                refused("noise scale", () -> new NoiseScale(0.1, 200, 0.9, 100), "200", "100"),
                refused("variant", () -> PlanVariant.named("growing"), "growing", "decaying, hybrid, increasing"));
    }

    @Test
    void aPlanWithoutALengthSaysHowToGetOne() {
        TrainingPlan open = TrainingPlan.of(DECAY, batch(128), momentum(0.9));
        assertEquals(128, open.at(Progress.start(50_000)).batch());
        String message = String.valueOf(
                assertThrows(IllegalStateException.class, open::updates).getMessage());
        assertTrue(message.contains("forEpochs"), message);
    }

    private static List<String> growing(Schedule learningRate, long cap, long quantum) {
        return TrainingPlan.of(learningRate, batch(32), momentum(0.9))
                .forEpochs(5, 8000)
                .quantum(quantum)
                .growBatchInstead(cap)
                .warnings();
    }

    @Test
    void aBatchThatNeverGrowsSaysWhy() {
        Schedule steps = Schedule.staircase(0.1, 0.2, 2, 3);
        assertEquals(List.of(), growing(steps, 800, 32));
        assertEquals(
                List.of("the batch never grows, because no multiple of the quantum 1000 lies above the first batch of"
                        + " 32 and not above the cap of 800"),
                growing(steps, 800, 1000));
        assertEquals(List.of("the batch never grows, because its cap is the first batch, 32"), growing(steps, 32, 1));
        assertEquals(
                List.of("the batch never grows, because the learning rate falls too little for a larger multiple of"
                        + " the quantum 32"),
                growing(Schedule.staircase(0.1, 0.9, 2), 800, 32));
        String never = "the batch never grows, because the learning rate never falls below what it was before, in the 5"
                + " epochs of training";
        assertEquals(List.of(never), growing(Schedule.constant(0.1), 800, 1));
        assertEquals(List.of(never), growing(Schedule.staircase(0.1, 2, 2), 800, 1));
        assertEquals(List.of(never), growing(Schedule.warmUp(0.001, 4, steps), 800, 1));
        assertEquals(
                List.of("the learning rate's step at epoch 7 never comes: it is behind the end at epoch 5", never),
                growing(Schedule.staircase(0.1, 0.2, 7), 800, 1));
        assertEquals(List.of(), growing(Schedule.cosine(0.1, 0.01, 5), 800, 1));
        // Only the growth that was asked for is missed.
        TrainingPlan decaying = TrainingPlan.of(Schedule.constant(0.1), batch(32), momentum(0.9));
        assertEquals(List.of(), decaying.forEpochs(5, 8000).warnings());
    }

    @Test
    void unwisePlansAreWarnedAboutAndOthersAreNot() {
        assertEquals(List.of(), plan(50_000).warnings());
        assertEquals(List.of(), plan(50_000).growBatchInstead(5000).warnings());
        List<String> beyond = plan(50_000).growBatchInstead(16_000).warnings();
        assertEquals(1, beyond.size(), beyond::toString);
        assertTrue(beyond.get(0).contains("16000") && beyond.get(0).contains("5000"), beyond::toString);
        // What does not grow cannot be capped, and a cap below the first batch would be refused.
        for (TrainingPlan large : List.of(plan(1000), plan(1000).growBatchInstead(500))) {
            assertTrue(
                    large.warnings().get(0).endsWith("; use a smaller batch"),
                    () -> large.warnings().toString());
        }
        List<String> wasteful = plan(20_000).growBatchInstead(16_000).warnings();
        assertEquals(2, wasteful.size(), wasteful::toString);
        assertTrue(wasteful.get(1).contains("4000 of 20000"), wasteful::toString);
        assertEquals(
                1,
                plan(20_000)
                        .growBatchInstead(16_000)
                        .ragged(RaggedEpoch.KEEP)
                        .warnings()
                        .size());
    }
}
