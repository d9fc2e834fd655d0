package io.crescendo.train;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.crescendo.autograd.Window;
import io.crescendo.backend.Backend;
import io.crescendo.data.Augmentation;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.RandomDataset;
import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.metrics.GradientNoiseRecord;
import io.crescendo.metrics.PhaseRecord;
import io.crescendo.metrics.RunSummary;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.nn.BatchNorm;
import io.crescendo.nn.Conv2d;
import io.crescendo.nn.Dense;
import io.crescendo.nn.Dropout;
import io.crescendo.nn.GlobalAveragePool;
import io.crescendo.nn.Layer;
import io.crescendo.nn.Network;
import io.crescendo.nn.Relu;
import io.crescendo.optim.Optimizer;
import io.crescendo.schedule.TrainingPlan;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;

/** A whole run of a network that takes milliseconds: what it said, in order, and its weights at the end. */
public record ToyRun(
        RunSummary summary,
        FloatBuffer weights,
        List<UpdateRecord> updates,
        List<PhaseRecord> phases,
        List<Steps.Refusal> refusals,
        List<GradientNoiseRecord> noise,
        List<EvaluationRecord> evaluations) {
    public static final Dataset TRAINING = new RandomDataset(90, 3, new ImageShape(2, 6, 5), 11);
    public static final Dataset TEST = new RandomDataset(31, 3, new ImageShape(2, 6, 5), 11);

    /** A layer of each kind that a run must take care of: with statistics, with random numbers. */
    public static Network network() {
        return network(5, 0.2);
    }

    static Network network(int channels, double dropout) {
        return new Network(
                "toy",
                2,
                6,
                5,
                3,
                Layer.sequence(
                        new Conv2d("conv", channels, Window.square(3, 2, 1)),
                        new BatchNorm("norm"),
                        new Relu(),
                        new Dropout(dropout),
                        new GlobalAveragePool(),
                        new Dense("logits", 3)));
    }

    /** Trains, and closes the backend. */
    public static ToyRun train(Backend opened, TrainingPlan plan, TrainingOptions options) {
        List<UpdateRecord> updates = new ArrayList<>();
        List<PhaseRecord> phases = new ArrayList<>();
        List<Steps.Refusal> refusals = new ArrayList<>();
        List<GradientNoiseRecord> noise = new ArrayList<>();
        List<EvaluationRecord> evaluations = new ArrayList<>();
        try (Backend backend = opened;
                Trainer trainer = new Trainer(
                        backend,
                        network(),
                        plan,
                        Optimizer.momentum(1e-3),
                        TRAINING,
                        TEST,
                        new Augmentation(true, 1),
                        options)) {
            trainer.listen(new TrainingListener() {
                @Override
                public void updated(UpdateRecord update) {
                    updates.add(update);
                }

                @Override
                public void phaseStarted(PhaseRecord phase) {
                    phases.add(phase);
                }

                @Override
                public void memoryRefused(Steps.Refusal refusal) {
                    refusals.add(refusal);
                }

                @Override
                public void gradientNoiseMeasured(GradientNoiseRecord measured) {
                    assertEquals(updates.get(updates.size() - 1).update(), measured.update(), "behind its update");
                    noise.add(measured);
                }

                @Override
                public void evaluated(EvaluationRecord evaluation) {
                    evaluations.add(evaluation);
                }
            });
            RunSummary summary = trainer.run("test");
            float[] weights =
                    new float[Math.toIntExact(trainer.model().weights().elements())];
            trainer.model().weights().read(0, weights);
            return new ToyRun(summary, FloatBuffer.wrap(weights), updates, phases, refusals, noise, evaluations);
        }
    }
}
