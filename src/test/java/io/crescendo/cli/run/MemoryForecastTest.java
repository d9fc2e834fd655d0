package io.crescendo.cli.run;

import static io.crescendo.schedule.TrainingPlan.batch;
import static io.crescendo.schedule.TrainingPlan.momentum;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.cli.config.ConfigSource;
import io.crescendo.cli.config.RunConfig;
import io.crescendo.data.Augmentation;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.RandomDataset;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.nn.BatchNorm;
import io.crescendo.nn.Dense;
import io.crescendo.nn.Layer;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import io.crescendo.schedule.PlanVariant;
import io.crescendo.schedule.RaggedEpoch;
import io.crescendo.schedule.Schedule;
import io.crescendo.schedule.TrainingPlan;
import io.crescendo.train.StepPlan;
import io.crescendo.train.Trainer;
import io.crescendo.train.TrainingListener;
import io.crescendo.train.TrainingOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MemoryForecastTest {
    private static final int SAMPLES = 801;
    private static final int GHOST_BATCH = 4;

    /** Batches of all sizes from 4 to 80, some cut short by epochs' ends. */
    @Test
    void batchesOfASmoothPlanRunAsForecast(@TempDir Path folder) throws IOException {
        RunConfig config = ConfigSource.of(null, Files.writeString(folder.resolve("smooth.yaml"), """
                dataset: fashion-mini
                epochs: 2
                batch: 4
                ghostBatch: 4
                quantum: 1
                ragged: keep
                learningRate: {schedule: exponential, initial: 0.01, factor: 0.2}
                """))
                .load();
        TrainingPlan plan = config.plan(PlanVariant.INCREASING, SAMPLES);
        Network network =
                new Network("small", 1, 2, 2, 3, Layer.sequence(new BatchNorm("norm"), new Dense("logits", 3)));
        List<UpdateRecord> updates = new ArrayList<>();
        long peakBytes;
        try (Backend backend = Backends.open("reference", BackendOptions.DEFAULT)) {
            Dataset data = new RandomDataset(SAMPLES, 3, new ImageShape(1, 2, 2), 7);
            TrainingOptions options = TrainingOptions.DEFAULT.withGhostBatch(GHOST_BATCH);
            try (Trainer trainer = new Trainer(
                    backend, network, plan, Optimizer.momentum(0), data, data, Augmentation.NONE, options)) {
                trainer.listen(new TrainingListener() {
                    @Override
                    public void updated(UpdateRecord update) {
                        updates.add(update);
                    }
                });
                peakBytes = trainer.run("increasing").peakWorkspaceBytes();
            }
            try (MemoryForecast forecast = new MemoryForecast(backend, network, config, Long.MAX_VALUE)) {
                forecast.begin(plan);
                for (UpdateRecord update : updates) {
                    StepPlan expected = forecast.plan(update.batch());
                    String what = expected + " for " + update;
                    assertEquals(expected.microBatch(), update.microBatch(), what);
                    assertEquals(expected.microBatches().size(), update.microBatches(), what);
                }
                long mostBytes = updates.stream()
                        .mapToLong(update -> forecast.plan(update.batch()).workspaceBytes())
                        .max()
                        .orElseThrow();
                assertEquals(mostBytes, peakBytes, "evaluation keeps within what training needs");
                TrainingPlan whole = TrainingPlan.of(Schedule.constant(0.1), batch(64), momentum(0.9))
                        .forEpochs(1, SAMPLES);
                assertEquals(Optional.empty(), forecast.ofPartialBatches(whole));
                TrainingPlan cut = whole.ragged(RaggedEpoch.KEEP);
                forecast.begin(cut);
                assertEquals(
                        "partial batches of size 33: at most "
                                + Columns.mebibytes(forecast.plan(33).workspaceBytes()),
                        forecast.ofPartialBatches(cut).orElseThrow());
            }
        }
        assertTrue(updates.stream().anyMatch(update -> update.microBatches() > 1), updates.toString());
    }

    @Test
    void sizesAreRoundedUpInAFormThatCanBeGivenBack() {
        assertEquals("1234.6 MiB", Columns.mebibytes((1234L << 20) + (1 << 19) + 1));
        assertEquals("1234.5 MiB", Columns.mebibytes((1234L << 20) + (1 << 19)));
    }
}
