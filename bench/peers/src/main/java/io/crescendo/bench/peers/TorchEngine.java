package io.crescendo.bench.peers;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.training.GradientCollector;
import io.crescendo.autograd.Value;
import io.crescendo.bench.FixedBatch;
import io.crescendo.bench.TrainingStep;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** PyTorch through DJL, with the update DJL's own SGD optimizer calls. */
final class TorchEngine implements io.crescendo.bench.peers.Engine, GrowingEngine {
    private record Learned(NDArray weight, NDArray velocity, float weightDecay) {}

    private final NDManager manager = NDManager.newBaseManager();
    private final TorchNetwork network;
    private final List<Learned> learned = new ArrayList<>();
    private final Task task;
    private final Map<Integer, NDList> batches = new HashMap<>();

    TorchEngine(Task task) {
        this.task = task;
        network = new TorchNetwork(task, manager);
        for (Map.Entry<Value, NDArray> entry : network.weights().entrySet()) {
            NDArray weight = entry.getValue();
            float decay = task.decays(entry.getKey()) ? (float) TrainingStep.WEIGHT_DECAY : 0;
            learned.add(new Learned(weight, manager.zeros(weight.getShape()), decay));
        }
        load(task.batch());
    }

    @Override
    public void load(FixedBatch batch) {
        batches.put(batch.samples(), new NDList(images(manager, task, batch), labels(manager, batch)));
    }

    static NDArray images(NDManager manager, Task task, FixedBatch batch) {
        float[] values = new float[batch.images().capacity()];
        batch.images().get(0, values);
        return manager.create(
                values,
                new Shape(
                        batch.samples(),
                        task.network().channels(),
                        task.network().height(),
                        task.network().width()));
    }

    static NDArray labels(NDManager manager, FixedBatch batch) {
        long[] values = new long[batch.samples()];
        for (int i = 0; i < values.length; i++) {
            values[i] = batch.labels().get(i);
        }
        return manager.create(values);
    }

    @Override
    public double step() {
        return step(task.batch().samples(), task.batch().samples());
    }

    @Override
    public double step(int batch, int next) {
        NDList loaded = Objects.requireNonNull(batches.get(batch), () -> "batch " + batch + " was not loaded");
        NDArray images = loaded.get(0);
        NDArray labels = loaded.get(1);
        try (NDManager scope = manager.newSubManager()) {
            // Results belong to the manager of what they were computed from, and so die with the scope.
            scope.tempAttachAll(images, labels);
            NDArray loss;
            try (GradientCollector collector = Engine.getEngine("PyTorch").newGradientCollector()) {
                loss = network.loss(images, labels);
                collector.backward(loss);
            }
            for (Learned parameter : learned) {
                try (NDArray gradient = parameter.weight.getGradient()) {
                    parameter
                            .weight
                            .getNDArrayInternal()
                            .sgdUpdate(
                                    new NDList(parameter.weight, gradient, parameter.velocity),
                                    new NDList(parameter.weight),
                                    (float) TrainingStep.LEARNING_RATE,
                                    parameter.weightDecay,
                                    1,
                                    -1,
                                    (float) TrainingStep.MOMENTUM,
                                    false);
                }
            }
            return loss.getFloat();
        }
    }

    @Override
    public String description() {
        return "PyTorch " + Engine.getEngine("PyTorch").getVersion() + " through DJL " + Engine.getDjlVersion();
    }

    @Override
    public void close() {
        manager.close();
    }
}
