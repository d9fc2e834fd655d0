package io.crescendo.cuda;

import static io.crescendo.cuda.CudaLowering.arguments;

import io.crescendo.autograd.Dropouts;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import java.util.List;

/** Operations that treat every element alone: pointwise.cu and dropout.cu. All of them may work in place. */
final class Pointwise {
    private final CudaLowering lowering;

    Pointwise(CudaLowering lowering) {
        this.lowering = lowering;
    }

    OpPlan relu(Op.Relu op) {
        long count = op.output().shape().elements();
        return each(
                "relu",
                op.output(),
                List.of(op.input()),
                at -> arguments(at.value(op.output()), at.value(op.input()), count));
    }

    OpPlan reluGradient(Op.ReluGradient op) {
        long count = op.inputGradient().shape().elements();
        return each(
                "relu_gradient",
                op.inputGradient(),
                List.of(op.outputGradient()),
                at -> arguments(
                        at.value(op.inputGradient()), at.value(op.output()), at.value(op.outputGradient()), count));
    }

    OpPlan add(Op.Add op) {
        long count = op.output().shape().elements();
        return each(
                "add",
                op.output(),
                List.of(op.left(), op.right()),
                at -> arguments(
                        at.value(op.output()), at.value(op.left()), at.value(op.right()), count, op.relu() ? 1 : 0));
    }

    OpPlan scale(Op.Scale op) {
        long count = op.output().shape().elements();
        return each(
                "scale",
                op.output(),
                List.of(op.input()),
                at -> arguments(at.value(op.output()), at.value(op.input()), count, (float) op.factor()));
    }

    /** One kernel over all elements of a result that may lie where an operand does. */
    private OpPlan each(String kernel, Value result, List<Value> overwritten, CudaLowering.Arguments arguments) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, result);
        overwritten.forEach(plan::allowOverwriting);
        lowering.launch(plan, kernel, lowering.grids().packs(result.shape().elements()), arguments);
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
