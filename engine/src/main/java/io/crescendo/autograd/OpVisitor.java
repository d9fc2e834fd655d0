package io.crescendo.autograd;

/**
 * One method per operation, so that a backend that forgets one does not compile.
 *
 * @param <R> what the visit of one operation gives
 */
public interface OpVisitor<R> {
    R visit(Op.Conv2d op);

    R visit(Op.Conv2dInputGradient op);

    R visit(Op.Conv2dWeightGradient op);

    R visit(Op.Dense op);

    R visit(Op.DenseInputGradient op);

    R visit(Op.DenseWeightGradient op);

    R visit(Op.GhostBatchNorm op);

    R visit(Op.GhostBatchNormGradient op);

    R visit(Op.BatchNormInference op);

    R visit(Op.Relu op);

    R visit(Op.ReluGradient op);

    R visit(Op.Add op);

    R visit(Op.Scale op);

    R visit(Op.Concat op);

    R visit(Op.ConcatGradient op);

    R visit(Op.MaxPool op);

    R visit(Op.MaxPoolGradient op);

    R visit(Op.AveragePool op);

    R visit(Op.AveragePoolGradient op);

    R visit(Op.Reshape op);

    R visit(Op.Dropout op);

    R visit(Op.SoftmaxCrossEntropy op);
}
