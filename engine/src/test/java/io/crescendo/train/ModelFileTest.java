package io.crescendo.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Program;
import io.crescendo.autograd.Window;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.ModelMemory;
import io.crescendo.data.Augmentation;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.RandomDataset;
import io.crescendo.nn.BatchNorm;
import io.crescendo.nn.Conv2d;
import io.crescendo.nn.Dense;
import io.crescendo.nn.GlobalAveragePool;
import io.crescendo.nn.Layer;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import io.crescendo.schedule.Schedule;
import io.crescendo.schedule.TrainingPlan;
import io.crescendo.tensor.Parameter;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ModelFileTest {
    @TempDir
    Path folder;

    private static Network network(int channels) {
        return new Network(
                "toy",
                2,
                5,
                4,
                3,
                Layer.sequence(
                        new Conv2d("conv", channels, Window.square(3, 1, 1)),
                        new BatchNorm("norm"),
                        new GlobalAveragePool(),
                        new Dense("logits", 3)));
    }

    private static Program program(int channels) {
        return network(channels).inferenceProgram(1, 0, Set.of());
    }

    private static double[] numbers(DeviceMemory memory) {
        double[] values = new double[Math.toIntExact(memory.elements())];
        memory.read(0, values);
        return values;
    }

    @Test
    void aModelIsReadBackAsItWasWritten() throws IOException {
        Path file = folder.resolve("model.safetensors");
        try (Backend backend = Backends.open("reference", BackendOptions.DEFAULT);
                ModelMemory model = ModelMemory.allocate(backend, program(4), 1);
                ModelMemory other = ModelMemory.allocate(backend, program(4), 2)) {
            // Tensor by tensor: between them a pack has padding, which no file keeps.
            for (Parameter parameter : program(4).statistics().parameters()) {
                double[] values = new double[Math.toIntExact(parameter.shape().elements())];
                Arrays.setAll(values, i -> 0.1 * (i + parameter.offset()) + 1.0 / 3);
                model.statistics().write(parameter.offset(), values);
            }
            assertFalse(Arrays.equals(numbers(model.weights()), numbers(other.weights())), "seeds differ");
            ModelFile.write(file, program(4), model, Map.of("model", "toy"));
            ModelFile.read(file, program(4), other);
            assertArrayEquals(numbers(model.weights()), numbers(other.weights()));
            assertArrayEquals(numbers(model.statistics()), numbers(other.statistics()));
        }
    }

    @Test
    void aCheckpointIsAModelToo() throws IOException {
        Dataset images = new RandomDataset(20, 3, new ImageShape(2, 5, 4), 3);
        TrainingPlan plan = TrainingPlan.of(Schedule.constant(0.1), TrainingPlan.batch(5), TrainingPlan.momentum(0.9))
                .forEpochs(1, images.size());
        try (Backend backend = Backends.open("reference", BackendOptions.DEFAULT);
                Trainer trainer = new Trainer(
                        backend,
                        network(4),
                        plan,
                        Optimizer.momentum(0),
                        images,
                        images,
                        Augmentation.NONE,
                        TrainingOptions.DEFAULT.withGhostBatch(5));
                ModelMemory other = ModelMemory.allocate(backend, program(4), 2)) {
            trainer.saveTo(CheckpointFolder.of(folder));
            trainer.run("constant");
            ModelFile.read(CheckpointFolder.of(folder).file(4), program(4), other);
            assertArrayEquals(numbers(trainer.model().weights()), numbers(other.weights()));
            assertArrayEquals(numbers(trainer.model().statistics()), numbers(other.statistics()));
        }
    }

    @Test
    void anotherNetworksFileIsRefusedAndNothingChanged() throws IOException {
        Path file = folder.resolve("model.safetensors");
        try (Backend backend = Backends.open("reference", BackendOptions.DEFAULT);
                ModelMemory model = ModelMemory.allocate(backend, program(4), 1);
                ModelMemory wider = ModelMemory.allocate(backend, program(6), 2)) {
            ModelFile.write(file, program(4), model, Map.of());
            double[] before = numbers(wider.weights());
            IllegalArgumentException refusal =
                    assertThrows(IllegalArgumentException.class, () -> ModelFile.read(file, program(6), wider));
            assertTrue(
                    String.valueOf(refusal.getMessage())
                            .contains("its 'conv.weight' is (4, 2, 3, 3), this model's is (6"),
                    refusal.getMessage());
            assertArrayEquals(before, numbers(wider.weights()));
        }
    }
}
