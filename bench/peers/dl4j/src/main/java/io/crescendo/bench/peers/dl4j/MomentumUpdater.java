package io.crescendo.bench.peers.dl4j;

import java.util.Map;
import java.util.Objects;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.learning.GradientUpdater;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.learning.config.Sgd;

/**
 * v ← m·v + g; the weights lose ε·v. Deeplearning4j itself has momentum only in Nesterov's form, whose losses would
 * differ from the other engines'.
 */
final class MomentumUpdater implements GradientUpdater<Sgd> {
    private final Config config;
    private INDArray velocity;

    /** The updater's description, which the graph stores; ε is that of the SGD it extends. */
    static final class Config extends Sgd {
        private static final long serialVersionUID = 1L;

        private final double momentum;

        Config(double learningRate, double momentum) {
            super(learningRate);
            this.momentum = momentum;
        }

        @Override
        public long stateSize(long parameters) {
            return parameters;
        }

        @Override
        public GradientUpdater<? extends IUpdater> instantiate(INDArray view, boolean initialise) {
            if (initialise) {
                view.assign(0);
            }
            return new MomentumUpdater(this, view);
        }

        @Override
        public Sgd clone() {
            return new Config(getLearningRate(), momentum);
        }
    }

    private MomentumUpdater(Config config, INDArray velocity) {
        this.config = config;
        this.velocity = velocity;
    }

    @Override
    public Sgd getConfig() {
        return config;
    }

    @Override
    public void setState(Map<String, INDArray> state, boolean initialise) {
        velocity = Objects.requireNonNull(state.get("V"), "no velocity among the saved state");
    }

    @Override
    public Map<String, INDArray> getState() {
        return Map.of("V", velocity);
    }

    @Override
    public void setStateViewArray(INDArray view, long[] shape, char order, boolean initialise) {
        velocity = view;
        if (initialise) {
            velocity.assign(0);
        }
    }

    @Override
    public void applyUpdater(INDArray gradient, int iteration, int epoch) {
        velocity.muli(config.momentum).addi(gradient.reshape(velocity.shape()));
        gradient.assign(velocity.reshape(gradient.shape()));
        gradient.muli(config.getLearningRate());
    }
}
