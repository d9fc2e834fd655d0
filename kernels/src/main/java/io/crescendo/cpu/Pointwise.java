package io.crescendo.cpu;

import static io.crescendo.cpu.OpPlan.arg;
import static org.bytedeco.dnnl.global.dnnl.*;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import org.bytedeco.dnnl.dnnl_primitive_attr;
import org.bytedeco.dnnl.dnnl_primitive_desc;

/** Operations that treat each element alone, in whatever layout it comes: ReLU, sum, scale. */
final class Pointwise {
    private final SectionLowering section;

    Pointwise(SectionLowering section) {
        this.section = section;
    }

    private dnnl_primitive_desc chooseForward(OpPlan plan, String what, int algorithm, Layout layout, float alpha) {
        dnnl_primitive_attr attributes = plan.attributes();
        return plan.choose(
                what,
                pd -> dnnl_eltwise_forward_primitive_desc_create(
                        pd,
                        section.oneDnn().engine,
                        dnnl_forward_training,
                        algorithm,
                        layout.descriptor(),
                        layout.descriptor(),
                        alpha,
                        0,
                        attributes));
    }

    OpPlan relu(Op.Relu op) {
        return each("ReLU", dnnl_eltwise_relu, 0, op.input(), op.output());
    }

    OpPlan reluGradient(Op.ReluGradient op) {
        OpPlan plan = section.plan();
        Operand output = section.operand(op.output());
        Operand given = section.operand(op.outputGradient());
        if (given.layout().sameAs(output.layout())) {
            plan.allowOverwriting(op.outputGradient());
        }
        Operand dy = section.converted(plan, given, output.layout());
        Operand dx = section.define(op.inputGradient(), output.layout());
        dnnl_primitive_desc forward =
                chooseForward(plan, "ReLU", dnnl_eltwise_relu_use_dst_for_bwd, output.layout(), 0);
        dnnl_primitive_attr attributes = plan.attributes();
        dnnl_primitive_desc chosen = plan.choose(
                "ReLU's gradient",
                pd -> dnnl_eltwise_backward_primitive_desc_create(
                        pd,
                        section.oneDnn().engine,
                        dnnl_eltwise_relu_use_dst_for_bwd,
                        output.layout().descriptor(),
                        output.layout().descriptor(),
                        output.layout().descriptor(),
                        0,
                        0,
                        forward,
                        attributes));
        plan.primitive(
                "ReLU's gradient",
                chosen,
                arg(DNNL_ARG_DST, output),
                arg(DNNL_ARG_DIFF_DST, dy),
                arg(DNNL_ARG_DIFF_SRC, dx));
        return plan;
    }

    OpPlan add(Op.Add op) {
        OpPlan plan = section.plan();
        Operand left = section.operand(op.left());
        Operand right = section.operand(op.right());
        plan.allowOverwriting(op.left());
        if (right.layout().sameAs(left.layout())) {
            plan.allowOverwriting(op.right());
        }
        Operand addend = section.converted(plan, right, left.layout());
        Operand output = section.define(op.output(), left.layout());
        dnnl_primitive_attr attributes = plan.attributes();
        if (op.relu()) {
            PostOps.attach(section.scope(), attributes, PostOps::relu);
        }
        dnnl_primitive_desc chosen = plan.choose(
                "sum",
                pd -> dnnl_binary_primitive_desc_create(
                        pd,
                        section.oneDnn().engine,
                        dnnl_binary_add,
                        left.layout().descriptor(),
                        left.layout().descriptor(),
                        left.layout().descriptor(),
                        attributes));
        // oneDNN allows the result to overwrite the first operand only, so whichever it is comes first.
        plan.primitiveIf(
                binding -> !binding.coincide(addend, output),
                "sum",
                chosen,
                java.util.List.of(arg(DNNL_ARG_SRC_0, left), arg(DNNL_ARG_SRC_1, addend), arg(DNNL_ARG_DST, output)));
        plan.primitiveIf(
                binding -> binding.coincide(addend, output),
                "sum",
                chosen,
                java.util.List.of(arg(DNNL_ARG_SRC_0, addend), arg(DNNL_ARG_SRC_1, left), arg(DNNL_ARG_DST, output)));
        return plan;
    }

    OpPlan scale(Op.Scale op) {
        return each("scaling", dnnl_eltwise_linear, (float) op.factor(), op.input(), op.output());
    }

    /** A function of each element, which may take the place of its operand. */
    private OpPlan each(String what, int algorithm, float alpha, Value operand, Value result) {
        OpPlan plan = section.plan();
        Operand input = section.operand(operand);
        plan.allowOverwriting(operand);
        Operand output = section.define(result, input.layout());
        plan.primitive(
                what,
                chooseForward(plan, what, algorithm, input.layout(), alpha),
                arg(DNNL_ARG_SRC, input),
                arg(DNNL_ARG_DST, output));
        return plan;
    }
}
