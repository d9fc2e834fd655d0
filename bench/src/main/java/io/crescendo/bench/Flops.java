package io.crescendo.bench;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;

/** Counts a program's floating-point operations. */
public final class Flops {
    private Flops() {}

    /**
     * 2 per multiplication and addition of convolutions and dense layers, per sample.
     *
     * <p>Of a training program: forward and both gradients. Everything else (norms, ReLUs, pools, the update) is left
     * out, as is usual, because it is bound by memory.
     */
    public static double perSample(Program program) {
        double flops = 0;
        for (Op op : program.ops()) {
            // Output elements times the taps of each: the same count for the forward pass and either gradient.
            if (op instanceof Op.Conv2d conv) {
                flops += 2.0
                        * conv.output().shape().elements()
                        * conv.weight().shape().elementsPerSample();
            } else if (op instanceof Op.Conv2dInputGradient conv) {
                flops += 2.0
                        * conv.outputGradient().shape().elements()
                        * conv.weight().shape().elementsPerSample();
            } else if (op instanceof Op.Conv2dWeightGradient conv) {
                flops += 2.0
                        * conv.outputGradient().shape().elements()
                        * conv.weightGradient().shape().elementsPerSample();
            } else if (op instanceof Op.Dense dense) {
                flops += 2.0 * program.microBatch() * dense.weight().shape().elements();
            } else if (op instanceof Op.DenseInputGradient dense) {
                flops += 2.0 * program.microBatch() * dense.weight().shape().elements();
            } else if (op instanceof Op.DenseWeightGradient dense) {
                flops += 2.0
                        * program.microBatch()
                        * dense.weightGradient().shape().elements();
            }
        }
        return flops / program.microBatch();
    }
}
