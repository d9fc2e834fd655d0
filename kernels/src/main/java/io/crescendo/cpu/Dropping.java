package io.crescendo.cpu;

import io.crescendo.autograd.Dropouts;
import io.crescendo.autograd.Op;
import java.nio.FloatBuffer;

/**
 * Dropout in Java, on plain layouts: the mask is defined by the row-major number of an element, and computing it costs
 * far more than the multiplication.
 */
final class Dropping {
    /** Decisions made at a time: few enough for the first-level cache, a multiple of four as the generator wants. */
    private static final int CHUNK = 1024;

    private Dropping() {}

    static OpPlan dropout(SectionLowering section, Op.Dropout op) {
        OpPlan plan = section.plan();
        Operand input = section.operand(op.input());
        if (input.layout().isPlain()) {
            plan.allowOverwriting(op.input());
        }
        Layout plain = Layout.plain(section.scope(), section.extents(op.output()));
        Operand output = section.define(op.output(), plain);
        section.copyUnlessInPlace(plan, input, output);
        int samples = section.samples();
        int elements = Math.toIntExact(op.output().shape().elementsPerSample());
        float scale = (float) (1 / (1 - op.rate()));
        boolean[] kept = new boolean[CHUNK];
        int[] words = new int[4];
        plan.step((binding, steps) -> {
            Binding.Floats values = binding.floats(output, (long) samples * elements);
            steps.add(shard -> {
                FloatBuffer buffer = values.buffer();
                for (int n = 0; n < samples; n++) {
                    for (int first = 0; first < elements; first += CHUNK) {
                        int length = Math.min(CHUNK, elements - first);
                        Dropouts.keeps(
                                shard.seed(),
                                op.key(),
                                shard.firstSample() + n,
                                first,
                                op.rate(),
                                kept,
                                0,
                                length,
                                words);
                        for (int i = 0; i < length; i++) {
                            int at = n * elements + first + i;
                            buffer.put(at, kept[i] ? buffer.get(at) * scale : 0);
                        }
                    }
                }
            });
        });
        return plan;
    }
}
