package io.crescendo.bench.peers;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.training.GradientCollector;
import io.crescendo.autograd.Value;
import io.crescendo.bench.FixedBatch;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Trains a task's network in PyTorch, batch after batch. */
final class TorchTraining implements AutoCloseable {
    private record Learned(NDArray weight, List<NDArray> state, double weightDecay) {}

    private final NDManager manager = NDManager.newBaseManager();
    private final Task task;
    private final TorchUpdate update;
    private final TorchNetwork network;
    private final List<Learned> learned = new ArrayList<>();
    private long updates;

    TorchTraining(Task task, TorchUpdate update, double weightDecay) {
        this.task = task;
        this.update = update;
        network = new TorchNetwork(task, manager);
        for (Map.Entry<Value, NDArray> entry : network.weights().entrySet()) {
            List<NDArray> state = new ArrayList<>();
            for (int i = 0; i < update.stateSlots; i++) {
                state.add(manager.zeros(entry.getValue().getShape()));
            }
            learned.add(new Learned(entry.getValue(), state, task.decays(entry.getKey()) ? weightDecay : 0));
        }
    }

    /** One update; returns the mean loss before it. */
    double step(FixedBatch batch, double learningRate, double momentum) {
        updates++;
        try (NDManager scope = manager.newSubManager()) {
            NDArray loss;
            try (GradientCollector collector = Engine.getEngine("PyTorch").newGradientCollector()) {
                loss = network.loss(TorchEngine.images(scope, task, batch), TorchEngine.labels(scope, batch));
                collector.backward(loss);
            }
            for (Learned parameter : learned) {
                try (NDArray sum = parameter.weight.getGradient();
                        NDArray decay = parameter.weight.mul(parameter.weightDecay);
                        NDArray gradient = sum.add(decay)) {
                    sum.subi(sum); // PyTorch adds the next step's gradient to this one
                    update.apply(parameter.weight, gradient, parameter.state, learningRate, momentum, updates);
                }
            }
            return loss.getFloat();
        }
    }

    @Override
    public void close() {
        manager.close();
    }
}
