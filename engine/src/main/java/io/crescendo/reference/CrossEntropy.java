package io.crescendo.reference;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;

/** Softmax cross-entropy with label smoothing, as defined on {@link Op.SoftmaxCrossEntropy}. */
final class CrossEntropy {
    private CrossEntropy() {}

    static void softmax(Op.SoftmaxCrossEntropy op, Operands operands) {
        Tensor logits = operands.at(op.logits()); // (N, K)
        Tensor labels = operands.at(op.labels()); // (N)
        Value gradient = op.logitsGradient(); // (N, K), may lie where the logits lie
        int classes = logits.dim(1);
        for (int n = 0; n < logits.dim(0); n++) {
            int row = n * classes;
            int label = (int) labels.get(n);
            if (label < 0 || label >= classes) {
                throw new IllegalArgumentException("the label of sample " + n + " is " + label + ", but " + op.logits()
                        + " has classes 0 to " + (classes - 1));
            }
            int largest = 0;
            for (int k = 1; k < classes; k++) {
                if (logits.get(row + k) > logits.get(row + largest)) {
                    largest = k;
                }
            }
            double top = logits.get(row + largest); // subtracted, so that no exponential overflows
            double sum = 0;
            for (int k = 0; k < classes; k++) {
                sum += Math.exp(logits.get(row + k) - top);
            }
            double logSum = Math.log(sum);
            double loss = 0;
            for (int k = 0; k < classes; k++) {
                double target = op.labelSmoothing() / classes + (k == label ? 1 - op.labelSmoothing() : 0);
                double logProbability = logits.get(row + k) - top - logSum;
                loss -= target == 0 ? 0 : target * logProbability; // of minus infinity, too
                if (gradient != null) {
                    operands.at(gradient).set(row + k, Math.exp(logProbability) - target);
                }
            }
            operands.metrics().add(loss, largest == label ? 1 : 0);
        }
    }
}
