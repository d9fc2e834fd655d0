package io.crescendo.cpu;

import static io.crescendo.cpu.OpPlan.arg;
import static org.bytedeco.dnnl.global.dnnl.*;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.cpu.OpPlan.Argument;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.dnnl.dnnl_primitive_attr;
import org.bytedeco.dnnl.dnnl_primitive_desc;

/**
 * Batch normalisation over ghost batches, its gradient, and its inference form.
 *
 * <p>Every layout here keeps samples outermost, so a ghost group is a contiguous slice and one primitive runs on it;
 * the last group may be smaller and then has a primitive of its own. The ReLU mask is oneDNN's workspace, a bit per
 * element.
 */
final class Norms {
    private final SectionLowering section;

    /** What the forward operation chose, by the id of its mean: the gradient must be prepared as its counterpart. */
    private final Map<Integer, Chosen> chosenByMean = new HashMap<>();

    Norms(SectionLowering section) {
        this.section = section;
    }

    private record Chosen(Layout input, Map<Integer, dnnl_primitive_desc> forwardBySize, long maskBytesPerGroup) {}

    /** Samples {@code first} to {@code first + size - 1} of the section. */
    private record Group(int index, int first, int size) {}

    private List<Group> groups(int ghostBatch) {
        List<Group> groups = new ArrayList<>();
        for (int first = 0; first < section.samples(); first += ghostBatch) {
            groups.add(new Group(groups.size(), first, Math.min(ghostBatch, section.samples() - first)));
        }
        return groups;
    }

    private static int flags(boolean relu) {
        return dnnl_use_scale | dnnl_use_shift | (relu ? dnnl_fuse_norm_relu : 0);
    }

    private Layout ofSize(Layout whole, int size) {
        long[] extents = whole.extents();
        extents[0] = size;
        return Layout.like(section.scope(), whole, extents);
    }

    /** The slice of a tensor that belongs to a group. */
    private Operand slice(Operand whole, Group group) {
        long bytesPerSample = whole.layout().bytes() / section.samples();
        return whole.part(ofSize(whole.layout(), group.size), group.first * bytesPerSample);
    }

    private static IllegalArgumentException addendNotOffered() {
        return new IllegalArgumentException(
                "a batch norm with an addend is not among the fusions that the cpu backend offers; record the program"
                        + " with its fusions()");
    }

    /** The input as a layout that slices by samples: what it has, or plain where that has no name. */
    private Operand sliceable(OpPlan plan, Value value) {
        Operand operand = section.operand(value);
        return section.converted(plan, operand, Layout.like(section.scope(), operand.layout(), section.extents(value)));
    }

    OpPlan forward(Op.GhostBatchNorm op) {
        if (op.addend() != null) {
            throw addendNotOffered();
        }
        OpPlan plan = section.plan();
        long channels = op.scale().shape().elements();
        Operand input = sliceable(plan, op.input());
        Operand output = section.define(op.output(), input.layout());
        List<Group> groups = groups(op.ghostBatch());

        Map<Integer, dnnl_primitive_desc> forwardBySize = new HashMap<>();
        for (Group group : groups) {
            forwardBySize.computeIfAbsent(group.size, size -> {
                Layout layout = ofSize(input.layout(), size);
                dnnl_primitive_attr attributes = plan.attributes();
                return plan.choose(
                        "batch norm",
                        pd -> dnnl_batch_normalization_forward_primitive_desc_create(
                                pd,
                                section.oneDnn().engine,
                                dnnl_forward_training,
                                layout.descriptor(),
                                layout.descriptor(),
                                (float) op.epsilon(),
                                flags(op.relu()),
                                attributes));
            });
        }
        long maskBytes = 0;
        if (op.relu()) {
            for (dnnl_primitive_desc chosen : forwardBySize.values()) {
                maskBytes = Math.max(
                        maskBytes, plan.layout(chosen, dnnl_query_workspace_md).bytes());
            }
            maskBytes = (maskBytes + 63) / 64 * 64;
        }
        chosenByMean.put(op.mean().id(), new Chosen(input.layout(), forwardBySize, maskBytes));

        Layout vector = Layout.plain(section.scope(), channels);
        Operand mean = section.define(op.mean(), vector, groups.size() * vector.bytes());
        Operand variance = section.define(op.variance(), vector, groups.size() * vector.bytes());
        Operand mask = op.mask() == null ? null : section.define(op.mask(), vector, groups.size() * maskBytes);
        for (Group group : groups) {
            dnnl_primitive_desc chosen = forwardOf(forwardBySize, group);
            Operand groupMean = mean.part(vector, group.index * vector.bytes());
            Operand groupVariance = variance.part(vector, group.index * vector.bytes());
            List<Argument> arguments = new ArrayList<>(List.of(
                    arg(DNNL_ARG_SRC, slice(input, group)),
                    arg(DNNL_ARG_DST, slice(output, group)),
                    arg(DNNL_ARG_SCALE, section.operand(op.scale())),
                    arg(DNNL_ARG_SHIFT, section.operand(op.shift())),
                    arg(DNNL_ARG_MEAN, groupMean),
                    arg(DNNL_ARG_VARIANCE, groupVariance)));
            if (mask != null) {
                arguments.add(arg(DNNL_ARG_WORKSPACE, maskOf(plan, mask, chosen, group, maskBytes)));
            }
            plan.primitive("batch norm", chosen, arguments);
        }
        long elementsPerChannel = op.input().shape().dim(2) * op.input().shape().dim(3);
        plan.step((binding, steps) -> steps.add(new RunningAverages(
                Math.toIntExact(channels),
                groups.stream().mapToLong(g -> g.size * elementsPerChannel).toArray(),
                (float) op.momentum(),
                binding.floats(mean, channels * groups.size()),
                binding.floats(variance, channels * groups.size()),
                binding.floats(section.operand(op.runningMean()), channels),
                binding.floats(section.operand(op.runningVariance()), channels))));
        return plan;
    }

    private static dnnl_primitive_desc forwardOf(Map<Integer, dnnl_primitive_desc> forwardBySize, Group group) {
        dnnl_primitive_desc chosen = forwardBySize.get(group.size);
        if (chosen == null) {
            throw new IllegalStateException("no batch norm was prepared for groups of " + group.size);
        }
        return chosen;
    }

    private static Operand maskOf(
            OpPlan plan, Operand mask, dnnl_primitive_desc chosen, Group group, long maskBytesPerGroup) {
        return mask.part(plan.layout(chosen, dnnl_query_workspace_md), group.index * maskBytesPerGroup);
    }

    /** running ← (1 − momentum) · running + momentum · statistic, group after group. */
    private static final class RunningAverages implements Step {
        private final int channels;
        private final long[] elementsByGroup;
        private final float momentum;
        private final Binding.Floats mean;
        private final Binding.Floats variance;
        private final Binding.Floats runningMean;
        private final Binding.Floats runningVariance;

        RunningAverages(
                int channels,
                long[] elementsByGroup,
                float momentum,
                Binding.Floats mean,
                Binding.Floats variance,
                Binding.Floats runningMean,
                Binding.Floats runningVariance) {
            this.channels = channels;
            this.elementsByGroup = elementsByGroup;
            this.momentum = momentum;
            this.mean = mean;
            this.variance = variance;
            this.runningMean = runningMean;
            this.runningVariance = runningVariance;
        }

        @Override
        public void run(Shard shard) {
            for (int g = 0; g < elementsByGroup.length; g++) {
                long elements = elementsByGroup[g];
                // The variance of a sample estimates the population's with M / (M - 1); one element has none.
                float unbiased = elements > 1 ? (float) ((double) elements / (elements - 1)) : 1;
                blend(mean.buffer(), g * channels, 1, runningMean.buffer());
                blend(variance.buffer(), g * channels, unbiased, runningVariance.buffer());
            }
        }

        private void blend(FloatBuffer newest, int offset, float factor, FloatBuffer running) {
            for (int c = 0; c < channels; c++) {
                running.put(c, (1 - momentum) * running.get(c) + momentum * factor * newest.get(offset + c));
            }
        }
    }

    OpPlan gradient(Op.GhostBatchNormGradient op) {
        if (op.addendGradient() != null || op.residual() != null) {
            throw addendNotOffered();
        }
        OpPlan plan = section.plan();
        Chosen forward = chosenByMean.get(op.mean().id());
        if (forward == null) {
            throw new IllegalStateException("no forward operation defined the statistics of " + plan);
        }
        Operand input = section.operand(plan, op.input(), forward.input);
        Operand outputGradient = section.operand(op.outputGradient());
        if (outputGradient.layout().sameAs(forward.input)) {
            plan.allowOverwriting(op.outputGradient());
        }
        Operand dy = section.converted(plan, outputGradient, forward.input);
        Operand dx = section.define(op.inputGradient(), forward.input);
        Operand scale = section.operand(op.scale());
        Layout vector = scale.layout();
        Operand mean = new Operand(vector, new Operand.Place.InArena(op.mean(), 0));
        Operand variance = new Operand(vector, new Operand.Place.InArena(op.variance(), 0));
        boolean relu = op.mask() != null;
        int flags = flags(relu);
        Map<Integer, dnnl_primitive_desc> backwardBySize = new HashMap<>();
        for (Group group : groups(op.ghostBatch())) {
            dnnl_primitive_desc hint = forwardOf(forward.forwardBySize, group);
            dnnl_primitive_desc chosen = backwardBySize.computeIfAbsent(group.size, size -> {
                Layout layout = ofSize(forward.input, size);
                dnnl_primitive_attr attributes = plan.attributes();
                return plan.choose(
                        "batch norm's gradient",
                        pd -> dnnl_batch_normalization_backward_primitive_desc_create(
                                pd,
                                section.oneDnn().engine,
                                dnnl_backward,
                                layout.descriptor(),
                                layout.descriptor(),
                                layout.descriptor(),
                                (float) op.epsilon(),
                                flags,
                                hint,
                                attributes));
            });
            Operand scaleGradient = plan.scratch(vector);
            Operand shiftGradient = plan.scratch(vector);
            List<Argument> arguments = new ArrayList<>(List.of(
                    arg(DNNL_ARG_SRC, slice(input, group)),
                    arg(DNNL_ARG_DIFF_DST, slice(dy, group)),
                    arg(DNNL_ARG_SCALE, scale),
                    arg(DNNL_ARG_MEAN, mean.part(vector, group.index * vector.bytes())),
                    arg(DNNL_ARG_VARIANCE, variance.part(vector, group.index * vector.bytes())),
                    arg(DNNL_ARG_DIFF_SRC, slice(dx, group)),
                    arg(DNNL_ARG_DIFF_SCALE, scaleGradient),
                    arg(DNNL_ARG_DIFF_SHIFT, shiftGradient)));
            if (op.mask() != null) {
                Operand mask = new Operand(vector, new Operand.Place.InArena(op.mask(), 0));
                arguments.add(arg(DNNL_ARG_WORKSPACE, maskOf(plan, mask, hint, group, forward.maskBytesPerGroup)));
            }
            plan.primitive("batch norm's gradient", chosen, arguments);
            addTo(plan, scaleGradient, section.operand(op.scaleGradient()), vector);
            addTo(plan, shiftGradient, section.operand(op.shiftGradient()), vector);
        }
        return plan;
    }

    /** A vector of channels is too short to be worth a primitive. */
    private static void addTo(OpPlan plan, Operand from, Operand to, Layout vector) {
        int channels = Math.toIntExact(vector.extents()[0]);
        plan.step((binding, steps) -> {
            Binding.Floats source = binding.floats(from, channels);
            Binding.Floats target = binding.floats(to, channels);
            steps.add(shard -> {
                FloatBuffer sum = target.buffer();
                FloatBuffer addend = source.buffer();
                for (int c = 0; c < channels; c++) {
                    sum.put(c, sum.get(c) + addend.get(c));
                }
            });
        });
    }

    OpPlan inference(Op.BatchNormInference op) {
        if (op.addend() != null) {
            throw addendNotOffered();
        }
        OpPlan plan = section.plan();
        Operand input = section.operand(op.input());
        plan.allowOverwriting(op.input());
        Operand output = section.define(op.output(), input.layout());
        dnnl_primitive_attr attributes = plan.attributes();
        dnnl_primitive_desc chosen = plan.choose(
                "batch norm",
                pd -> dnnl_batch_normalization_forward_primitive_desc_create(
                        pd,
                        section.oneDnn().engine,
                        dnnl_forward_inference,
                        input.layout().descriptor(),
                        input.layout().descriptor(),
                        (float) op.epsilon(),
                        flags(op.relu()) | dnnl_use_global_stats,
                        attributes));
        plan.primitive(
                "batch norm",
                chosen,
                arg(DNNL_ARG_SRC, input),
                arg(DNNL_ARG_DST, output),
                arg(DNNL_ARG_SCALE, section.operand(op.scale())),
                arg(DNNL_ARG_SHIFT, section.operand(op.shift())),
                arg(DNNL_ARG_MEAN, section.operand(op.runningMean())),
                arg(DNNL_ARG_VARIANCE, section.operand(op.runningVariance())));
        return plan;
    }
}
