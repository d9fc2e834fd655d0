package io.crescendo.cpu;

import io.crescendo.autograd.Op;

/**
 * The same elements in row-major order under another shape.
 *
 * <p>From a plain layout to a plain layout nothing needs to move. A blocked image is put in row-major order first; the
 * gradient of a flattening goes straight back into the layout that the flattened image had.
 */
final class Reshapes {
    private final SectionLowering section;

    Reshapes(SectionLowering section) {
        this.section = section;
    }

    OpPlan reshape(Op.Reshape op) {
        OpPlan plan = section.plan();
        long[] inputExtents = section.extents(op.input());
        long[] outputExtents = section.extents(op.output());
        Operand input = section.operand(op.input());
        Layout plainInput = Layout.plain(section.scope(), inputExtents);
        Layout wanted = likeFlattened(op);
        Operand output = section.define(op.output(), wanted);
        if (wanted.isPlain()) {
            if (input.layout().isPlain()) {
                plan.allowOverwriting(op.input());
            }
            // The destination seen under the input's shape.
            section.copyUnlessInPlace(plan, input, new Operand(plainInput, output.place()));
        } else {
            Operand plain = section.converted(plan, input, plainInput);
            Operand seen = new Operand(Layout.plain(section.scope(), outputExtents), plain.place());
            section.reorder(plan, seen, output);
        }
        return plan;
    }

    /** The layout of what was flattened, if this is the gradient of a flattening of this shape; otherwise plain. */
    private Layout likeFlattened(Op.Reshape gradient) {
        for (Op op : section.program().ops()) {
            if (op == gradient) {
                break;
            }
            if (op instanceof Op.Reshape flattening
                    && flattening.input().shape().equals(gradient.output().shape())
                    && flattening.output().shape().equals(gradient.input().shape())) {
                return Layout.like(
                        section.scope(),
                        section.operand(flattening.input()).layout(),
                        section.extents(gradient.output()));
            }
        }
        return Layout.plain(section.scope(), section.extents(gradient.output()));
    }
}
