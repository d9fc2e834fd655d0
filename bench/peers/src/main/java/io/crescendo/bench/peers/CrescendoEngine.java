package io.crescendo.bench.peers;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.Feed;
import io.crescendo.bench.TrainingStep;
import io.crescendo.optim.Optimizer;

/** Our own step. */
final class CrescendoEngine implements Engine {
    private final Backend backend;
    private final TrainingStep step;
    private final Feed feed;

    CrescendoEngine(Task task, String device, int threads) {
        backend = Backends.open(device, new BackendOptions(threads));
        step = new TrainingStep(
                backend, task.network(), task.batch().samples(), 0, Optimizer.momentum(TrainingStep.WEIGHT_DECAY));
        feed = task.batch().feed();
    }

    @Override
    public double step() {
        return step.run(feed);
    }

    @Override
    public String description() {
        return "Crescendo, " + backend.description();
    }

    @Override
    public long plannedBytes() {
        return backend.workspace().peakBytes();
    }

    @Override
    public void close() {
        step.close();
        backend.close();
    }
}
