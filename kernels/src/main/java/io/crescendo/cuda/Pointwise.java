package io.crescendo.cuda;

import static io.crescendo.cuda.CudaLowering.arguments;

import io.crescendo.autograd.Dropouts;
import io.crescendo.autograd.Op;

/** Operations that treat every element alone: pointwise.cu and dropout.cu. All of them may work in place. */
final class Pointwise {
    private final CudaLowering lowering;

    Pointwise(CudaLowering lowering) {
        this.lowering = lowering;
    }

    OpPlan relu(Op.Relu op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.output());
        plan.allowOverwriting(op.input());
        long count = op.output().shape().elements();
        lowering.launch(
                plan,
                "relu",
                lowering.grids().packs(count),
                at -> arguments(at.value(op.output()), at.value(op.input()), count));
        return plan;
    }

    OpPlan reluGradient(Op.ReluGradient op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.inputGradient());
        plan.allowOverwriting(op.outputGradient());
        long count = op.inputGradient().shape().elements();
        lowering.launch(
                plan,
                "relu_gradient",
                lowering.grids().packs(count),
                at -> arguments(
                        at.value(op.inputGradient()), at.value(op.output()), at.value(op.outputGradient()), count));
        return plan;
    }

    OpPlan add(Op.Add op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.output());
        plan.allowOverwriting(op.left());
        plan.allowOverwriting(op.right());
        long count = op.output().shape().elements();
        lowering.launch(
                plan,
                "add",
                lowering.grids().packs(count),
                at -> arguments(
                        at.value(op.output()), at.value(op.left()), at.value(op.right()), count, op.relu() ? 1 : 0));
        return plan;
    }

    OpPlan scale(Op.Scale op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.output());
        plan.allowOverwriting(op.input());
        long count = op.output().shape().elements();
        lowering.launch(
                plan,
                "scale",
                lowering.grids().packs(count),
                at -> arguments(at.value(op.output()), at.value(op.input()), count, (float) op.factor()));
        return plan;
    }

    OpPlan dropout(Op.Dropout op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.output());
        plan.allowOverwriting(op.input());
        Nhwc x = Nhwc.of(op.input());
        lowering.launch(
                plan,
                "dropout",
                lowering.grids().dropout(x.samples(), op.output().shape().elementsPerSample()),
                at -> arguments(
                        at.value(op.output()),
                        at.value(op.input()),
                        at.dropoutClock(),
                        x.samples(),
                        x.channels(),
                        x.plane(),
                        Math.toIntExact(op.key()),
                        (int) Dropouts.threshold(op.rate()), // the bits of an unsigned number
                        (float) (1 / (1 - op.rate()))));
        return plan;
    }
}
