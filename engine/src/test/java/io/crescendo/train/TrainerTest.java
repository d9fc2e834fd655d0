package io.crescendo.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.DelayedBackend;
import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.ForwardingBackend;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.data.Augmentation;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.RandomDataset;
import io.crescendo.metrics.GradientNoiseMean;
import io.crescendo.metrics.GradientNoiseRecord;
import io.crescendo.metrics.PhaseRecord;
import io.crescendo.metrics.RunSummary;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.optim.Optimizer;
import io.crescendo.schedule.RaggedEpoch;
import io.crescendo.schedule.Schedule;
import io.crescendo.schedule.TrainingPlan;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.junit.jupiter.api.Test;

/** Whole runs of the training loop on the reference backend, where a sum is a sum. */
class TrainerTest {
    private static TrainingPlan plan(RaggedEpoch ragged) {
        return TrainingPlan.of(
                        Schedule.staircase(0.1, 1.0 / 4, 2, 3), TrainingPlan.batch(8), TrainingPlan.momentum(0.9))
                .forEpochs(4, ToyRun.TRAINING.size())
                .ragged(ragged)
                .growBatchInstead(40);
    }

    private static ToyRun train(TrainingPlan plan, TrainingOptions options) {
        return ToyRun.train(Backends.open("reference", BackendOptions.DEFAULT), plan, options);
    }

    private static Trainer trainer(Backend backend, TrainingPlan plan, Optimizer optimizer, Dataset training) {
        return new Trainer(
                backend,
                ToyRun.network(),
                plan,
                optimizer,
                training,
                ToyRun.TEST,
                Augmentation.NONE,
                TrainingOptions.DEFAULT);
    }

    @Test
    void makesExactlyTheUpdatesThePlanPredictsAndLearns() {
        for (RaggedEpoch ragged : RaggedEpoch.values()) {
            TrainingPlan plan = plan(ragged);
            ToyRun run = train(plan, TrainingOptions.DEFAULT.withGhostBatch(4));
            assertEquals(plan.updates(), run.updates().size());
            assertEquals(plan.updates(), run.summary().updates());
            assertEquals(
                    List.of(8, 32, 40),
                    run.phases().stream().map(PhaseRecord::batch).toList());
            assertEquals(4, run.evaluations().size());
            assertTrue(
                    run.summary().trainLoss() < run.updates().get(0).loss(),
                    "loss went from " + run.updates().get(0).loss() + " to "
                            + run.summary().trainLoss());
            for (UpdateRecord update : run.updates()) {
                double noiseScale = update.learningRate() * ToyRun.TRAINING.size() / (update.batch() * (1 - 0.9));
                assertEquals(noiseScale, update.noiseScale(), 1e-12 * noiseScale, "of the samples it really has");
            }
            long samples = run.updates().stream().mapToLong(UpdateRecord::batch).sum();
            assertTrue(ragged == RaggedEpoch.DROP ? samples < 360 : samples == 360, ragged + " trained on " + samples);
        }
    }

    /** The last 2 of 90 samples fill no batch of 8, and the batch grows just before them and again just behind. */
    @Test
    void aPhaseOfOneRaggedUpdateIsAnnounced() {
        TrainingPlan plan = TrainingPlan.of(
                        Schedule.staircase(0.1, 1.0 / 4, 0.97, 1), TrainingPlan.batch(8), TrainingPlan.momentum(0.9))
                .forEpochs(2, ToyRun.TRAINING.size())
                .ragged(RaggedEpoch.KEEP)
                .growBatchInstead(40);
        ToyRun run = train(plan, TrainingOptions.DEFAULT.withGhostBatch(4));
        assertEquals(
                List.of(8, 2, 40), run.phases().stream().map(PhaseRecord::batch).toList());
        assertEquals(
                List.of(0L, 11L, 12L),
                run.phases().stream().map(PhaseRecord::update).toList());
        assertEquals(run.updates().get(11).noiseScale(), run.phases().get(1).noiseScale());
    }

    @Test
    void aBatchThatNeverComesWholeTakesNoMemory() {
        TrainingPlan decaying = TrainingPlan.of(
                        Schedule.staircase(0.1, 1.0 / 5, 0.97), TrainingPlan.batch(8), TrainingPlan.momentum(0.9))
                .forEpochs(1, ToyRun.TRAINING.size())
                .ragged(RaggedEpoch.KEEP);
        TrainingOptions options = TrainingOptions.DEFAULT.withGhostBatch(4);
        ToyRun growing = train(decaying.growBatchInstead(40), options);
        assertEquals(2, growing.updates().get(growing.updates().size() - 1).batch());
        assertEquals(
                train(decaying, options).summary().peakWorkspaceBytes(),
                growing.summary().peakWorkspaceBytes());
    }

    @Test
    void aMemoryBudgetThatForcesMicroBatchesChangesNothing() {
        TrainingPlan plan = plan(RaggedEpoch.KEEP);
        TrainingOptions options = TrainingOptions.DEFAULT.withGhostBatch(4);
        ToyRun whole = train(plan, options);
        long needed = whole.phases().get(2).workspaceBytes();
        for (double share : new double[] {0.6, 0.35, 0.2}) {
            ToyRun split = train(plan, options.withMemoryBudget((long) (needed * share)));
            assertTrue(split.phases().get(2).microBatches() > 1, "a share of " + share + " should force a split");
            assertTrue(split.summary().peakWorkspaceBytes() <= needed * share);
            // The reference backend adds samples in the same order either way, in double; weights are read as float.
            assertArrayEquals(whole.weights().array(), split.weights().array(), 1e-6f);
            for (int i = 0; i < whole.updates().size(); i++) {
                assertEquals(
                        whole.updates().get(i).loss(), split.updates().get(i).loss(), 1e-9);
            }
        }
    }

    @Test
    void measuringTheNoiseOfSplitUpdatesChangesNoBit() {
        // The first phase's batch is one ghost batch, which cannot be halved; the budget splits the others anyway.
        TrainingPlan plan = plan(RaggedEpoch.DROP);
        TrainingOptions options = TrainingOptions.DEFAULT.withGhostBatch(8);
        long needed = train(plan, options).phases().get(2).workspaceBytes();
        TrainingOptions tight = options.withMemoryBudget((long) (needed * 0.45));
        ToyRun silent = train(plan, tight);
        ToyRun measured = train(plan, tight.withGradientNoise(1));
        assertArrayEquals(silent.weights().array(), measured.weights().array());
        assertEquals(untimed(silent), untimed(measured));
        assertEquals(List.of(), silent.noise());
        assertEquals(
                silent.updates().stream()
                        .filter(update -> update.microBatches() > 1)
                        .map(UpdateRecord::update)
                        .toList(),
                measured.noise().stream().map(GradientNoiseRecord::update).toList());
        assertTrue(
                measured.noise().size() >= 4
                        && measured.noise().size() < measured.updates().size(),
                "some are split");
    }

    @Test
    void batchesThatRunWholeAreHalvedWhereTheirNoiseIsMeasured() {
        TrainingPlan plan = plan(RaggedEpoch.KEEP);
        TrainingOptions options = TrainingOptions.DEFAULT.withGhostBatch(4);
        ToyRun whole = train(plan, options);
        ToyRun measured = train(plan, options.withGradientNoise(3));
        // The reference backend adds samples in the same order either way, in double; weights are read as float.
        assertArrayEquals(whole.weights().array(), measured.weights().array(), 1e-6f);
        for (UpdateRecord update : measured.updates()) {
            boolean due = update.update() % 3 == 1 && update.batch() > 4;
            assertEquals(due ? 2 : 1, update.microBatches(), "update " + update.update());
            assertTrue(update.microBatch() == update.batch() || update.microBatch() % 4 == 0, "whole ghost batches");
        }
        assertEquals(
                measured.updates().stream()
                        .filter(update -> update.microBatches() == 2)
                        .map(UpdateRecord::update)
                        .toList(),
                measured.noise().stream().map(GradientNoiseRecord::update).toList());
        GradientNoiseMean mean = GradientNoiseMean.NONE;
        for (GradientNoiseRecord record : measured.noise()) {
            mean = mean.with(record.estimate());
            assertEquals(mean, record.mean());
            assertEquals(2, record.microBatches());
            assertTrue(Double.isFinite(record.estimate().variance()), "finite");
        }
        assertTrue(mean.variance() > 0, "random images have different gradients");
        DelayedBackend late = new DelayedBackend(3);
        assertEquals(
                measured.noise(),
                ToyRun.train(late, plan, options.withGradientNoise(3)).noise());
    }

    @Test
    void oneSeedGivesOneResultAndAnotherSeedAnother() {
        TrainingPlan plan = plan(RaggedEpoch.DROP);
        TrainingOptions options = TrainingOptions.DEFAULT.withGhostBatch(4);
        ToyRun first = train(plan, options);
        ToyRun again = train(plan, options);
        ToyRun other = train(plan, options.withSeed(2));
        assertArrayEquals(first.weights().array(), again.weights().array());
        assertEquals(first.summary().testLoss(), again.summary().testLoss());
        assertTrue(first.summary().trainLoss() != other.summary().trainLoss());
    }

    @Test
    void aDeviceThatAnswersLaterGivesTheSameRecords() {
        TrainingPlan plan = plan(RaggedEpoch.KEEP);
        TrainingOptions options = TrainingOptions.DEFAULT.withGhostBatch(4);
        ToyRun atOnce = train(plan, options);
        for (int delay : new int[] {0, 1, 3, 1000}) {
            DelayedBackend backend = new DelayedBackend(delay);
            ToyRun later = ToyRun.train(backend, plan, options);
            assertArrayEquals(atOnce.weights().array(), later.weights().array(), "delay " + delay);
            assertEquals(untimed(atOnce), untimed(later), "delay " + delay);
            assertEquals(atOnce.summary().trainLoss(), later.summary().trainLoss(), "delay " + delay);
            assertEquals(0, backend.underWay(), "delay " + delay);
            // With a short delay only the four evaluations wait, each for at most so many updates.
            assertTrue(delay > PendingUpdates.MOST || backend.waits() <= 4 * delay, delay + ": " + backend.waits());
        }
    }

    @Test
    void theHostIsNeverFarAheadOfTheDevice() {
        DelayedBackend backend = new DelayedBackend(1000);
        long[] most = {0};
        try (backend;
                Trainer trainer = trainer(backend, plan(RaggedEpoch.DROP), Optimizer.momentum(0), ToyRun.TRAINING)) {
            trainer.listen(new TrainingListener() {
                @Override
                public void updated(UpdateRecord update) {
                    most[0] = Math.max(most[0], backend.underWay());
                }
            });
            trainer.run("late");
        }
        assertEquals(PendingUpdates.MOST, most[0]);
    }

    @Test
    void aDivergingRunOnADeviceThatAnswersLaterStopsWithTheSameMessageAndWeights() {
        TrainingPlan plan = TrainingPlan.of(Schedule.constant(1e30), TrainingPlan.batch(30), TrainingPlan.momentum(0.9))
                .forEpochs(4, ToyRun.TRAINING.size());
        Diverged atOnce = diverge(Backends.open("reference", BackendOptions.DEFAULT), plan);
        for (int delay : new int[] {0, 1, 2, 1000}) {
            Diverged later = diverge(new DelayedBackend(delay), plan);
            assertEquals(atOnce.message, later.message, "delay " + delay);
            assertEquals(atOnce.records, later.records, "delay " + delay);
            assertArrayEquals(atOnce.weights, later.weights, "delay " + delay);
        }
    }

    /** The loss is fine all along: the second NaN comes right before an evaluation, which looks at the loss alone. */
    @Test
    void aGradientThatIsNotFiniteStopsTheRunAndNamesTheUpdate() {
        TrainingPlan plan = TrainingPlan.of(Schedule.constant(0.01), TrainingPlan.batch(30), TrainingPlan.momentum(0.9))
                .forEpochs(2, ToyRun.TRAINING.size());
        int updatesOfEpoch = Math.toIntExact((ToyRun.TRAINING.size() + 29) / 30);
        for (int broken : new int[] {2, updatesOfEpoch}) {
            String message = diverge(new NonFiniteGradient(broken), plan).message;
            int named = broken == updatesOfEpoch ? broken : broken + 1;
            assertTrue(message.contains("a gradient") && message.contains("at update " + named + " "), message);
        }
    }

    /** One gradient of one update becomes NaN. */
    private static final class NonFiniteGradient extends ForwardingBackend {
        private final int broken;

        NonFiniteGradient(int broken) {
            this.broken = broken;
        }

        @Override
        public UpdateKernel prepareUpdate(
                UpdateRule rule, ModelMemory model, ParameterPack parameters, Predicate<Parameter> decayed) {
            UpdateKernel kernel = super.prepareUpdate(rule, model, parameters, decayed);
            return new UpdateKernel() {
                @Override
                public void apply(UpdateScalars scalars) {
                    if (scalars.update() == broken) {
                        model.gradients().write(0, new float[] {Float.NaN});
                    }
                    kernel.apply(scalars);
                }

                @Override
                public List<DeviceMemory> state() {
                    return kernel.state();
                }

                @Override
                public void close() {
                    kernel.close();
                }
            };
        }
    }

    @SuppressWarnings("ArrayRecordComponent") // compared by assertArrayEquals
    private record Diverged(String message, int records, float[] weights) {}

    private static Diverged diverge(Backend opened, TrainingPlan plan) {
        int[] records = {0};
        try (Backend backend = opened;
                Trainer trainer = trainer(backend, plan, Optimizer.momentum(1e-3), ToyRun.TRAINING)) {
            trainer.listen(new TrainingListener() {
                @Override
                public void updated(UpdateRecord update) {
                    records[0]++;
                }
            });
            NonFiniteLossException stop = assertThrows(NonFiniteLossException.class, () -> trainer.run("diverging"));
            float[] weights =
                    new float[Math.toIntExact(trainer.model().weights().elements())];
            trainer.model().weights().read(0, weights);
            return new Diverged(String.valueOf(stop.getMessage()), records[0], weights);
        }
    }

    private static List<UpdateRecord> untimed(ToyRun run) {
        return run.updates().stream()
                .map(r -> new UpdateRecord(
                        r.update(),
                        r.samples(),
                        r.epoch(),
                        r.batch(),
                        r.microBatch(),
                        r.microBatches(),
                        r.learningRate(),
                        r.momentum(),
                        r.noiseScale(),
                        r.loss(),
                        r.accuracy(),
                        0,
                        r.workspaceBytes()))
                .toList();
    }

    @Test
    void aDivergingRunStopsAndSaysWhere() {
        TrainingPlan plan = TrainingPlan.of(Schedule.constant(1e30), TrainingPlan.batch(30), TrainingPlan.momentum(0.9))
                .forEpochs(4, ToyRun.TRAINING.size());
        String message =
                String.valueOf(assertThrows(NonFiniteLossException.class, () -> train(plan, TrainingOptions.DEFAULT))
                        .getMessage());
        assertTrue(message.contains("at update ") && message.contains("learning rate 1.0E30"), message);
    }

    @Test
    void stopEndsTheRunAfterThePresentUpdateAndARunCannotBeRepeated() {
        try (Backend backend = Backends.open("reference", BackendOptions.DEFAULT);
                Trainer trainer = trainer(backend, plan(RaggedEpoch.KEEP), Optimizer.momentum(1e-3), ToyRun.TRAINING)) {
            trainer.listen(new TrainingListener() {
                @Override
                public void updated(UpdateRecord update) {
                    if (update.update() == 3) {
                        trainer.stop();
                    }
                }
            });
            RunSummary summary = trainer.run("stopped");
            assertEquals(3, summary.updates());
            assertEquals(24.0 / ToyRun.TRAINING.size(), summary.epochs());
            assertTrue(Double.isFinite(summary.testLoss()), "evaluated once more at the end");
            assertThrows(IllegalStateException.class, () -> trainer.run("again"));
        }
    }

    private static String refusal(Optimizer optimizer, Dataset training) {
        return refusal(plan(RaggedEpoch.DROP), optimizer, training);
    }

    private static String refusal(TrainingPlan plan, Optimizer optimizer, Dataset training) {
        try (Backend backend = Backends.open("reference", BackendOptions.DEFAULT)) {
            return String.valueOf(
                    assertThrows(IllegalArgumentException.class, () -> trainer(backend, plan, optimizer, training))
                            .getMessage());
        }
    }

    @Test
    void aMomentumThatTheOptimizerLacksIsRefused() {
        String message = refusal(Optimizer.sgd(0), ToyRun.TRAINING);
        assertTrue(message.contains("momentum 0.9") && message.contains("momentum(0)"), message);
        // The last of 12 updates begins after 11/12 of the four epochs.
        Map<Schedule, String> rising = Map.of(
                TrainingPlan.momentum(0).then(2, TrainingPlan.momentum(0.9)),
                "momentum 0.9,",
                Schedule.linear(0, 0.95, 4),
                "momentum 0.87083");
        rising.forEach((momentum, named) -> {
            TrainingPlan later = TrainingPlan.of(Schedule.constant(0.1), TrainingPlan.batch(30), momentum)
                    .forEpochs(4, ToyRun.TRAINING.size());
            String refused = refusal(later, Optimizer.sgd(0), ToyRun.TRAINING);
            assertTrue(refused.contains(named), refused + " should contain " + named);
        });
    }

    @Test
    void mismatchedDataAreNamed() {
        String message = refusal(Optimizer.momentum(0), new RandomDataset(90, 3, new ImageShape(2, 6, 9), 11));
        assertTrue(message.contains("2x6x9"), message);
    }
}
