package io.crescendo.cpu;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import java.util.List;

/**
 * Channels one after another, and apart again: one reorder per part into or out of a slice of the whole.
 *
 * <p>Slices of a blocked layout exist only at whole blocks, so an odd number of channels makes the whole plain.
 */
final class Concats {
    /** The widest block of channels in use. */
    private static final long BLOCK = 16;

    private final SectionLowering section;

    Concats(SectionLowering section) {
        this.section = section;
    }

    private Layout wholeLayout(Layout model, Value whole, List<Value> parts) {
        long[] extents = section.extents(whole);
        return parts.stream().allMatch(part -> part.shape().dim(1) % BLOCK == 0)
                ? Layout.like(section.scope(), model, extents)
                : Layout.plain(section.scope(), extents);
    }

    OpPlan forward(Op.Concat op) {
        OpPlan plan = section.plan();
        Layout layout = wholeLayout(section.operand(op.inputs().get(0)).layout(), op.output(), op.inputs());
        Operand whole = section.define(op.output(), layout);
        long channel = 0;
        for (Value part : op.inputs()) {
            section.reorder(plan, section.operand(part), slice(whole, part, channel));
            channel += part.shape().dim(1);
        }
        return plan;
    }

    OpPlan gradient(Op.ConcatGradient op) {
        OpPlan plan = section.plan();
        Layout given = section.operand(op.outputGradient()).layout();
        Layout layout = wholeLayout(given, op.outputGradient(), op.inputGradients());
        Operand whole = section.operand(plan, op.outputGradient(), layout);
        long channel = 0;
        for (Value part : op.inputGradients()) {
            Layout partLayout = Layout.like(section.scope(), layout, section.extents(part));
            section.reorder(plan, slice(whole, part, channel), section.define(part, partLayout));
            channel += part.shape().dim(1);
        }
        return plan;
    }

    private Operand slice(Operand whole, Value part, long firstChannel) {
        Layout slice = Layout.slice(
                section.scope(), whole.layout(), section.extents(part), new long[] {0, firstChannel, 0, 0});
        return new Operand(slice, whole.place());
    }
}
