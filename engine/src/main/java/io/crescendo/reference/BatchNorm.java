package io.crescendo.reference;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import org.jspecify.annotations.Nullable;

/** Batch normalisation over ghost batches, as defined on {@link Op.GhostBatchNorm}. */
final class BatchNorm {
    private BatchNorm() {}

    static void forward(Op.GhostBatchNorm op, Operands operands) {
        Tensor x = operands.at(op.input()); // (N, C, H, W)
        Tensor mean = operands.at(op.mean()); // (G, C)
        Tensor variance = operands.at(op.variance()); // (G, C)
        Tensor runningMean = operands.at(op.runningMean()); // (C)
        Tensor runningVariance = operands.at(op.runningVariance()); // (C)
        Tensor scale = operands.at(op.scale());
        Tensor shift = operands.at(op.shift());
        Tensor y = operands.at(op.output()); // (N, C, H, W), may lie where the addend lies
        Tensor addend = optional(op.addend(), operands);
        Tensor mask = optional(op.mask(), operands);
        int channels = x.dim(1);
        int plane = x.plane();
        for (int first = 0, g = 0; first < x.dim(0); first += op.ghostBatch(), g++) {
            int end = Math.min(first + op.ghostBatch(), x.dim(0));
            double count = (double) (end - first) * plane; // M
            for (int c = 0; c < channels; c++) {
                double sum = 0;
                for (int n = first; n < end; n++) {
                    for (int i = 0; i < plane; i++) {
                        sum += x.get((n * channels + c) * plane + i);
                    }
                }
                double average = sum / count;
                double squares = 0;
                for (int n = first; n < end; n++) {
                    for (int i = 0; i < plane; i++) {
                        double distance = x.get((n * channels + c) * plane + i) - average;
                        squares += distance * distance;
                    }
                }
                double spread = squares / count;
                mean.set(g * channels + c, average);
                variance.set(g * channels + c, spread);
                average(runningMean, c, average, op.momentum());
                average(runningVariance, c, count == 1 ? spread : squares / (count - 1), op.momentum());
                double inverse = 1 / Math.sqrt(spread + op.epsilon());
                for (int n = first; n < end; n++) {
                    for (int i = 0; i < plane; i++) {
                        int at = (n * channels + c) * plane + i;
                        double z = scale.get(c) * (x.get(at) - average) * inverse + shift.get(c);
                        z += addend == null ? 0 : addend.get(at);
                        if (mask != null) {
                            mask.set(at, z > 0 ? 1 : 0);
                            z = Math.max(z, 0);
                        }
                        y.set(at, z);
                    }
                }
            }
        }
    }

    static void gradient(Op.GhostBatchNormGradient op, Operands operands) {
        Tensor x = operands.at(op.input()); // (N, C, H, W)
        Tensor dy = operands.at(op.outputGradient()); // (N, C, H, W)
        Tensor scale = operands.at(op.scale());
        Tensor mean = operands.at(op.mean()); // (G, C)
        Tensor variance = operands.at(op.variance()); // (G, C)
        Tensor mask = optional(op.mask(), operands);
        Tensor residual = optional(op.residual(), operands);
        Tensor dx = operands.at(op.inputGradient()); // may lie where dy or the residual lies
        Tensor daddend = optional(op.addendGradient(), operands);
        Tensor dscale = operands.at(op.scaleGradient());
        Tensor dshift = operands.at(op.shiftGradient());
        int channels = x.dim(1);
        int plane = x.plane();
        for (int first = 0, g = 0; first < x.dim(0); first += op.ghostBatch(), g++) {
            int end = Math.min(first + op.ghostBatch(), x.dim(0));
            double count = (double) (end - first) * plane; // M
            for (int c = 0; c < channels; c++) {
                double average = mean.get(g * channels + c);
                double inverse = 1 / Math.sqrt(variance.get(g * channels + c) + op.epsilon());
                double sum = 0; // Σ dz
                double dot = 0; // Σ dz·x̂
                for (int n = first; n < end; n++) {
                    for (int i = 0; i < plane; i++) {
                        int at = (n * channels + c) * plane + i;
                        double dz = mask == null || mask.get(at) != 0 ? dy.get(at) : 0;
                        sum += dz;
                        dot += dz * (x.get(at) - average) * inverse;
                    }
                }
                dshift.add(c, sum);
                dscale.add(c, dot);
                for (int n = first; n < end; n++) {
                    for (int i = 0; i < plane; i++) {
                        int at = (n * channels + c) * plane + i;
                        double dz = mask == null || mask.get(at) != 0 ? dy.get(at) : 0;
                        double normalised = (x.get(at) - average) * inverse;
                        if (daddend != null) {
                            daddend.set(at, dz);
                        }
                        double other = residual == null ? 0 : residual.get(at);
                        dx.set(at, scale.get(c) * inverse * (dz - sum / count - normalised * dot / count) + other);
                    }
                }
            }
        }
    }

    static void inference(Op.BatchNormInference op, Operands operands) {
        Tensor x = operands.at(op.input()); // (N, C, H, W)
        Tensor scale = operands.at(op.scale());
        Tensor shift = operands.at(op.shift());
        Tensor mean = operands.at(op.runningMean()); // (C)
        Tensor variance = operands.at(op.runningVariance()); // (C)
        Tensor addend = optional(op.addend(), operands);
        Tensor y = operands.at(op.output()); // may lie where x or the addend lies
        for (int at = 0; at < x.elements(); at++) {
            int c = at / x.plane() % x.dim(1);
            double z =
                    scale.get(c) * (x.get(at) - mean.get(c)) / Math.sqrt(variance.get(c) + op.epsilon()) + shift.get(c);
            z += addend == null ? 0 : addend.get(at);
            y.set(at, op.relu() ? Math.max(z, 0) : z);
        }
    }

    private static void average(Tensor running, int c, double newest, double momentum) {
        running.set(c, (1 - momentum) * running.get(c) + momentum * newest);
    }

    private static @Nullable Tensor optional(@Nullable Value value, Operands operands) {
        return value == null ? null : operands.at(value);
    }
}
