package io.crescendo.reference;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;

/** Operations that only move elements. */
final class Rearranging {
    private Rearranging() {}

    static void concat(Op.Concat op, Operands operands) {
        Tensor y = operands.at(op.output()); // (N, C1 + C2 + ..., H, W)
        int perSample = Math.toIntExact(y.shape().elementsPerSample());
        int first = 0; // where the part starts within a sample
        for (Value input : op.inputs()) {
            Tensor x = operands.at(input);
            int part = Math.toIntExact(x.shape().elementsPerSample());
            for (int i = 0; i < x.elements(); i++) {
                y.set(i / part * perSample + first + i % part, x.get(i));
            }
            first += part;
        }
    }

    static void concatGradient(Op.ConcatGradient op, Operands operands) {
        Tensor dy = operands.at(op.outputGradient()); // (N, C1 + C2 + ..., H, W)
        int perSample = Math.toIntExact(dy.shape().elementsPerSample());
        int first = 0;
        for (Value inputGradient : op.inputGradients()) {
            Tensor dx = operands.at(inputGradient);
            int part = Math.toIntExact(dx.shape().elementsPerSample());
            for (int i = 0; i < dx.elements(); i++) {
                dx.set(i, dy.get(i / part * perSample + first + i % part));
            }
            first += part;
        }
    }

    static void reshape(Op.Reshape op, Operands operands) {
        Tensor x = operands.at(op.input());
        Tensor y = operands.at(op.output()); // may lie where x lies
        for (int i = 0; i < y.elements(); i++) {
            y.set(i, x.get(i));
        }
    }
}
