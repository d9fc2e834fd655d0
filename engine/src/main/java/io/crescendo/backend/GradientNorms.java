package io.crescendo.backend;

import java.util.List;

/**
 * How long the gradient of each micro-batch is: what an estimate of the gradient's noise is made of.
 *
 * <p>Gradients of micro-batches are added to one pack, so the pack is compared with what it was before:
 *
 * <pre>
 *   squares[k] = |G_k − G_{k−1}|²        G_k: the gradients after micro-batch k, G_0 = 0
 *   batch      = |G_K|²
 * </pre>
 *
 * The gradients themselves are only read: a measured update is the unmeasured one to the last bit. The copy of the pack
 * exists from {@link Backend#gradientNorms} to {@link #close} and not otherwise.
 *
 * <pre>{@code
 * try (GradientNorms norms = backend.gradientNorms(model)) {
 *     for (int k = 0; k < sizes.size(); k++) {
 *         executable.run(feed(k));
 *         norms.ran(k, sizes.size());
 *     }
 *     GradientNorms.Reading reading = norms.take();
 *     update.apply(scalars);
 *     List<Double> squares = reading.squares().microBatches(); // waits for the device, if it must
 * }
 * }</pre>
 *
 * <p>Source: McCandlish et al. 2018, arXiv 1812.06162, appendix A.
 */
public interface GradientNorms extends AutoCloseable {
    /**
     * Squared Euclidean norms of sums over samples.
     *
     * @param microBatches of each micro-batch's gradient, in running order
     * @param batch of the whole batch's
     */
    record Squares(List<Double> microBatches, double batch) {
        public Squares {
            microBatches = List.copyOf(microBatches);
        }
    }

    /** Norms that no longer change, perhaps still on their way from the device. */
    @FunctionalInterface
    interface Reading {
        /** The norms; waits for the device if it must. */
        Squares squares();
    }

    /**
     * Says that a micro-batch has run, before the next one or the update does. Gradients were zero before the first.
     *
     * @param index of the micro-batch, from 0
     * @param count micro-batches of the update
     */
    void ran(int index, int count);

    /** The norms of the update whose last micro-batch was the last that ran; a device need not be done with it. */
    Reading take();

    @Override
    void close();
}
