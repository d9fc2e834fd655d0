package io.crescendo.cpu;

import io.crescendo.autograd.Op;
import io.crescendo.backend.HostStepMetrics;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import org.jspecify.annotations.Nullable;

/**
 * Softmax cross-entropy in Java: a few numbers per sample, summed in double precision and in the order of the samples.
 */
final class Losses {
    private Losses() {}

    static OpPlan softmaxCrossEntropy(SectionLowering section, HostStepMetrics metrics, Op.SoftmaxCrossEntropy op) {
        OpPlan plan = section.plan();
        Layout plain = Layout.plain(section.scope(), section.extents(op.logits()));
        Operand given = section.operand(op.logits());
        if (given.layout().isPlain()) {
            plan.allowOverwriting(op.logits());
        }
        Operand logits = section.converted(plan, given, plain);
        Operand gradient = op.logitsGradient() == null ? null : section.define(op.logitsGradient(), plain);
        int samples = section.samples();
        int classes = Math.toIntExact(op.logits().shape().dim(1));
        plan.step((binding, steps) -> {
            long elements = (long) samples * classes;
            steps.add(new Softmax(
                    metrics,
                    samples,
                    classes,
                    op.labelSmoothing(),
                    binding.floats(logits, elements),
                    gradient == null ? null : binding.floats(gradient, elements)));
        });
        return plan;
    }

    private static final class Softmax implements Step {
        private final HostStepMetrics metrics;
        private final int samples;
        private final int classes;
        private final double smoothing;
        private final Binding.Floats logits;
        private final Binding.@Nullable Floats gradient;
        private final double[] exponentials;

        Softmax(
                HostStepMetrics metrics,
                int samples,
                int classes,
                double smoothing,
                Binding.Floats logits,
                Binding.@Nullable Floats gradient) {
            this.metrics = metrics;
            this.samples = samples;
            this.classes = classes;
            this.smoothing = smoothing;
            this.logits = logits;
            this.gradient = gradient;
            this.exponentials = new double[classes];
        }

        @Override
        public void run(Shard shard) {
            FloatBuffer x = logits.buffer();
            FloatBuffer dx = gradient == null ? null : gradient.buffer();
            IntBuffer labels = shard.labels();
            double loss = 0;
            long hits = 0;
            for (int n = 0; n < samples; n++) {
                int label = labels.get(shard.first() + n);
                if (label < 0 || label >= classes) {
                    throw new IllegalArgumentException("sample " + (shard.first() + n) + " of the feed has label "
                            + label + ", but the network has " + classes + " classes");
                }
                int row = n * classes;
                int best = 0;
                double largest = x.get(row);
                double sumOfLogits = largest;
                for (int k = 1; k < classes; k++) {
                    double logit = x.get(row + k);
                    sumOfLogits += logit;
                    if (logit > largest) {
                        largest = logit;
                        best = k;
                    }
                }
                double sum = 0;
                for (int k = 0; k < classes; k++) {
                    // Relative to the largest, so that nothing overflows.
                    exponentials[k] = Math.exp(x.get(row + k) - largest);
                    sum += exponentials[k];
                }
                // −Σ t·log p with log p[k] = logit[k] − logSum and Σ t = 1.
                double logSum = largest + Math.log(sum);
                double others = smoothing == 0 ? 0 : smoothing * sumOfLogits / classes; // which may be infinite
                loss += logSum - (1 - smoothing) * x.get(row + label) - others;
                hits += best == label ? 1 : 0;
                if (dx != null) {
                    for (int k = 0; k < classes; k++) {
                        double target = smoothing / classes + (k == label ? 1 - smoothing : 0);
                        dx.put(row + k, (float) (exponentials[k] / sum - target));
                    }
                }
            }
            metrics.add(loss, hits);
        }
    }
}
