package io.crescendo.backend;

/**
 * The formula of a parameter update.
 *
 * <p>In all of them g = gradientScale · (summed gradient) + weightDecay · w, the second term only for parameters that
 * decay (coupled, L2 form), except {@link AdamW}, {@link Lars} and {@link Lamb}. Letters as in {@link UpdateScalars};
 * |x| is the Euclidean norm of one tensor of the pack.
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
     * @param beta2 β₂, in [0, 1)
     * @param epsilon keeps the quotient finite; at least 0
     */
    record Adam(double beta2, double epsilon) implements UpdateRule {
        public Adam {
            requireMoments(beta2, epsilon);
        }

        @Override
        public int stateSlots() {
            return 2;
        }
    }

    /**
     * Adam on the bare gradient with decoupled decay: first w ← w − ε·λ·w, then Adam's step (Loshchilov and Hutter
     * 2017, arXiv 1711.05101).
     *
     * @param beta2 β₂, in [0, 1)
     * @param epsilon keeps the quotient finite; at least 0
     */
    record AdamW(double beta2, double epsilon) implements UpdateRule {
        public AdamW {
            requireMoments(beta2, epsilon);
        }

        @Override
        public int stateSlots() {
            return 2;
        }
    }

    /**
     * Layer-wise adaptive rates: v ← m·v + r·(ĝ + λ·w); w ← w − ε·v, where ĝ = gradientScale · (summed gradient) and r
     * = trust · |w| / (|ĝ| + λ·|w|) for each tensor (You, Gitman and Ginsburg 2017, arXiv 1708.03888).
     *
     * <p>r = 1 and λ = 0 for tensors that do not decay: the rate of a bias or of a norm's scale, which starts at zero
     * or one whatever the layer, has nothing to do with its size. r = 1 as well where |w| or |ĝ| + λ·|w| is zero.
     *
     * @param trust how much of its own length a tensor may move per unit of ε
     */
    record Lars(double trust) implements UpdateRule {
        public Lars {
            requirePositive("trust", trust);
        }

        @Override
        public int stateSlots() {
            return 1;
        }
    }

    /**
     * Layer-wise adaptive Adam: moments a and b of the bare ĝ as in {@link Adam}; u = (a / (1−β₁ᵗ)) / (√(b / (1−β₂ᵗ)) +
     * epsilon) + λ·w; w ← w − ε·r·u with r = |w| / |u| for each tensor (You et al. 2019, arXiv 1904.00962).
     *
     * <p>r = 1 and λ = 0 for tensors that do not decay, and r = 1 where |w| or |u| is zero.
     *
     * @param beta2 β₂, in [0, 1)
     * @param epsilon keeps the quotient finite; at least 0
     */
    record Lamb(double beta2, double epsilon) implements UpdateRule {
        public Lamb {
            requireMoments(beta2, epsilon);
        }

        @Override
        public int stateSlots() {
            return 2;
        }
    }

    /** A beta2 of 1 would divide by 1 − β₂ᵗ = 0, and the weights would be NaN without a word. */
    private static void requireMoments(double beta2, double epsilon) {
        if (!(beta2 >= 0 && beta2 < 1)) {
            throw new IllegalArgumentException("beta2 must be in [0, 1), but is " + beta2);
        }
        if (!(epsilon >= 0 && epsilon < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("epsilon must be finite and at least 0, but is " + epsilon);
        }
    }

    private static void requirePositive(String name, double value) {
        if (!(value > 0 && value < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException(name + " must be positive and finite, but is " + value);
        }
    }
}
