package io.crescendo.cpu;

import static io.crescendo.cpu.OpPlan.arg;
import static org.bytedeco.dnnl.global.dnnl.*;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.cpu.OpPlan.Argument;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.dnnl.dnnl_primitive_attr;
import org.bytedeco.dnnl.dnnl_primitive_desc;
import org.jspecify.annotations.Nullable;

/**
 * Max and average pooling and their gradients, in the layout the input has.
 *
 * <p>Which element won a window is oneDNN's own workspace. An average divides by the elements inside the image.
 */
final class Pools {
    private final SectionLowering section;
    private final Map<Integer, Chosen> chosenByIndices = new HashMap<>();

    Pools(SectionLowering section) {
        this.section = section;
    }

    private record Chosen(dnnl_primitive_desc forward, Layout input, Layout output, Layout workspace) {}

    private dnnl_primitive_desc chooseForward(
            OpPlan plan, int propagation, int algorithm, Layout input, long[] outputExtents, Window window) {
        Geometry g = new Geometry(window);
        dnnl_primitive_attr attributes = plan.attributes();
        return plan.choose(
                "pooling",
                pd -> dnnl_pooling_forward_primitive_desc_create(
                        pd,
                        section.oneDnn().engine,
                        propagation,
                        algorithm,
                        input.descriptor(),
                        Layout.any(section.scope(), outputExtents).descriptor(),
                        g.strides,
                        g.kernel,
                        g.dilations,
                        g.padBefore,
                        g.padAfter,
                        attributes));
    }

    private void gradient(
            OpPlan plan,
            int algorithm,
            Value outputGradient,
            Value inputGradient,
            Window window,
            Chosen forward,
            @Nullable Operand workspace) {
        Geometry g = new Geometry(window);
        dnnl_primitive_attr attributes = plan.attributes();
        dnnl_primitive_desc chosen = plan.choose(
                "pooling's gradient",
                pd -> dnnl_pooling_backward_primitive_desc_create(
                        pd,
                        section.oneDnn().engine,
                        algorithm,
                        forward.input.descriptor(),
                        forward.output.descriptor(),
                        g.strides,
                        g.kernel,
                        g.dilations,
                        g.padBefore,
                        g.padAfter,
                        forward.forward,
                        attributes));
        List<Argument> arguments = new ArrayList<>(List.of(
                arg(DNNL_ARG_DIFF_DST, section.operand(plan, outputGradient, forward.output)),
                arg(DNNL_ARG_DIFF_SRC, section.define(inputGradient, forward.input))));
        if (workspace != null) {
            arguments.add(arg(DNNL_ARG_WORKSPACE, workspace));
        }
        plan.primitive("pooling's gradient", chosen, arguments);
    }

    OpPlan max(Op.MaxPool op) {
        OpPlan plan = section.plan();
        Operand input = section.operand(op.input());
        long[] outputExtents = section.extents(op.output());
        dnnl_primitive_desc chosen = chooseForward(
                plan,
                op.indices() == null ? dnnl_forward_inference : dnnl_forward_training,
                dnnl_pooling_max,
                input.layout(),
                outputExtents,
                op.window());
        Operand output = section.define(op.output(), plan.layout(chosen, dnnl_query_dst_md, outputExtents));
        List<Argument> arguments = new ArrayList<>(List.of(arg(DNNL_ARG_SRC, input), arg(DNNL_ARG_DST, output)));
        if (op.indices() != null) {
            Layout workspace = plan.layout(chosen, dnnl_query_workspace_md);
            arguments.add(arg(DNNL_ARG_WORKSPACE, section.define(op.indices(), workspace)));
            chosenByIndices.put(op.indices().id(), new Chosen(chosen, input.layout(), output.layout(), workspace));
        }
        plan.primitive("pooling", chosen, arguments);
        return plan;
    }

    OpPlan maxGradient(Op.MaxPoolGradient op) {
        OpPlan plan = section.plan();
        Chosen forward = chosenByIndices.get(op.indices().id());
        if (forward == null) {
            throw new IllegalStateException("no forward operation defined the indices of " + plan);
        }
        gradient(
                plan,
                dnnl_pooling_max,
                op.outputGradient(),
                op.inputGradient(),
                op.window(),
                forward,
                new Operand(forward.workspace, new Operand.Place.InArena(op.indices(), 0)));
        return plan;
    }

    OpPlan average(Op.AveragePool op) {
        OpPlan plan = section.plan();
        Operand input = section.operand(op.input());
        long[] outputExtents = section.extents(op.output());
        dnnl_primitive_desc chosen = chooseForward(
                plan,
                dnnl_forward_training,
                dnnl_pooling_avg_exclude_padding,
                input.layout(),
                outputExtents,
                op.window());
        Operand output = section.define(op.output(), plan.layout(chosen, dnnl_query_dst_md, outputExtents));
        plan.primitive("pooling", chosen, arg(DNNL_ARG_SRC, input), arg(DNNL_ARG_DST, output));
        return plan;
    }

    OpPlan averageGradient(Op.AveragePoolGradient op) {
        OpPlan plan = section.plan();
        long[] outputExtents = section.extents(op.outputGradient());
        Layout input = likeForwardInput(op);
        dnnl_primitive_desc forward = chooseForward(
                plan, dnnl_forward_training, dnnl_pooling_avg_exclude_padding, input, outputExtents, op.window());
        Layout output = plan.layout(forward, dnnl_query_dst_md, outputExtents);
        // Its kind carries no workspace; the record's last field is only there for the maximum.
        gradient(
                plan,
                dnnl_pooling_avg_exclude_padding,
                op.outputGradient(),
                op.inputGradient(),
                op.window(),
                new Chosen(forward, input, output, output),
                null);
        return plan;
    }

    /**
     * The layout of a forward operation of the same shape: an average's gradient does not name its input, and the
     * gradient's own layout says little when it comes from a flattened row.
     */
    private Layout likeForwardInput(Op.AveragePoolGradient gradient) {
        for (Op op : section.program().ops()) {
            if (op instanceof Op.AveragePool pool
                    && pool.window().equals(gradient.window())
                    && pool.input().shape().equals(gradient.inputGradient().shape())) {
                return section.operand(pool.input()).layout();
            }
        }
        return Layout.like(
                section.scope(),
                section.operand(gradient.outputGradient()).layout(),
                section.extents(gradient.inputGradient()));
    }
}
