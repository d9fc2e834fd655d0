package io.crescendo.reference;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;

/** The dense layer and its gradients, as defined on {@link Op.Dense}. */
final class DenseLayer {
    private DenseLayer() {}

    static void forward(Op.Dense op, Operands operands) {
        Tensor x = operands.at(op.input()); // (N, F)
        Tensor weight = operands.at(op.weight()); // (K, F)
        Tensor y = operands.at(op.output()); // (N, K)
        Value bias = op.bias(); // (K)
        int features = x.dim(1);
        int outputs = y.dim(1);
        for (int n = 0; n < x.dim(0); n++) {
            for (int k = 0; k < outputs; k++) {
                double sum = bias == null ? 0 : operands.at(bias).get(k);
                for (int f = 0; f < features; f++) {
                    sum += x.get(n * features + f) * weight.get(k * features + f);
                }
                y.set(n * outputs + k, sum);
            }
        }
    }

    static void inputGradient(Op.DenseInputGradient op, Operands operands) {
        Tensor dy = operands.at(op.outputGradient()); // (N, K)
        Tensor weight = operands.at(op.weight()); // (K, F)
        Tensor dx = operands.at(op.inputGradient()); // (N, F)
        int features = dx.dim(1);
        int outputs = dy.dim(1);
        for (int n = 0; n < dx.dim(0); n++) {
            for (int f = 0; f < features; f++) {
                double sum = 0;
                for (int k = 0; k < outputs; k++) {
                    sum += dy.get(n * outputs + k) * weight.get(k * features + f);
                }
                dx.set(n * features + f, sum);
            }
        }
    }

    static void weightGradient(Op.DenseWeightGradient op, Operands operands) {
        Tensor x = operands.at(op.input()); // (N, F)
        Tensor dy = operands.at(op.outputGradient()); // (N, K)
        Tensor dweight = operands.at(op.weightGradient()); // (K, F)
        Value dbias = op.biasGradient(); // (K)
        int features = x.dim(1);
        int outputs = dy.dim(1);
        for (int n = 0; n < x.dim(0); n++) {
            for (int k = 0; k < outputs; k++) {
                double gradient = dy.get(n * outputs + k);
                for (int f = 0; f < features; f++) {
                    dweight.add(k * features + f, gradient * x.get(n * features + f));
                }
                if (dbias != null) {
                    operands.at(dbias).add(k, gradient);
                }
            }
        }
    }
}
