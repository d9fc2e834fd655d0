package io.crescendo.schedule;

import static io.crescendo.schedule.TrainingPlan.batch;
import static io.crescendo.schedule.TrainingPlan.momentum;
import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** Every schedule of the paper's CIFAR-10 and ImageNet experiments, made by conversion, every count to the update. */
class PaperTablesTest {
    private static final long CIFAR = 50_000;
    private static final long IMAGE_NET = 1_281_167;

    /** A handful of double operations separate the stated and the converted value; 1e-12 leaves room for thousands. */
    private static final double RELATIVE = 1e-12;

    private record Row(double epoch, double learningRate, long batch) {}

    private static Row at(double epoch, double learningRate, long batch) {
        return new Row(epoch, learningRate, batch);
    }

    private static TrainingPlan cifar() {
        return TrainingPlan.of(Schedule.staircase(0.1, 1.0 / 5, 60, 120, 160), batch(128), momentum(0.9))
                .forEpochs(200, CIFAR);
    }

    private static TrainingPlan inception() {
        return TrainingPlan.of(Schedule.staircase(3.0, 0.1, 30, 60, 80), batch(8192), momentum(0.9))
                .forEpochs(90, IMAGE_NET);
    }

    private static TrainingPlan resNet50() {
        Schedule decay = Schedule.staircase(0.1 * 8192 / 256, 0.1, 30, 60, 80);
        return TrainingPlan.of(Schedule.warmUp(0.1, 5, decay), batch(8192), momentum(0.9))
                .forEpochs(90, IMAGE_NET);
    }

    private static DynamicTest phases(String name, TrainingPlan plan, double momentum, Row... expected) {
        return DynamicTest.dynamicTest(name, () -> {
            PlanTable table = plan.table(RaggedEpoch.DROP);
            assertEquals(expected.length, table.rows().size(), table::text);
            for (int i = 0; i < expected.length; i++) {
                PlanRow row = table.rows().get(i);
                assertEquals(expected[i].epoch, row.firstEpoch(), table::text);
                assertEquals(expected[i].batch, row.batch(), table::text);
                assertEquals(
                        expected[i].learningRate, row.learningRate(), RELATIVE * expected[i].learningRate, table::text);
                assertEquals(momentum, row.momentum(), table::text);
                double g = expected[i].learningRate * plan.samplesPerEpoch() / (expected[i].batch * (1 - momentum));
                assertEquals(g, row.noiseScale(), RELATIVE * g, table::text);
            }
        });
    }

    private static DynamicTest counts(String name, TrainingPlan plan, long floor, double exact, long ceil) {
        return DynamicTest.dynamicTest(
                name + " counts",
                () -> assertAll(
                        () -> assertEquals(floor, plan.updates(RaggedEpoch.DROP)),
                        () -> assertEquals(exact, plan.exactUpdates(), RELATIVE * exact),
                        () -> assertEquals(ceil, plan.updates(RaggedEpoch.KEEP)),
                        () -> assertEquals(floor, plan.table(RaggedEpoch.DROP).updates()),
                        () -> assertEquals(ceil, plan.table(RaggedEpoch.KEEP).updates())));
    }

    @TestFactory
    Stream<DynamicTest> cifar10ThreeSchedules() {
        TrainingPlan decaying = PlanVariant.DECAYING.of(cifar(), 16_000);
        TrainingPlan hybrid = PlanVariant.HYBRID.of(cifar(), 16_000);
        TrainingPlan increasing = PlanVariant.INCREASING.of(cifar(), 16_000);
        return Stream.of(
                phases(
                        "decaying",
                        decaying,
                        0.9,
                        at(0, .1, 128),
                        at(60, .02, 128),
                        at(120, .004, 128),
                        at(160, .0008, 128)),
                counts("decaying", decaying, 78_000, 78_125, 78_200),
                phases("hybrid", hybrid, 0.9, at(0, .1, 128), at(60, .1, 640), at(120, .02, 640), at(160, .004, 640)),
                counts("hybrid", hybrid, 34_320, 34_375, 34_520),
                phases(
                        "increasing",
                        increasing,
                        0.9,
                        at(0, .1, 128),
                        at(60, .1, 640),
                        at(120, .1, 3200),
                        at(160, .1, 16_000)),
                counts("increasing", increasing, 28_800, 28_875, 29_000));
    }

    @TestFactory
    Stream<DynamicTest> cifar10EffectiveLearningRate() {
        TrainingPlan increasing = cifar().growBatchInstead(5120);
        TrainingPlan learningRate = increasing.scaleLearningRate(5);
        TrainingPlan momentum = learningRate.withMomentum(0.98);
        return Stream.of(
                counts("original", cifar(), 78_000, 78_125, 78_200),
                phases(
                        "increasing batch size",
                        increasing,
                        0.9,
                        at(0, .1, 128),
                        at(60, .1, 640),
                        at(120, .1, 3200),
                        at(160, .032, 5120)),
                counts("increasing batch size", increasing, 29_040, 29_140.625, 29_240),
                phases(
                        "increased initial learning rate",
                        learningRate,
                        0.9,
                        at(0, .5, 640),
                        at(60, .5, 3200),
                        at(120, .16, 5120),
                        at(160, .032, 5120)),
                counts("increased initial learning rate", learningRate, 6300, 6406.25, 6500),
                phases(
                        "increased momentum coefficient",
                        momentum,
                        0.98,
                        at(0, .5, 3200),
                        at(60, .16, 5120),
                        at(120, .032, 5120),
                        at(160, .0064, 5120)),
                counts("increased momentum coefficient", momentum, 2160, 2304.6875, 2360));
    }

    @Test
    void allEffectiveLearningRatesStartAtTheSameRatio() {
        TrainingPlan momentum =
                cifar().withMomentum(0.98).growBatchInstead(5120).scaleLearningRate(5);
        Phase first = momentum.at(momentum.start());
        assertEquals(0.0078125, first.learningRate() / (first.batch() * (1 - first.momentum())), 0.0078125 * RELATIVE);
    }

    @TestFactory
    Stream<DynamicTest> imageNetInceptionResNetV2() {
        TrainingPlan increasing = inception().growBatchInstead(81_920);
        TrainingPlan momentum90 = inception().growBatchInstead(65_536);
        TrainingPlan momentum95 = momentum90.withMomentum(0.95);
        TrainingPlan momentum975 = momentum90.withMomentum(0.975);
        return Stream.of(
                phases(
                        "decaying",
                        inception(),
                        .9,
                        at(0, 3, 8192),
                        at(30, .3, 8192),
                        at(60, .03, 8192),
                        at(80, .003, 8192)),
                floor("decaying", inception(), 14_040),
                phases(
                        "increasing",
                        increasing,
                        .9,
                        at(0, 3, 8192),
                        at(30, 3, 81_920),
                        at(60, .3, 81_920),
                        at(80, .03, 81_920)),
                floor("increasing", increasing, 5580),
                phases(
                        "momentum .9",
                        momentum90,
                        .9,
                        at(0, 3, 8192),
                        at(30, 2.4, 65_536),
                        at(60, .24, 65_536),
                        at(80, .024, 65_536)),
                floor("momentum .9", momentum90, 5820),
                phases(
                        "momentum .95",
                        momentum95,
                        .95,
                        at(0, 3, 16_384),
                        at(30, 1.2, 65_536),
                        at(60, .12, 65_536),
                        at(80, .012, 65_536)),
                floor("momentum .95", momentum95, 3480),
                phases(
                        "momentum .975",
                        momentum975,
                        .975,
                        at(0, 3, 32_768),
                        at(30, .6, 65_536),
                        at(60, .06, 65_536),
                        at(80, .006, 65_536)),
                floor("momentum .975", momentum975, 2310));
    }

    @TestFactory
    Stream<DynamicTest> imageNetResNet50() {
        TrainingPlan growing = resNet50().growBatchInstead(16_384);
        TrainingPlan doubled = resNet50().scaleLearningRate(2);
        return Stream.of(
                phases(
                        "constant batch",
                        resNet50(),
                        .9,
                        at(0, .1, 8192),
                        at(5, 3.2, 8192),
                        at(30, .32, 8192),
                        at(60, .032, 8192),
                        at(80, .0032, 8192)),
                floor("constant batch", resNet50(), 14_040),
                phases(
                        "doubled at epoch 30",
                        growing,
                        .9,
                        at(0, .1, 8192),
                        at(5, 3.2, 8192),
                        at(30, .64, 16_384),
                        at(60, .064, 16_384),
                        at(80, .0064, 16_384)),
                floor("doubled at epoch 30", growing, 9360),
                phases(
                        "doubled throughout",
                        doubled,
                        .9,
                        at(0, .2, 16_384),
                        at(5, 6.4, 16_384),
                        at(30, .64, 16_384),
                        at(60, .064, 16_384),
                        at(80, .0064, 16_384)),
                floor("doubled throughout", doubled, 7020));
    }

    private static DynamicTest floor(String name, TrainingPlan plan, long expected) {
        return DynamicTest.dynamicTest(name + " count", () -> assertEquals(expected, plan.updates(RaggedEpoch.DROP)));
    }

    @Test
    void warmUpRaisesTheLearningRateOnALineAndLeavesTheBatch() {
        TrainingPlan plan = resNet50().growBatchInstead(16_384);
        Phase middle = plan.at(Progress.atEpoch(2.5, IMAGE_NET));
        assertEquals(8192, middle.batch());
        // Half a sample of rounding in 2.5 epochs of 1,281,167 samples moves the line by 2e-7 of its height.
        assertEquals((0.1 + 3.2) / 2, middle.learningRate(), 1e-6);
    }

    @Test
    void distinctBatchesAreThosePreparedAhead() {
        TrainingPlan plan = cifar().growBatchInstead(5120);
        assertArrayEquals(
                new long[] {128, 640, 3200, 5120},
                plan.distinctBatches().stream().mapToLong(size -> size).toArray());
        // 50,000 leaves 80 over both 128 and 640.
        assertArrayEquals(
                new long[] {128, 80, 640, 3200, 2000, 5120, 3920},
                plan.ragged(RaggedEpoch.KEEP).distinctBatches().stream()
                        .mapToLong(size -> size)
                        .toArray());
    }
}
