package io.crescendo.cuda;

import static io.crescendo.cuda.CudaLowering.arguments;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;

/** Softmax cross-entropy with its gradient: cross_entropy.cu. */
final class Losses {
    /** One warp for each sample ... */
    private static final int SAMPLES_OF_BLOCK = Grids.THREADS / 32;

    /** ... unless rows are so long that each is worth a block; as in cross_entropy.cu. */
    static final int CLASSES_OF_BLOCK = 2048;

    private final CudaLowering lowering;

    Losses(CudaLowering lowering) {
        this.lowering = lowering;
    }

    OpPlan softmaxCrossEntropy(Op.SoftmaxCrossEntropy op) {
        OpPlan plan = lowering.plan();
        Value gradient = op.logitsGradient();
        if (gradient != null) {
            lowering.define(plan, gradient);
            plan.allowOverwriting(op.logits());
        }
        Nhwc logits = Nhwc.of(op.logits());
        int together = logits.channels() < CLASSES_OF_BLOCK ? SAMPLES_OF_BLOCK : 1;
        Grid grid = lowering.grids().blocks((logits.samples() + together - 1L) / together);
        long partials = plan.scratch(2L * Double.BYTES * grid.x());
        lowering.launch(
                plan,
                "cross_entropy",
                grid,
                at -> arguments(
                        at.value(op.logits()),
                        at.value(op.labels()),
                        gradient == null ? 0L : at.value(gradient),
                        at.lossSums(),
                        at.lossSums() + Double.BYTES,
                        at.scratch(plan, partials),
                        at.tickets(),
                        logits.samples(),
                        logits.channels(),
                        (float) op.labelSmoothing()));
        return plan;
    }
}
