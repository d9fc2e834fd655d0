package io.crescendo.reference;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.OpVisitor;

/** Finds the loops for each operation. */
final class Kernels implements OpVisitor<Kernel> {
    @Override
    public Kernel visit(Op.Conv2d op) {
        return operands -> Convolution.forward(op, operands);
    }

    @Override
    public Kernel visit(Op.Conv2dInputGradient op) {
        return operands -> Convolution.inputGradient(op, operands);
    }

    @Override
    public Kernel visit(Op.Conv2dWeightGradient op) {
        return operands -> Convolution.weightGradient(op, operands);
    }

    @Override
    public Kernel visit(Op.Dense op) {
        return operands -> DenseLayer.forward(op, operands);
    }

    @Override
    public Kernel visit(Op.DenseInputGradient op) {
        return operands -> DenseLayer.inputGradient(op, operands);
    }

    @Override
    public Kernel visit(Op.DenseWeightGradient op) {
        return operands -> DenseLayer.weightGradient(op, operands);
    }

    @Override
    public Kernel visit(Op.GhostBatchNorm op) {
        return operands -> BatchNorm.forward(op, operands);
    }

    @Override
    public Kernel visit(Op.GhostBatchNormGradient op) {
        return operands -> BatchNorm.gradient(op, operands);
    }

    @Override
    public Kernel visit(Op.BatchNormInference op) {
        return operands -> BatchNorm.inference(op, operands);
    }

    @Override
    public Kernel visit(Op.Relu op) {
        return operands -> Elementwise.relu(op, operands);
    }

    @Override
    public Kernel visit(Op.ReluGradient op) {
        return operands -> Elementwise.reluGradient(op, operands);
    }

    @Override
    public Kernel visit(Op.Add op) {
        return operands -> Elementwise.add(op, operands);
    }

    @Override
    public Kernel visit(Op.Scale op) {
        return operands -> Elementwise.scale(op, operands);
    }

    @Override
    public Kernel visit(Op.Concat op) {
        return operands -> Rearranging.concat(op, operands);
    }

    @Override
    public Kernel visit(Op.ConcatGradient op) {
        return operands -> Rearranging.concatGradient(op, operands);
    }

    @Override
    public Kernel visit(Op.MaxPool op) {
        return operands -> Pooling.max(op, operands);
    }

    @Override
    public Kernel visit(Op.MaxPoolGradient op) {
        return operands -> Pooling.maxGradient(op, operands);
    }

    @Override
    public Kernel visit(Op.AveragePool op) {
        return operands -> Pooling.average(op, operands);
    }

    @Override
    public Kernel visit(Op.AveragePoolGradient op) {
        return operands -> Pooling.averageGradient(op, operands);
    }

    @Override
    public Kernel visit(Op.Reshape op) {
        return operands -> Rearranging.reshape(op, operands);
    }

    @Override
    public Kernel visit(Op.Dropout op) {
        return operands -> Elementwise.dropout(op, operands);
    }

    @Override
    public Kernel visit(Op.SoftmaxCrossEntropy op) {
        return operands -> CrossEntropy.softmax(op, operands);
    }
}
