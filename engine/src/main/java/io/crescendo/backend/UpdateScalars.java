package io.crescendo.backend;

/**
 * The numbers that may differ from update to update. Each is refused outside its range: NaN or a wrong sign would spoil
 * the weights without a word.
 *
 * @param learningRate ε, at least 0
 * @param momentum m, or Adam's first decay rate β₁, in [0, 1)
 * @param gradientScale above 0, usually 1 / batch: gradients are sums over samples
 * @param weightDecay λ, at least 0
 * @param update number of this update, from 1; Adam's bias correction needs it
 * @param clipNorm the longest that gradientScale · (summed gradient) over all parameters may be: if its Euclidean norm
 *     is larger, gradientScale is multiplied by clipNorm / norm (Pascanu et al. 2013, arXiv 1211.5063); infinite leaves
 *     every gradient alone
 */
public record UpdateScalars(
        double learningRate, double momentum, double gradientScale, double weightDecay, long update, double clipNorm) {
    public UpdateScalars {
        require(
                learningRate >= 0 && Double.isFinite(learningRate),
                "learningRate",
                "finite and at least 0",
                learningRate);
        require(momentum >= 0 && momentum < 1, "momentum", "in [0, 1)", momentum);
        require(
                gradientScale > 0 && Double.isFinite(gradientScale),
                "gradientScale",
                "positive and finite",
                gradientScale);
        require(weightDecay >= 0 && Double.isFinite(weightDecay), "weightDecay", "finite and at least 0", weightDecay);
        require(update >= 1, "update", "at least 1", update);
        require(clipNorm > 0, "clipNorm", "positive, or infinite", clipNorm);
    }

    private static void require(boolean met, String name, String range, Number value) {
        if (!met) {
            throw new IllegalArgumentException(name + " must be " + range + ", but is " + value);
        }
    }

    /** Without clipping. */
    public UpdateScalars(double learningRate, double momentum, double gradientScale, double weightDecay, long update) {
        this(learningRate, momentum, gradientScale, weightDecay, update, Double.POSITIVE_INFINITY);
    }

    /** Whether gradients may have to be shortened. */
    public boolean clips() {
        return clipNorm < Double.POSITIVE_INFINITY;
    }

    /**
     * The same with gradientScale shortened as clipNorm demands.
     *
     * @param norm of gradientScale · (summed gradient)
     */
    public UpdateScalars clipped(double norm) {
        if (!(norm > clipNorm)) {
            return this;
        }
        // A gradient too long for any scale is as good as none.
        double shortened = Math.max(Double.MIN_VALUE, gradientScale * (clipNorm / norm));
        return new UpdateScalars(learningRate, momentum, shortened, weightDecay, update, clipNorm);
    }
}
