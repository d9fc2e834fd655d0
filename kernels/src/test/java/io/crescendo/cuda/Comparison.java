package io.crescendo.cuda;

import java.util.Random;
import java.util.function.Consumer;
import org.jspecify.annotations.NullMarked;
import org.opentest4j.TestAbortedException;

/** Every comparison of kernels with their twins, whatever they are launched by. */
@NullMarked
@SuppressWarnings("ImmutableEnumChecker") // the methods have no state
enum Comparison {
    UPDATES(UpdateCheck::rules),
    LAYERWISE_UPDATES(LayerwiseCheck::rules),
    CLIPPING(LayerwiseCheck::clipping),
    GRADIENT_SUMS(UpdateCheck::gradientSum),
    GHOST_NORM_FORWARD(GhostNormCheck::forward),
    GHOST_NORM_GRADIENT(GhostNormCheck::gradient),
    CROSS_ENTROPY(LossCheck::crossEntropy),
    SUMS_OF_LOSS_AND_HITS(LossCheck::takeSums),
    GATHER(DataCheck::gather),
    NUMBERS_OF_A_STEP(DataCheck::beginStep),
    ELEMENTWISE(PointwiseCheck::elementwise),
    DIFFERENCE(PointwiseCheck::difference),
    BIAS(PointwiseCheck::bias),
    DROPOUT(PointwiseCheck::dropout),
    CONCAT(PointwiseCheck::concat),
    LAYOUTS(PointwiseCheck::layouts),
    CONVOLUTION(ConvolutionCheck::convolution),
    FEW_CHANNELS(ConvolutionCheck::fewChannels),
    MARGINS(ConvolutionCheck::margins),
    NARROW_GRADIENTS(ConvolutionCheck::narrowGradients),
    POOLING(PoolingCheck::pooling);

    final Consumer<Trial> check;

    Comparison(Consumer<Trial> check) {
        this.check = check;
    }

    /**
     * Compares again and again, with other numbers and the types by turns.
     *
     * @return how many rounds were skipped because the device is too small for them
     * @throws AssertionError that says how to see the same numbers again
     */
    static int compare(Consumer<Trial> check, KernelLauncher kernels, long seed, int rounds) {
        Random seeds = new Random(seed);
        int skipped = 0;
        for (int round = 0; round < rounds; round++) {
            long trialSeed = seeds.nextLong();
            ElementType type = round % 2 == 0 ? ElementType.F32 : ElementType.BF16;
            try {
                check.accept(new Trial(kernels, new Random(trialSeed), type));
            } catch (AssertionError e) {
                throw new AssertionError(
                        "-Dcrescendo.seed=" + seed + ", round " + round + ", " + type + ": " + e.getMessage(), e);
            } catch (TestAbortedException e) {
                System.err.println("skipped, round " + round + ", " + type + ": " + e.getMessage());
                skipped++;
            }
        }
        return skipped;
    }
}
