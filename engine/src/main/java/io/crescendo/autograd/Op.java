package io.crescendo.autograd;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * One operation of a program: a record that names the values it reads and the values it defines.
 *
 * <p>Letters: N samples, C input channels, K output channels, H and W rows and columns, F features, G ghost groups.
 * Every operation states its formula; the reference backend is that formula in plain loops.
 */
public sealed interface Op {
    /** Calls the visitor's method for this operation. */
    <R> R accept(OpVisitor<R> visitor);

    /** Values this operation reads, packs included. */
    List<Value> inputs();

    /** Values this operation defines; gradients in the pack, which it adds to, are listed here too. */
    List<Value> outputs();

    /**
     * Inputs whose memory the first output may take over when they are not needed afterwards. The planner uses this
     * only where the backend agrees.
     */
    default List<Value> overwritable() {
        return List.of();
    }

    /**
     * Floating-point operations: 2 per multiplication and addition of convolutions and dense layers. Of everything else
     * 0, as is usual, because it is bound by memory.
     */
    default double flops() {
        return 0;
    }

    /** The name of the operation in the field's usual words, as {@link Program#dump()} prints it. */
    default String name() {
        return getClass().getSimpleName();
    }

    /**
     * Convolution (in the usual sense of the field, a cross-correlation).
     *
     * <p>y[n,k,h,w] = relu?( Σ_{c,r,s} x[n, c, h·stride + r − pad, w·stride + s − pad] · weight[k,c,r,s] + bias[k] +
     * addend[n,k,h,w] ), c running over the channels of k's group.
     *
     * @param input x, (N, C, H, W)
     * @param weight (K, C / groups, R, S)
     * @param bias (K), or null
     * @param addend (N, K, H', W'), or null
     * @param output y, (N, K, H', W')
     * @param window kernel, stride and padding
     * @param groups C and K are split into this many independent groups
     * @param relu whether negative results become zero
     */
    record Conv2d(
            Value input,
            Value weight,
            @Nullable Value bias,
            @Nullable Value addend,
            Value output,
            Window window,
            int groups,
            boolean relu)
            implements Op {
        /** The same with a value added before the ReLU. */
        Conv2d plus(Value addition, Value sum) {
            return new Conv2d(input, weight, bias, addition, sum, window, groups, relu);
        }

        /** The same with a ReLU behind it. */
        Conv2d withRelu(Value rectified) {
            return new Conv2d(input, weight, bias, addend, rectified, window, groups, true);
        }

        @Override
        public double flops() {
            return 2.0 * output.shape().elements() * weight.shape().elementsPerSample();
        }

        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return present(input, weight, bias, addend);
        }

        @Override
        public List<Value> outputs() {
            return List.of(output);
        }

        @Override
        public List<Value> overwritable() {
            return present(addend);
        }
    }

    /**
     * dx[n,c,·,·] = Σ over all windows that saw the element of weight · dy, the transposed convolution, + addend.
     *
     * @param addend what others contribute to dx, or null
     */
    record Conv2dInputGradient(
            Value outputGradient, Value weight, @Nullable Value addend, Value inputGradient, Window window, int groups)
            implements Op {
        @Override
        public double flops() {
            return 2.0 * outputGradient.shape().elements() * weight.shape().elementsPerSample();
        }

        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return present(outputGradient, weight, addend);
        }

        @Override
        public List<Value> outputs() {
            return List.of(inputGradient);
        }

        @Override
        public List<Value> overwritable() {
            return present(addend);
        }
    }

    /** dweight[k,c,r,s] += Σ_{n,h,w} x[n,c,…] · dy[n,k,h,w]; dbias[k] += Σ_{n,h,w} dy[n,k,h,w]. */
    record Conv2dWeightGradient(
            Value input,
            Value outputGradient,
            Value weightGradient,
            @Nullable Value biasGradient,
            Window window,
            int groups)
            implements Op {
        @Override
        public double flops() {
            return 2.0
                    * outputGradient.shape().elements()
                    * weightGradient.shape().elementsPerSample();
        }

        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(input, outputGradient);
        }

        @Override
        public List<Value> outputs() {
            return present(weightGradient, biasGradient);
        }
    }

    /** y[n,k] = Σ_f x[n,f] · weight[k,f] + bias[k]. Input (N, F), weight (K, F), bias (K) or null, output (N, K). */
    record Dense(Value input, Value weight, @Nullable Value bias, Value output) implements Op {
        @Override
        public double flops() {
            return 2.0 * output.shape().elements() * weight.shape().elementsPerSample();
        }

        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return present(input, weight, bias);
        }

        @Override
        public List<Value> outputs() {
            return List.of(output);
        }
    }

    /** dx[n,f] = Σ_k dy[n,k] · weight[k,f]. */
    record DenseInputGradient(Value outputGradient, Value weight, Value inputGradient) implements Op {
        @Override
        public double flops() {
            return 2.0 * outputGradient.shape().elements() * weight.shape().elementsPerSample();
        }

        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(outputGradient, weight);
        }

        @Override
        public List<Value> outputs() {
            return List.of(inputGradient);
        }
    }

    /** dweight[k,f] += Σ_n dy[n,k] · x[n,f]; dbias[k] += Σ_n dy[n,k]. */
    record DenseWeightGradient(
            Value input,
            Value outputGradient,
            Value weightGradient,
            @Nullable Value biasGradient) implements Op {
        @Override
        public double flops() {
            return 2.0
                    * outputGradient.shape().elements()
                    * weightGradient.shape().elementsPerSample();
        }

        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(input, outputGradient);
        }

        @Override
        public List<Value> outputs() {
            return present(weightGradient, biasGradient);
        }
    }

    /**
     * Batch normalisation over ghost batches (Hoffer et al. 2017, arXiv 1705.08741), training form.
     *
     * <p>Samples are taken in consecutive groups of {@code ghostBatch}; the last group has what is left. For group g
     * and channel c over its M = groupSize·H·W elements: mean[g,c] = Σx/M, variance[g,c] = Σ(x−mean)²/M; y = relu?(
     * scale[c]·(x−mean)/√(variance+epsilon) + shift[c] + addend ). Group after group, running ← (1−momentum)·running +
     * momentum·(mean, or variance·M/(M−1); for M = 1 the variance itself).
     *
     * @param input x, (N, C, H, W)
     * @param scale (C)
     * @param shift (C)
     * @param runningMean (C) in the statistics pack; updated
     * @param runningVariance (C) in the statistics pack; updated
     * @param addend (N, C, H, W), added before the ReLU, or null
     * @param output y, (N, C, H, W)
     * @param mean (G, C), kept for the gradient
     * @param variance (G, C), kept for the gradient
     * @param mask with {@code relu}: which outputs are positive, kept for the gradient; otherwise null. Nominally one
     *     byte per element, a backend may pack it
     * @param ghostBatch samples per statistic
     * @param epsilon added to the variance
     * @param momentum weight of the newest statistic in the running averages
     */
    record GhostBatchNorm(
            Value input,
            Value scale,
            Value shift,
            Value runningMean,
            Value runningVariance,
            @Nullable Value addend,
            Value output,
            Value mean,
            Value variance,
            @Nullable Value mask,
            int ghostBatch,
            double epsilon,
            double momentum)
            implements Op {
        /** Whether the result passes through a ReLU. */
        public boolean relu() {
            return mask != null;
        }

        /** The same with a value added before the ReLU. */
        GhostBatchNorm plus(Value addition, Value sum) {
            return with(addition, sum, mask);
        }

        /** The same with a ReLU behind it, which keeps a mask. */
        GhostBatchNorm withRelu(Value reluMask, Value rectified) {
            return with(addend, rectified, reluMask);
        }

        /** The same with another weight of the newest statistic in the running averages; with 0 they stay. */
        GhostBatchNorm withMomentum(double newMomentum) {
            return new GhostBatchNorm(
                    input,
                    scale,
                    shift,
                    runningMean,
                    runningVariance,
                    addend,
                    output,
                    mean,
                    variance,
                    mask,
                    ghostBatch,
                    epsilon,
                    newMomentum);
        }

        private GhostBatchNorm with(@Nullable Value newAddend, Value newOutput, @Nullable Value newMask) {
            return new GhostBatchNorm(
                    input,
                    scale,
                    shift,
                    runningMean,
                    runningVariance,
                    newAddend,
                    newOutput,
                    mean,
                    variance,
                    newMask,
                    ghostBatch,
                    epsilon,
                    momentum);
        }

        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return present(input, scale, shift, runningMean, runningVariance, addend);
        }

        @Override
        public List<Value> outputs() {
            return present(output, mean, variance, mask);
        }

        @Override
        public List<Value> overwritable() {
            return present(addend);
        }
    }

    /**
     * Gradient of {@link GhostBatchNorm}. With dz = dy where the mask is set (all of dy without one), x̂ =
     * (x−mean)/√(variance+epsilon) and M elements per group and channel: dscale[c] += Σ dz·x̂, dshift[c] += Σ dz, dx =
     * scale/√(variance+epsilon) · (dz − Σ_group dz/M − x̂·Σ_group(dz·x̂)/M) + residual, daddend = dz. The residual is
     * what else the input's readers have contributed to its gradient.
     */
    record GhostBatchNormGradient(
            Value input,
            Value outputGradient,
            Value scale,
            Value mean,
            Value variance,
            @Nullable Value mask,
            @Nullable Value residual,
            Value inputGradient,
            @Nullable Value addendGradient,
            Value scaleGradient,
            Value shiftGradient,
            int ghostBatch,
            double epsilon)
            implements Op {
        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return present(input, outputGradient, scale, mean, variance, mask, residual);
        }

        @Override
        public List<Value> outputs() {
            return present(inputGradient, addendGradient, scaleGradient, shiftGradient);
        }

        @Override
        public List<Value> overwritable() {
            return present(outputGradient, residual);
        }
    }

    /** Batch normalisation with running averages: y = relu?(scale·(x−mean)/√(variance+epsilon) + shift + addend). */
    record BatchNormInference(
            Value input,
            Value scale,
            Value shift,
            Value runningMean,
            Value runningVariance,
            @Nullable Value addend,
            Value output,
            double epsilon,
            boolean relu)
            implements Op {
        /** The same with a value added before the ReLU. */
        BatchNormInference plus(Value addition, Value sum) {
            return new BatchNormInference(
                    input, scale, shift, runningMean, runningVariance, addition, sum, epsilon, relu);
        }

        /** The same with a ReLU behind it. */
        BatchNormInference withRelu(Value rectified) {
            return new BatchNormInference(
                    input, scale, shift, runningMean, runningVariance, addend, rectified, epsilon, true);
        }

        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return present(input, scale, shift, runningMean, runningVariance, addend);
        }

        @Override
        public List<Value> outputs() {
            return List.of(output);
        }

        @Override
        public List<Value> overwritable() {
            return present(input, addend);
        }
    }

    /** y = max(x, 0). */
    record Relu(Value input, Value output) implements Op {
        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(input);
        }

        @Override
        public List<Value> outputs() {
            return List.of(output);
        }

        @Override
        public List<Value> overwritable() {
            return List.of(input);
        }
    }

    /** dx = dy where the forward output y was positive, else 0. */
    record ReluGradient(Value output, Value outputGradient, Value inputGradient) implements Op {
        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(output, outputGradient);
        }

        @Override
        public List<Value> outputs() {
            return List.of(inputGradient);
        }

        @Override
        public List<Value> overwritable() {
            return List.of(outputGradient);
        }
    }

    /** y = relu?(left + right), equal shapes. */
    record Add(Value left, Value right, Value output, boolean relu) implements Op {
        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(left, right);
        }

        @Override
        public List<Value> outputs() {
            return List.of(output);
        }

        @Override
        public List<Value> overwritable() {
            return List.of(left, right);
        }
    }

    /** y = factor · x; its own gradient with dy for x. */
    record Scale(Value input, Value output, double factor) implements Op {
        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(input);
        }

        @Override
        public List<Value> outputs() {
            return List.of(output);
        }

        @Override
        public List<Value> overwritable() {
            return List.of(input);
        }
    }

    /** The inputs one after another along the channel axis. */
    record Concat(List<Value> inputs, Value output) implements Op {
        public Concat {
            inputs = List.copyOf(inputs);
        }

        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> outputs() {
            return List.of(output);
        }
    }

    /** Cuts the channels apart again: the gradient of {@link Concat}. */
    record ConcatGradient(Value outputGradient, List<Value> inputGradients) implements Op {
        public ConcatGradient {
            inputGradients = List.copyOf(inputGradients);
        }

        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(outputGradient);
        }

        @Override
        public List<Value> outputs() {
            return inputGradients;
        }
    }

    /**
     * The largest element of each window; padding never wins. A NaN does, on the reference and on cuda.
     *
     * @param input (N, C, H, W)
     * @param output (N, C, H', W')
     * @param indices (N, C, H', W'), which element won (the first of equals), or null where no gradient is wanted. The
     *     encoding is the backend's own
     * @param window kernel, stride and padding
     */
    record MaxPool(Value input, Value output, @Nullable Value indices, Window window) implements Op {
        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(input);
        }

        @Override
        public List<Value> outputs() {
            return present(output, indices);
        }
    }

    /** Each dy goes to the element that won its window; overlapping windows add up. */
    record MaxPoolGradient(Value outputGradient, Value indices, Value inputGradient, Window window) implements Op {
        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(outputGradient, indices);
        }

        @Override
        public List<Value> outputs() {
            return List.of(inputGradient);
        }
    }

    /** The mean of each window; the divisor counts only elements inside the image, not the padding. */
    record AveragePool(Value input, Value output, Window window) implements Op {
        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(input);
        }

        @Override
        public List<Value> outputs() {
            return List.of(output);
        }
    }

    /** Spreads each dy evenly over its window's elements inside the image. */
    record AveragePoolGradient(Value outputGradient, Value inputGradient, Window window) implements Op {
        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(outputGradient);
        }

        @Override
        public List<Value> outputs() {
            return List.of(inputGradient);
        }
    }

    /** The same elements in row-major order under another shape; flattening and its gradient. */
    record Reshape(Value input, Value output) implements Op {
        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(input);
        }

        @Override
        public List<Value> outputs() {
            return List.of(output);
        }

        @Override
        public List<Value> overwritable() {
            return List.of(input);
        }
    }

    /**
     * Dropout (Srivastava et al. 2014), inverted form: y = x / (1−rate) where kept, else 0; its own gradient with dy
     * for x.
     *
     * <p>Element e (row-major within its sample) of the sample whose number on the training clock is s is kept exactly
     * if {@link Dropouts#keeps(long, long, long, long, double) Dropouts.keeps(seed, key, s, e, rate)}, with the seed of
     * the feed: so neither the batch, nor micro-batches, nor the backend change the mask.
     */
    record Dropout(Value input, Value output, double rate, long key) implements Op {
        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(input);
        }

        @Override
        public List<Value> outputs() {
            return List.of(output);
        }

        @Override
        public List<Value> overwritable() {
            return List.of(input);
        }
    }

    /**
     * Softmax cross-entropy, summed over samples, with label smoothing (Szegedy et al. 2016, arXiv 1512.00567).
     *
     * <p>p = softmax(logits[n]); target t[k] = smoothing/K + (1−smoothing)·[k = label]; loss += −Σ_k t[k]·log p[k];
     * dlogits[n,k] = p[k] − t[k]. A logit of −∞ has p = 0, and without smoothing no part in another's loss. A hit is
     * counted where the first largest logit is the label. Loss sum and hits go to the backend's metrics.
     *
     * @param logits (N, K)
     * @param labels (N) int32
     * @param logitsGradient (N, K), or null where no gradient is wanted
     * @param labelSmoothing in [0, 1)
     */
    record SoftmaxCrossEntropy(
            Value logits, Value labels, @Nullable Value logitsGradient, double labelSmoothing) implements Op {
        @Override
        public <R> R accept(OpVisitor<R> visitor) {
            return visitor.visit(this);
        }

        @Override
        public List<Value> inputs() {
            return List.of(logits, labels);
        }

        @Override
        public List<Value> outputs() {
            return present(logitsGradient);
        }

        @Override
        public List<Value> overwritable() {
            return List.of(logits);
        }
    }

    private static List<Value> present(@Nullable Value... values) {
        List<Value> list = new ArrayList<>(values.length);
        for (Value value : values) {
            if (value != null) {
                list.add(Objects.requireNonNull(value));
            }
        }
        return List.copyOf(list);
    }
}
