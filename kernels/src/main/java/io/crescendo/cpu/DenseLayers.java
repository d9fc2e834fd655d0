package io.crescendo.cpu;

import static io.crescendo.cpu.OpPlan.arg;
import static org.bytedeco.dnnl.global.dnnl.*;

import io.crescendo.autograd.Op;
import io.crescendo.cpu.OpPlan.Argument;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.dnnl.dnnl_memory_desc;
import org.bytedeco.dnnl.dnnl_primitive_attr;
import org.bytedeco.dnnl.dnnl_primitive_desc;
import org.jspecify.annotations.Nullable;

/** The dense layer and its gradients: matrix products on plain layouts, straight from and to the packs' order. */
final class DenseLayers {
    private final SectionLowering section;

    DenseLayers(SectionLowering section) {
        this.section = section;
    }

    private static @Nullable dnnl_memory_desc descriptor(@Nullable Operand operand) {
        return operand == null ? null : operand.layout().descriptor();
    }

    private dnnl_primitive_desc chooseForward(
            OpPlan plan, Layout input, Layout weight, @Nullable Operand bias, Layout output) {
        dnnl_primitive_attr attributes = plan.attributes();
        return plan.choose(
                "dense layer",
                pd -> dnnl_inner_product_forward_primitive_desc_create(
                        pd,
                        section.oneDnn().engine,
                        dnnl_forward_training,
                        input.descriptor(),
                        weight.descriptor(),
                        descriptor(bias),
                        output.descriptor(),
                        attributes));
    }

    OpPlan forward(Op.Dense op) {
        OpPlan plan = section.plan();
        Operand input = section.operand(plan, op.input(), Layout.plain(section.scope(), section.extents(op.input())));
        Operand weight = section.operand(op.weight());
        Operand bias = op.bias() == null ? null : section.operand(op.bias());
        Operand output = section.define(op.output(), Layout.plain(section.scope(), section.extents(op.output())));
        List<Argument> arguments = new ArrayList<>(
                List.of(arg(DNNL_ARG_SRC, input), arg(DNNL_ARG_WEIGHTS, weight), arg(DNNL_ARG_DST, output)));
        if (bias != null) {
            arguments.add(arg(DNNL_ARG_BIAS, bias));
        }
        plan.primitive(
                "dense layer", chooseForward(plan, input.layout(), weight.layout(), bias, output.layout()), arguments);
        return plan;
    }

    OpPlan inputGradient(Op.DenseInputGradient op) {
        OpPlan plan = section.plan();
        Operand dy = section.operand(
                plan, op.outputGradient(), Layout.plain(section.scope(), section.extents(op.outputGradient())));
        Operand weight = section.operand(op.weight());
        Operand dx =
                section.define(op.inputGradient(), Layout.plain(section.scope(), section.extents(op.inputGradient())));
        dnnl_primitive_desc forward = chooseForward(plan, dx.layout(), weight.layout(), null, dy.layout());
        dnnl_primitive_attr attributes = plan.attributes();
        dnnl_primitive_desc chosen = plan.choose(
                "dense layer's input gradient",
                pd -> dnnl_inner_product_backward_data_primitive_desc_create(
                        pd,
                        section.oneDnn().engine,
                        dx.layout().descriptor(),
                        weight.layout().descriptor(),
                        dy.layout().descriptor(),
                        forward,
                        attributes));
        plan.primitive(
                "dense layer's input gradient",
                chosen,
                arg(DNNL_ARG_DIFF_DST, dy),
                arg(DNNL_ARG_WEIGHTS, weight),
                arg(DNNL_ARG_DIFF_SRC, dx));
        return plan;
    }

    OpPlan weightGradient(Op.DenseWeightGradient op) {
        OpPlan plan = section.plan();
        Operand input = section.operand(plan, op.input(), Layout.plain(section.scope(), section.extents(op.input())));
        Operand dy = section.operand(
                plan, op.outputGradient(), Layout.plain(section.scope(), section.extents(op.outputGradient())));
        Operand pack = section.operand(op.weightGradient());
        Operand weightGradient = plan.scratch(pack.layout());
        Operand biasGradient = op.biasGradient() == null
                ? null
                : plan.scratch(section.operand(op.biasGradient()).layout());
        dnnl_primitive_desc forward =
                chooseForward(plan, input.layout(), weightGradient.layout(), biasGradient, dy.layout());
        dnnl_primitive_attr attributes = plan.attributes();
        dnnl_primitive_desc chosen = plan.choose(
                "dense layer's weight gradient",
                pd -> dnnl_inner_product_backward_weights_primitive_desc_create(
                        pd,
                        section.oneDnn().engine,
                        input.layout().descriptor(),
                        weightGradient.layout().descriptor(),
                        descriptor(biasGradient),
                        dy.layout().descriptor(),
                        forward,
                        attributes));
        List<Argument> arguments = new ArrayList<>(List.of(
                arg(DNNL_ARG_SRC, input), arg(DNNL_ARG_DIFF_DST, dy), arg(DNNL_ARG_DIFF_WEIGHTS, weightGradient)));
        if (biasGradient != null) {
            arguments.add(arg(DNNL_ARG_DIFF_BIAS, biasGradient));
        }
        plan.primitive("dense layer's weight gradient", chosen, arguments);
        section.accumulate(plan, weightGradient, pack);
        if (biasGradient != null && op.biasGradient() != null) {
            section.accumulate(plan, biasGradient, section.operand(op.biasGradient()));
        }
        return plan;
    }
}
