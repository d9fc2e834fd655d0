package io.crescendo.backend;

/**
 * The formula of a parameter update.
 *
 * <p>In all of them g = gradientScale · (summed gradient) + weightDecay · w, the second term only for parameters that
 * decay (coupled, L2 form), except {@link AdamW}. Letters as in {@link UpdateScalars}.
 */
public sealed interface UpdateRule {
    /** Numbers of state per parameter. */
    int stateSlots();

    /** w ← w − ε·g. */
    record Sgd() implements UpdateRule {
        @Override
        public int stateSlots() {
            return 0;
        }
    }

    /** v ← m·v + g; w ← w − ε·v (Smith et al. 2017, arXiv 1711.00489, with the gradient's full weight). */
    record Momentum() implements UpdateRule {
        @Override
        public int stateSlots() {
            return 1;
        }
    }

    /** v ← m·v + g; w ← w − ε·(g + m·v) (Nesterov's momentum in the form of Sutskever et al. 2013). */
    record Nesterov() implements UpdateRule {
        @Override
        public int stateSlots() {
            return 1;
        }
    }

    /**
     * a ← β₁·a + (1−β₁)·g; b ← β₂·b + (1−β₂)·g²; w ← w − ε · (a / (1−β₁ᵗ)) / (√(b / (1−β₂ᵗ)) + epsilon) (Kingma and Ba
     * 2014, arXiv 1412.6980). β₁ is the momentum of the {@link UpdateScalars}.
     *
     * @param beta2 β₂
     * @param epsilon keeps the quotient finite
     */
    record Adam(double beta2, double epsilon) implements UpdateRule {
        @Override
        public int stateSlots() {
            return 2;
        }
    }

    /**
     * Adam on the bare gradient with decoupled decay: first w ← w − ε·λ·w, then Adam's step (Loshchilov and Hutter
     * 2017, arXiv 1711.05101).
     *
     * @param beta2 β₂
     * @param epsilon keeps the quotient finite
     */
    record AdamW(double beta2, double epsilon) implements UpdateRule {
        @Override
        public int stateSlots() {
            return 2;
        }
    }
}
