package io.crescendo.backend;

/**
 * The numbers that may differ from update to update.
 *
 * @param learningRate ε
 * @param momentum m, or Adam's first decay rate β₁
 * @param gradientScale usually 1 / batch: gradients are sums over samples
 * @param weightDecay λ
 * @param update number of this update, from 1; Adam's bias correction needs it
 * @param clipNorm the longest that gradientScale · (summed gradient) over all parameters may be: if its Euclidean norm
 *     is larger, gradientScale is multiplied by clipNorm / norm (Pascanu et al. 2013, arXiv 1211.5063); infinite leaves
 *     every gradient alone
 */
public record UpdateScalars(
        double learningRate, double momentum, double gradientScale, double weightDecay, long update, double clipNorm) {
    public UpdateScalars {
        if (!(clipNorm > 0)) {
            throw new IllegalArgumentException("clipNorm must be positive, or infinite, but is " + clipNorm);
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
        return norm > clipNorm
                ? new UpdateScalars(
                        learningRate, momentum, gradientScale * (clipNorm / norm), weightDecay, update, clipNorm)
                : this;
    }
}
