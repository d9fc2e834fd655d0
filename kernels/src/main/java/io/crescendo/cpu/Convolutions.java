package io.crescendo.cpu;

import static io.crescendo.cpu.OpPlan.arg;
import static org.bytedeco.dnnl.global.dnnl.*;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.cpu.OpPlan.Argument;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.bytedeco.dnnl.dnnl_memory_desc;
import org.bytedeco.dnnl.dnnl_post_ops;
import org.bytedeco.dnnl.dnnl_primitive_attr;
import org.bytedeco.dnnl.dnnl_primitive_desc;
import org.jspecify.annotations.Nullable;

/**
 * Convolution and its two gradients: by fewer multiplications where that pays ({@link WinogradConvolutions}), otherwise
 * as oneDNN's direct convolutions.
 *
 * <p>Weights lie row-major in the pack and are reordered for each run into what the implementation likes (a few
 * thousandths of the convolution's own time); weight gradients are computed in scratch memory and added to the pack.
 */
final class Convolutions {
    private final SectionLowering section;
    private final WinogradConvolutions winograd;

    Convolutions(SectionLowering section) {
        this.section = section;
        this.winograd = new WinogradConvolutions(section);
    }

    OpPlan forward(Op.Conv2d op) {
        return winograd.forward(op).orElseGet(() -> directForward(op));
    }

    OpPlan inputGradient(Op.Conv2dInputGradient op) {
        return winograd.inputGradient(op).orElseGet(() -> directInputGradient(op));
    }

    OpPlan weightGradient(Op.Conv2dWeightGradient op) {
        return winograd.weightGradient(op).orElseGet(() -> directWeightGradient(op));
    }

    /** Weights have one more dimension when there are groups: (groups, K / groups, C / groups, R, S). */
    private static long[] weightExtents(Value weight, int groups) {
        long[] dims = weight.shape().dims();
        return groups == 1 ? dims : new long[] {groups, dims[0] / groups, dims[1], dims[2], dims[3]};
    }

    private Operand weights(Value weight, int groups) {
        return new Operand(
                Layout.plain(section.scope(), weightExtents(weight, groups)),
                section.operand(weight).place());
    }

    private static @Nullable dnnl_memory_desc descriptor(@Nullable Operand operand) {
        return operand == null ? null : operand.layout().descriptor();
    }

    private dnnl_primitive_desc chooseForward(
            OpPlan plan,
            Layout input,
            long[] weightExtents,
            @Nullable Operand bias,
            long[] outputExtents,
            Window window,
            dnnl_primitive_attr attributes) {
        return plan.choose(
                "convolution", pd -> createForward(pd, input, weightExtents, bias, outputExtents, window, attributes));
    }

    private int createForward(
            dnnl_primitive_desc forward,
            Layout input,
            long[] weightExtents,
            @Nullable Operand bias,
            long[] outputExtents,
            Window window,
            dnnl_primitive_attr attributes) {
        Geometry g = new Geometry(window);
        return dnnl_convolution_forward_primitive_desc_create(
                forward,
                section.oneDnn().engine,
                dnnl_forward_training,
                dnnl_convolution_direct,
                input.descriptor(),
                Layout.any(section.scope(), weightExtents).descriptor(),
                descriptor(bias),
                Layout.any(section.scope(), outputExtents).descriptor(),
                g.strides,
                g.dilations,
                g.padBefore,
                g.padAfter,
                attributes);
    }

    private OpPlan directForward(Op.Conv2d op) {
        OpPlan plan = section.plan();
        long[] weightExtents = weightExtents(op.weight(), op.groups());
        long[] outputExtents = section.extents(op.output());
        Operand bias = op.bias() == null ? null : section.operand(op.bias());
        dnnl_primitive_attr attributes = plan.attributes();
        List<Consumer<dnnl_post_ops>> postOps = new ArrayList<>();
        if (op.addend() != null) {
            postOps.add(PostOps::sum);
        }
        if (op.relu()) {
            postOps.add(PostOps::relu);
        }
        PostOps.attach(section.scope(), attributes, postOps);
        Layout anyInput = Layout.any(section.scope(), section.extents(op.input()));
        // A first layer takes the images as they are where an implementation for few channels is compiled.
        dnnl_primitive_desc chosen = op.input().home() == Home.IMAGES
                ? plan.choose(
                        "convolution",
                        pd -> createForward(
                                pd,
                                section.operand(op.input()).layout(),
                                weightExtents,
                                bias,
                                outputExtents,
                                op.window(),
                                attributes),
                        pd -> createForward(pd, anyInput, weightExtents, bias, outputExtents, op.window(), attributes))
                : chooseForward(plan, anyInput, weightExtents, bias, outputExtents, op.window(), attributes);

        Operand output = section.define(op.output(), plan.layout(chosen, dnnl_query_dst_md, outputExtents));
        if (op.addend() != null) {
            // The sum reads what lies at the destination, so the addend goes there first, unless it is there.
            Operand addend = section.operand(op.addend());
            if (addend.layout().sameAs(output.layout())) {
                plan.allowOverwriting(op.addend());
            }
            section.copyUnlessInPlace(plan, addend, output);
        }
        List<Argument> arguments = new ArrayList<>(List.of(
                arg(
                        DNNL_ARG_SRC,
                        section.operand(
                                plan, op.input(), plan.layout(chosen, dnnl_query_src_md, section.extents(op.input())))),
                arg(
                        DNNL_ARG_WEIGHTS,
                        section.converted(
                                plan,
                                weights(op.weight(), op.groups()),
                                plan.layout(chosen, dnnl_query_weights_md, weightExtents))),
                arg(DNNL_ARG_DST, output)));
        if (bias != null) {
            arguments.add(arg(DNNL_ARG_BIAS, bias));
        }
        plan.primitive("convolution", chosen, arguments);
        return plan;
    }

    private OpPlan directInputGradient(Op.Conv2dInputGradient op) {
        OpPlan plan = section.plan();
        long[] weightExtents = weightExtents(op.weight(), op.groups());
        long[] inputExtents = section.extents(op.inputGradient());
        long[] outputExtents = section.extents(op.outputGradient());
        Geometry g = new Geometry(op.window());
        dnnl_primitive_desc forward = chooseForward(
                plan,
                Layout.any(section.scope(), inputExtents),
                weightExtents,
                null,
                outputExtents,
                op.window(),
                plan.attributes());
        dnnl_primitive_attr attributes = plan.attributes();
        dnnl_primitive_desc chosen = plan.choose(
                "convolution's input gradient",
                pd -> createInputGradient(
                        pd,
                        inputExtents,
                        weightExtents,
                        section.operand(op.outputGradient()).layout(),
                        g,
                        forward,
                        attributes),
                pd -> createInputGradient(
                        pd,
                        inputExtents,
                        weightExtents,
                        Layout.any(section.scope(), outputExtents),
                        g,
                        forward,
                        attributes));
        plan.primitive(
                "convolution's input gradient",
                chosen,
                arg(
                        DNNL_ARG_DIFF_DST,
                        section.operand(
                                plan, op.outputGradient(), plan.layout(chosen, dnnl_query_diff_dst_md, outputExtents))),
                arg(
                        DNNL_ARG_WEIGHTS,
                        section.converted(
                                plan,
                                weights(op.weight(), op.groups()),
                                plan.layout(chosen, dnnl_query_weights_md, weightExtents))),
                arg(
                        DNNL_ARG_DIFF_SRC,
                        section.define(op.inputGradient(), plan.layout(chosen, dnnl_query_diff_src_md, inputExtents))));
        return plan;
    }

    private int createInputGradient(
            dnnl_primitive_desc inputGradient,
            long[] inputExtents,
            long[] weightExtents,
            Layout outputGradient,
            Geometry g,
            dnnl_primitive_desc forward,
            dnnl_primitive_attr attributes) {
        return dnnl_convolution_backward_data_primitive_desc_create(
                inputGradient,
                section.oneDnn().engine,
                dnnl_convolution_direct,
                Layout.any(section.scope(), inputExtents).descriptor(),
                Layout.any(section.scope(), weightExtents).descriptor(),
                outputGradient.descriptor(),
                g.strides,
                g.dilations,
                g.padBefore,
                g.padAfter,
                forward,
                attributes);
    }

    private OpPlan directWeightGradient(Op.Conv2dWeightGradient op) {
        OpPlan plan = section.plan();
        long[] weightExtents = weightExtents(op.weightGradient(), op.groups());
        long[] inputExtents = section.extents(op.input());
        long[] outputExtents = section.extents(op.outputGradient());
        Geometry g = new Geometry(op.window());
        Layout input = Layout.any(section.scope(), section.extents(op.input()));
        Operand biasGradient = op.biasGradient() == null
                ? null
                : plan.scratch(section.operand(op.biasGradient()).layout());
        dnnl_primitive_desc forward =
                chooseForward(plan, input, weightExtents, biasGradient, outputExtents, op.window(), plan.attributes());
        dnnl_primitive_attr attributes = plan.attributes();
        dnnl_primitive_desc chosen = plan.choose(
                "convolution's weight gradient",
                pd -> createWeightGradient(
                        pd,
                        section.operand(op.input()).layout(),
                        weightExtents,
                        biasGradient,
                        section.operand(op.outputGradient()).layout(),
                        g,
                        forward,
                        attributes),
                pd -> createWeightGradient(
                        pd,
                        input,
                        weightExtents,
                        biasGradient,
                        Layout.any(section.scope(), outputExtents),
                        g,
                        forward,
                        attributes));
        Operand weightGradient = plan.scratch(plan.layout(chosen, dnnl_query_diff_weights_md, weightExtents));
        List<Argument> arguments = new ArrayList<>(List.of(
                arg(
                        DNNL_ARG_SRC,
                        section.operand(plan, op.input(), plan.layout(chosen, dnnl_query_src_md, inputExtents))),
                arg(
                        DNNL_ARG_DIFF_DST,
                        section.operand(
                                plan, op.outputGradient(), plan.layout(chosen, dnnl_query_diff_dst_md, outputExtents))),
                arg(DNNL_ARG_DIFF_WEIGHTS, weightGradient)));
        if (biasGradient != null) {
            arguments.add(arg(DNNL_ARG_DIFF_BIAS, biasGradient));
        }
        plan.primitive("convolution's weight gradient", chosen, arguments);
        section.accumulate(plan, weightGradient, weights(op.weightGradient(), op.groups()));
        if (biasGradient != null && op.biasGradient() != null) {
            section.accumulate(plan, biasGradient, section.operand(op.biasGradient()));
        }
        return plan;
    }

    private int createWeightGradient(
            dnnl_primitive_desc weightGradient,
            Layout input,
            long[] weightExtents,
            @Nullable Operand biasGradient,
            Layout outputGradient,
            Geometry g,
            dnnl_primitive_desc forward,
            dnnl_primitive_attr attributes) {
        return dnnl_convolution_backward_weights_primitive_desc_create(
                weightGradient,
                section.oneDnn().engine,
                dnnl_convolution_direct,
                input.descriptor(),
                Layout.any(section.scope(), weightExtents).descriptor(),
                descriptor(biasGradient),
                outputGradient.descriptor(),
                g.strides,
                g.dilations,
                g.padBefore,
                g.padAfter,
                forward,
                attributes);
    }
}
