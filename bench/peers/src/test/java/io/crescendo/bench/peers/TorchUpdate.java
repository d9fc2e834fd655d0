package io.crescendo.bench.peers;

import ai.djl.ndarray.NDArray;
import java.util.List;

/** The updates of {@code torch.optim} in NDArray operations; t counts from 1, g includes coupled weight decay. */
enum TorchUpdate {
    /** v ← m·v + g; w ← w − ε·v. */
    MOMENTUM(1) {
        @Override
        void apply(NDArray w, NDArray g, List<NDArray> state, double learningRate, double momentum, long t) {
            state.get(0).muli(momentum).addi(g);
            subtract(w, state.get(0).mul(learningRate));
        }
    },
    /** v ← m·v + g; w ← w − ε·(g + m·v). */
    NESTEROV(1) {
        @Override
        void apply(NDArray w, NDArray g, List<NDArray> state, double learningRate, double momentum, long t) {
            state.get(0).muli(momentum).addi(g);
            subtract(w, state.get(0).mul(momentum).addi(g).muli(learningRate));
        }
    },
    /** a ← β₁·a + (1−β₁)·g; b ← β₂·b + (1−β₂)·g²; w ← w − ε/(1−β₁ᵗ) · a / (√b/√(1−β₂ᵗ) + 1e-8). */
    ADAM(2) {
        @Override
        void apply(NDArray w, NDArray g, List<NDArray> state, double learningRate, double momentum, long t) {
            double beta2 = 0.999;
            state.get(0).muli(momentum).addi(g.mul(1 - momentum));
            state.get(1).muli(beta2).addi(g.mul(g).muli(1 - beta2));
            NDArray denominator = state.get(1)
                    .sqrt()
                    .divi(Math.sqrt(1 - Math.pow(beta2, (double) t)))
                    .addi(1e-8);
            subtract(
                    w,
                    state.get(0)
                            .mul(learningRate / (1 - Math.pow(momentum, (double) t)))
                            .divi(denominator));
        }
    };

    final int stateSlots;

    TorchUpdate(int stateSlots) {
        this.stateSlots = stateSlots;
    }

    abstract void apply(NDArray w, NDArray g, List<NDArray> state, double learningRate, double momentum, long t);

    private static void subtract(NDArray w, NDArray change) {
        w.subi(change);
        change.close();
    }
}
