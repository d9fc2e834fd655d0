package io.crescendo.autograd;

import java.util.List;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * Writes an operation down again with other values.
 *
 * @param read what stands for a value that the operation reads
 * @param written what stands for a value that it defines
 */
record Substitution(UnaryOperator<Value> read, UnaryOperator<Value> written) implements OpVisitor<Op> {
    private Value in(Value value) {
        return read.apply(value);
    }

    private @Nullable Value inOrNull(@Nullable Value value) {
        return value == null ? null : read.apply(value);
    }

    private List<Value> in(List<Value> values) {
        return values.stream().map(read).toList();
    }

    private Value out(Value value) {
        return written.apply(value);
    }

    private @Nullable Value outOrNull(@Nullable Value value) {
        return value == null ? null : written.apply(value);
    }

    private List<Value> out(List<Value> values) {
        return values.stream().map(written).toList();
    }

    @Override
    public Op visit(Op.Conv2d op) {
        return new Op.Conv2d(
                in(op.input()),
                in(op.weight()),
                inOrNull(op.bias()),
                inOrNull(op.addend()),
                out(op.output()),
                op.window(),
                op.groups(),
                op.relu());
    }

    @Override
    public Op visit(Op.Conv2dInputGradient op) {
        return new Op.Conv2dInputGradient(
                in(op.outputGradient()),
                in(op.weight()),
                inOrNull(op.addend()),
                out(op.inputGradient()),
                op.window(),
                op.groups());
    }

    @Override
    public Op visit(Op.Conv2dWeightGradient op) {
        return new Op.Conv2dWeightGradient(
                in(op.input()),
                in(op.outputGradient()),
                out(op.weightGradient()),
                outOrNull(op.biasGradient()),
                op.window(),
                op.groups());
    }

    @Override
    public Op visit(Op.Dense op) {
        return new Op.Dense(in(op.input()), in(op.weight()), inOrNull(op.bias()), out(op.output()));
    }

    @Override
    public Op visit(Op.DenseInputGradient op) {
        return new Op.DenseInputGradient(in(op.outputGradient()), in(op.weight()), out(op.inputGradient()));
    }

    @Override
    public Op visit(Op.DenseWeightGradient op) {
        return new Op.DenseWeightGradient(
                in(op.input()), in(op.outputGradient()), out(op.weightGradient()), outOrNull(op.biasGradient()));
    }

    @Override
    public Op visit(Op.GhostBatchNorm op) {
        return new Op.GhostBatchNorm(
                in(op.input()),
                in(op.scale()),
                in(op.shift()),
                in(op.runningMean()),
                in(op.runningVariance()),
                inOrNull(op.addend()),
                out(op.output()),
                out(op.mean()),
                out(op.variance()),
                outOrNull(op.mask()),
                op.ghostBatch(),
                op.epsilon(),
                op.momentum());
    }

    @Override
    public Op visit(Op.GhostBatchNormGradient op) {
        return new Op.GhostBatchNormGradient(
                in(op.input()),
                in(op.outputGradient()),
                in(op.scale()),
                in(op.mean()),
                in(op.variance()),
                inOrNull(op.mask()),
                inOrNull(op.residual()),
                out(op.inputGradient()),
                outOrNull(op.addendGradient()),
                out(op.scaleGradient()),
                out(op.shiftGradient()),
                op.ghostBatch(),
                op.epsilon());
    }

    @Override
    public Op visit(Op.BatchNormInference op) {
        return new Op.BatchNormInference(
                in(op.input()),
                in(op.scale()),
                in(op.shift()),
                in(op.runningMean()),
                in(op.runningVariance()),
                inOrNull(op.addend()),
                out(op.output()),
                op.epsilon(),
                op.relu());
    }

    @Override
    public Op visit(Op.Relu op) {
        return new Op.Relu(in(op.input()), out(op.output()));
    }

    @Override
    public Op visit(Op.ReluGradient op) {
        return new Op.ReluGradient(in(op.output()), in(op.outputGradient()), out(op.inputGradient()));
    }

    @Override
    public Op visit(Op.Add op) {
        return new Op.Add(in(op.left()), in(op.right()), out(op.output()), op.relu());
    }

    @Override
    public Op visit(Op.Scale op) {
        return new Op.Scale(in(op.input()), out(op.output()), op.factor());
    }

    @Override
    public Op visit(Op.Concat op) {
        return new Op.Concat(in(op.inputs()), out(op.output()));
    }

    @Override
    public Op visit(Op.ConcatGradient op) {
        return new Op.ConcatGradient(in(op.outputGradient()), out(op.inputGradients()));
    }

    @Override
    public Op visit(Op.MaxPool op) {
        return new Op.MaxPool(in(op.input()), out(op.output()), outOrNull(op.indices()), op.window());
    }

    @Override
    public Op visit(Op.MaxPoolGradient op) {
        return new Op.MaxPoolGradient(in(op.outputGradient()), in(op.indices()), out(op.inputGradient()), op.window());
    }

    @Override
    public Op visit(Op.AveragePool op) {
        return new Op.AveragePool(in(op.input()), out(op.output()), op.window());
    }

    @Override
    public Op visit(Op.AveragePoolGradient op) {
        return new Op.AveragePoolGradient(in(op.outputGradient()), out(op.inputGradient()), op.window());
    }

    @Override
    public Op visit(Op.Reshape op) {
        return new Op.Reshape(in(op.input()), out(op.output()));
    }

    @Override
    public Op visit(Op.Dropout op) {
        return new Op.Dropout(in(op.input()), out(op.output()), op.rate(), op.key());
    }

    @Override
    public Op visit(Op.SoftmaxCrossEntropy op) {
        return new Op.SoftmaxCrossEntropy(
                in(op.logits()), in(op.labels()), outOrNull(op.logitsGradient()), op.labelSmoothing());
    }
}
