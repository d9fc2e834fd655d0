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
import io.crescendo.backend.UpdateRule;
import io.crescendo.data.Augmentation;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.RandomDataset;
import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.metrics.GradientNoiseRecord;
import io.crescendo.metrics.PhaseRecord;
import io.crescendo.metrics.RunSummary;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import io.crescendo.safetensors.SafetensorsFile;
import io.crescendo.schedule.RaggedEpoch;
import io.crescendo.schedule.Schedule;
import io.crescendo.schedule.TrainingPlan;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A run that was cut in two gives the same numbers as one that was not, to the last bit. */
class CheckpointTest {
    private static final TrainingOptions OPTIONS = new TrainingOptions(4, 0.1, Long.MAX_VALUE, 0.5, 7, 2);

    @TempDir
    Path folder;

    /** Batches 8, 32 and 40 from epochs 0, 2 and 3 on; an epoch of the first is 12 updates with a ragged one. */
    private static TrainingPlan plan(double rate) {
        return plan(rate, 0.9);
    }

    private static TrainingPlan plan(double rate, double momentum) {
        return TrainingPlan.of(
                        Schedule.staircase(rate, 1.0 / 4, 2, 3), TrainingPlan.batch(8), TrainingPlan.momentum(momentum))
                .forEpochs(4, ToyRun.TRAINING.size())
                .ragged(RaggedEpoch.KEEP)
                .growBatchInstead(40);
    }

    private static Trainer trainer(Backend backend, Optimizer optimizer) {
        TrainingPlan plan = plan(0.1, optimizer.rule() instanceof UpdateRule.Sgd ? 0 : 0.9);
        return new Trainer(
                backend,
                ToyRun.network(),
                plan,
                optimizer,
                ToyRun.TRAINING,
                ToyRun.TEST,
                new Augmentation(true, 1),
                OPTIONS);
    }

    /** Everything that a run says and is, timings aside. */
    private record Trace(List<Object> records, List<List<Double>> numbers, List<Object> summary) {}

    private static final class Recorder implements TrainingListener {
        private final List<Object> records = new ArrayList<>();
        private final Trainer trainer;
        private final long stopAt;

        Recorder(Trainer trainer, long stopAt) {
            this.trainer = trainer;
            this.stopAt = stopAt;
        }

        @Override
        public void phaseStarted(PhaseRecord phase) {
            records.add(List.of("phase", phase.update(), phase.batch(), phase.microBatch(), phase.learningRate()));
        }

        @Override
        public void updated(UpdateRecord r) {
            records.add(List.of(
                    r.update(),
                    r.samples(),
                    r.epoch(),
                    r.batch(),
                    r.loss(),
                    r.accuracy(),
                    r.learningRate(),
                    r.workspaceBytes()));
            if (r.update() == stopAt) {
                trainer.stop();
            }
        }

        @Override
        public void gradientNoiseMeasured(GradientNoiseRecord noise) {
            records.add(noise);
        }

        @Override
        public void evaluated(EvaluationRecord evaluation) {
            records.add(evaluation);
        }
    }

    private static List<Double> read(DeviceMemory memory) {
        double[] values = new double[Math.toIntExact(memory.elements())];
        memory.read(0, values);
        return java.util.Arrays.stream(values).boxed().toList();
    }

    private static Trace run(Trainer trainer, long stopAt) {
        Recorder recorder = new Recorder(trainer, stopAt);
        trainer.listen(recorder);
        RunSummary s = trainer.run("test");
        return new Trace(
                recorder.records,
                List.of(read(trainer.model().weights()), read(trainer.model().statistics())),
                List.of(
                        s.epochs(),
                        s.updates(),
                        s.trainLoss(),
                        s.testLoss(),
                        s.testAccuracy(),
                        s.peakWorkspaceBytes()));
    }

    private void checkResumedRuns(Supplier<Backend> open, Optimizer optimizer) throws IOException {
        Trace whole;
        try (Backend backend = open.get();
                Trainer trainer = trainer(backend, optimizer)) {
            whole = run(trainer, Long.MAX_VALUE);
        }
        assertEquals(plan(0.1).updates(), whole.summary.get(1));
        // In the first update, inside an epoch, before and after an evaluation, at the ragged end, around both switches
        // of the batch, and after the last update.
        for (long stopAt :
                new long[] {1, 5, 6, 12, 13, 23, 24, 25, 27, 28, plan(0.1).updates()}) {
            Path own = Files.createDirectory(folder.resolve(stopAt + "-" + open.hashCode() + optimizer.hashCode()));
            try (Backend backend = open.get();
                    Trainer trainer = trainer(backend, optimizer)) {
                trainer.saveTo(CheckpointFolder.of(own));
                run(trainer, stopAt);
            }
            Path file = new CheckpointFolder(own, 0).files().get(0);
            try (Backend backend = open.get();
                    Trainer trainer = trainer(backend, optimizer)) {
                Checkpoint checkpoint = Checkpoint.read(file);
                trainer.resume(checkpoint);
                Trace rest = run(trainer, Long.MAX_VALUE);
                String what = "stopped at " + stopAt + ", " + backend.description();
                assertEquals(whole.numbers, rest.numbers, what);
                assertEquals(whole.summary, rest.summary, what);
                assertEquals(
                        whole.records.subList(whole.records.size() - rest.records.size(), whole.records.size()),
                        rest.records,
                        what);
                long updates = rest.records.stream()
                        .filter(r -> r instanceof List<?> l && l.size() == 8)
                        .count();
                assertEquals(plan(0.1).updates() - checkpoint.updates(), updates, what);
            }
        }
    }

    /** In the third phase, whose batch of 40 samples is half an epoch with another 40 and a ragged end of 10. */
    @Test
    void aRunThatGoesOnInOtherPiecesAnnouncesThem() throws IOException {
        List<PhaseRecord> phases = new ArrayList<>();
        for (double share : new double[] {1, 0.6}) {
            long budget =
                    share == 1 ? Long.MAX_VALUE : (long) (share * phases.get(2).workspaceBytes());
            phases.clear();
            try (Backend backend = Backends.open("reference", BackendOptions.DEFAULT);
                    Trainer trainer = new Trainer(
                            backend,
                            ToyRun.network(),
                            plan(0.1),
                            Optimizer.momentum(1e-3),
                            ToyRun.TRAINING,
                            ToyRun.TEST,
                            Augmentation.NONE,
                            OPTIONS.withMemoryBudget(budget))) {
                if (share < 1) {
                    trainer.resume(
                            Checkpoint.read(CheckpointFolder.of(folder).files().get(0)));
                }
                trainer.saveTo(CheckpointFolder.of(folder));
                trainer.listen(new TrainingListener() {
                    @Override
                    public void phaseStarted(PhaseRecord phase) {
                        phases.add(phase);
                    }

                    @Override
                    public void updated(UpdateRecord update) {
                        if (update.update() == 28) {
                            trainer.stop();
                        }
                    }
                });
                trainer.run("test");
            }
        }
        assertEquals(1, phases.size());
        assertEquals(40, phases.get(0).batch());
        assertTrue(
                phases.get(0).microBatches() > 1
                        || !phases.get(0).recomputation().equals("none"),
                phases.toString());
    }

    @Test
    void aResumedRunContinuesBitwise() throws IOException {
        Supplier<Backend> reference = () -> Backends.open("reference", BackendOptions.DEFAULT);
        checkResumedRuns(reference, Optimizer.momentum(1e-3));
        checkResumedRuns(reference, Optimizer.adamW(1e-2));
        checkResumedRuns(reference, Optimizer.sgd(0));
    }

    @Test
    void aResumedRunContinuesBitwiseOnADeviceThatAnswersLater() throws IOException {
        checkResumedRuns(() -> new DelayedBackend(3), Optimizer.nesterov(1e-3));
    }

    @Test
    void checkpointsComeAsOftenAsAskedAndTheNewestTwoStay() throws IOException {
        List<List<String>> seen = new ArrayList<>();
        try (Backend backend = Backends.open("reference", BackendOptions.DEFAULT);
                Trainer trainer = trainer(backend, Optimizer.sgd(0))) {
            CheckpointFolder checkpoints = new CheckpointFolder(folder, 0.75);
            trainer.saveTo(checkpoints);
            trainer.listen(new TrainingListener() {
                @Override
                public void updated(UpdateRecord update) {
                    try {
                        List<String> names = checkpoints.files().stream()
                                .map(f -> String.valueOf(f.getFileName()).replaceAll("\\D", ""))
                                .toList();
                        if (seen.isEmpty() || !seen.get(seen.size() - 1).equals(names)) {
                            seen.add(names);
                        }
                    } catch (IOException e) {
                        throw new java.io.UncheckedIOException(e);
                    }
                }
            });
            trainer.run("test");
            assertEquals(
                    List.of(checkpoints.file(29), checkpoints.file(30)), checkpoints.files(), "the end is saved too");
        }
        // The first updates that reach epochs 0.75, 1.5, 2.25, 3 and 3.75: samples 67.5, 135, 202.5, 270 and 337.5.
        assertEquals(
                List.of(
                        List.of(),
                        List.of("00000009"),
                        List.of("00000009", "00000018"),
                        List.of("00000018", "00000025"),
                        List.of("00000025", "00000027"),
                        List.of("00000027", "00000029")),
                seen);
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(2, files.count(), "nothing else is left");
        }
    }

    @Test
    void weightsHaveReadableNamesAndTheModelsValues() throws IOException {
        try (Backend backend = Backends.open("reference", BackendOptions.DEFAULT);
                Trainer trainer = trainer(backend, Optimizer.adam(0))) {
            trainer.saveTo(CheckpointFolder.of(folder));
            run(trainer, 3);
            try (SafetensorsFile file = SafetensorsFile.open(new CheckpointFolder(folder, 0).file(3))) {
                List<String> names = List.copyOf(file.tensors().keySet());
                assertTrue(
                        names.containsAll(List.of(
                                "conv.weight",
                                "logits.bias",
                                "norm.running_mean",
                                "optimizer.0.conv.weight",
                                "optimizer.1.logits.bias")),
                        names.toString());
                double[] saved = new double[5 * 2 * 3 * 3];
                file.read("conv.weight", saved);
                double[] living = new double[saved.length];
                trainer.model().weights().read(0, living);
                assertArrayEquals(living, saved);
                assertEquals("toy", file.metadata().get("model"));
            }
        }
    }

    @Test
    void theCheckpointOfAnotherRunIsRefusedByItsDifference() throws IOException {
        try (Backend backend = Backends.open("reference", BackendOptions.DEFAULT);
                Trainer trainer = trainer(backend, Optimizer.momentum(1e-3))) {
            trainer.saveTo(CheckpointFolder.of(folder));
            run(trainer, 2);
        }
        Augmentation augmentation = new Augmentation(true, 1);
        Optimizer momentum = Optimizer.momentum(1e-3);
        refused(
                "plan is '0.0,2.0,8,0.1,",
                ToyRun.network(),
                plan(0.2),
                momentum,
                ToyRun.TRAINING,
                augmentation,
                OPTIONS);
        refused(
                "network is 'operation 0, Conv2d",
                ToyRun.network(6, 0.2),
                plan(0.1),
                momentum,
                ToyRun.TRAINING,
                augmentation,
                OPTIONS);
        refused(
                "rate 0.2', this run's is '",
                ToyRun.network(5, 0.3),
                plan(0.1),
                momentum,
                ToyRun.TRAINING,
                augmentation,
                OPTIONS);
        Optimizer nesterov = Optimizer.nesterov(1e-3);
        refused(
                "Momentum[]', this run's is 'Nesterov[]",
                ToyRun.network(),
                plan(0.1),
                nesterov,
                ToyRun.TRAINING,
                augmentation,
                OPTIONS);
        Optimizer decay = Optimizer.momentum(2e-3);
        refused("weight decay is '0.001", ToyRun.network(), plan(0.1), decay, ToyRun.TRAINING, augmentation, OPTIONS);
        Dataset other = new RandomDataset(90, 3, new ImageShape(2, 6, 5), 12);
        refused("normalization", ToyRun.network(), plan(0.1), momentum, other, augmentation, OPTIONS);
        refused("augmentation", ToyRun.network(), plan(0.1), momentum, ToyRun.TRAINING, Augmentation.NONE, OPTIONS);
        refused(
                "seed is '7'",
                ToyRun.network(),
                plan(0.1),
                momentum,
                ToyRun.TRAINING,
                augmentation,
                OPTIONS.withSeed(8));
        refused(
                "ghost batch is '4'",
                ToyRun.network(),
                plan(0.1),
                momentum,
                ToyRun.TRAINING,
                augmentation,
                OPTIONS.withGhostBatch(8));
    }

    private void refused(
            String complaint,
            Network network,
            TrainingPlan plan,
            Optimizer optimizer,
            Dataset training,
            Augmentation augmentation,
            TrainingOptions options)
            throws IOException {
        Path file = new CheckpointFolder(folder, 0).file(2);
        Checkpoint checkpoint = Checkpoint.read(file);
        try (Backend backend = Backends.open("reference", BackendOptions.DEFAULT);
                Trainer trainer =
                        new Trainer(backend, network, plan, optimizer, training, ToyRun.TEST, augmentation, options)) {
            List<Double> before = read(trainer.model().weights());
            IllegalArgumentException refusal =
                    assertThrows(IllegalArgumentException.class, () -> trainer.resume(checkpoint));
            String message = String.valueOf(refusal.getMessage());
            assertTrue(message.startsWith(file.toString()) && message.contains(complaint), complaint + ": " + message);
            assertEquals(before, read(trainer.model().weights()), "nothing was changed");
        }
    }

    @Test
    void aFileThatIsNoCheckpointIsRefused() throws IOException {
        Path file = folder.resolve("checkpoint-00000001.safetensors");
        Files.writeString(file, "not at all");
        assertThrows(IOException.class, () -> Checkpoint.read(file));
        try (io.crescendo.safetensors.SafetensorsWriter writer = io.crescendo.safetensors.SafetensorsWriter.create(
                file, java.util.Map.of("format", "other"), List.of())) {
            writer.commit();
        }
        String message = String.valueOf(assertThrows(IllegalArgumentException.class, () -> Checkpoint.read(file))
                .getMessage());
        assertTrue(message.contains("not a checkpoint"), message);
    }
}
