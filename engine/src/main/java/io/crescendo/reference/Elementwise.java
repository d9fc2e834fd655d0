package io.crescendo.reference;

import io.crescendo.autograd.Dropouts;
import io.crescendo.autograd.Op;

/** Operations that treat every element alone; each may overwrite its input. */
final class Elementwise {
    private Elementwise() {}

    static void relu(Op.Relu op, Operands operands) {
        Tensor x = operands.at(op.input());
        Tensor y = operands.at(op.output());
        for (int i = 0; i < y.elements(); i++) {
            y.set(i, Math.max(x.get(i), 0));
        }
    }

    static void reluGradient(Op.ReluGradient op, Operands operands) {
        Tensor y = operands.at(op.output());
        Tensor dy = operands.at(op.outputGradient());
        Tensor dx = operands.at(op.inputGradient());
        for (int i = 0; i < dx.elements(); i++) {
            dx.set(i, y.get(i) > 0 ? dy.get(i) : 0);
        }
    }

    static void add(Op.Add op, Operands operands) {
        Tensor left = operands.at(op.left());
        Tensor right = operands.at(op.right());
        Tensor y = operands.at(op.output());
        for (int i = 0; i < y.elements(); i++) {
            double sum = left.get(i) + right.get(i);
            y.set(i, op.relu() ? Math.max(sum, 0) : sum);
        }
    }

    static void scale(Op.Scale op, Operands operands) {
        Tensor x = operands.at(op.input());
        Tensor y = operands.at(op.output());
        for (int i = 0; i < y.elements(); i++) {
            y.set(i, op.factor() * x.get(i));
        }
    }

    static void dropout(Op.Dropout op, Operands operands) {
        Tensor x = operands.at(op.input());
        Tensor y = operands.at(op.output());
        int perSample = Math.toIntExact(y.shape().elementsPerSample());
        long seed = operands.feed().seed();
        for (int i = 0; i < y.elements(); i++) {
            long sample = operands.feed().firstSample() + i / perSample;
            boolean kept = Dropouts.keeps(seed, op.key(), sample, i % perSample, op.rate());
            y.set(i, kept ? x.get(i) / (1 - op.rate()) : 0);
        }
    }
}
