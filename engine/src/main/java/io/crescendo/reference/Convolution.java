package io.crescendo.reference;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import org.jspecify.annotations.Nullable;

/** Convolution and its gradients, as defined on {@link Op.Conv2d}. */
final class Convolution {
    private Convolution() {}

    static void forward(Op.Conv2d op, Operands operands) {
        Tensor x = operands.at(op.input()); // (N, C, H, W)
        Tensor weight = operands.at(op.weight()); // (K, C / groups, R, S)
        Tensor bias = optional(op.bias(), operands); // (K)
        Tensor addend = optional(op.addend(), operands); // (N, K, H', W')
        Tensor y = operands.at(op.output()); // (N, K, H', W'), may lie where the addend lies
        Geometry g = new Geometry(x, y, weight, op.window(), op.groups());
        int at = 0;
        for (int n = 0; n < g.samples; n++) {
            for (int k = 0; k < g.outputs; k++) {
                for (int oh = 0; oh < g.outputHeight; oh++) {
                    for (int ow = 0; ow < g.outputWidth; ow++, at++) {
                        double sum = bias == null ? 0 : bias.get(k);
                        for (int c = 0; c < g.channelsPerGroup; c++) {
                            for (int r = 0; r < g.window.kernelHeight(); r++) {
                                int h = g.row(oh, r);
                                for (int s = 0; s < g.window.kernelWidth() && g.insideRows(h); s++) {
                                    int w = g.column(ow, s);
                                    if (g.insideColumns(w)) {
                                        sum += x.get(g.input(n, k, c, h, w)) * weight.get(g.weight(k, c, r, s));
                                    }
                                }
                            }
                        }
                        sum += addend == null ? 0 : addend.get(at);
                        y.set(at, op.relu() ? Math.max(sum, 0) : sum);
                    }
                }
            }
        }
    }

    static void inputGradient(Op.Conv2dInputGradient op, Operands operands) {
        Tensor dy = operands.at(op.outputGradient()); // (N, K, H', W')
        Tensor weight = operands.at(op.weight()); // (K, C / groups, R, S)
        Tensor addend = optional(op.addend(), operands);
        Tensor dx = operands.at(op.inputGradient()); // (N, C, H, W); may lie where the addend lies
        Geometry g = new Geometry(dx, dy, weight, op.window(), op.groups());
        for (int i = 0; i < dx.elements(); i++) {
            dx.set(i, addend == null ? 0 : addend.get(i));
        }
        int at = 0;
        for (int n = 0; n < g.samples; n++) {
            for (int k = 0; k < g.outputs; k++) {
                for (int oh = 0; oh < g.outputHeight; oh++) {
                    for (int ow = 0; ow < g.outputWidth; ow++, at++) {
                        double gradient = dy.get(at);
                        for (int c = 0; c < g.channelsPerGroup; c++) {
                            for (int r = 0; r < g.window.kernelHeight(); r++) {
                                int h = g.row(oh, r);
                                for (int s = 0; s < g.window.kernelWidth() && g.insideRows(h); s++) {
                                    int w = g.column(ow, s);
                                    if (g.insideColumns(w)) {
                                        dx.add(g.input(n, k, c, h, w), gradient * weight.get(g.weight(k, c, r, s)));
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    static void weightGradient(Op.Conv2dWeightGradient op, Operands operands) {
        Tensor x = operands.at(op.input()); // (N, C, H, W)
        Tensor dy = operands.at(op.outputGradient()); // (N, K, H', W')
        Tensor dweight = operands.at(op.weightGradient()); // (K, C / groups, R, S)
        Tensor dbias = optional(op.biasGradient(), operands); // (K)
        Geometry g = new Geometry(x, dy, dweight, op.window(), op.groups());
        for (int n = 0; n < g.samples; n++) {
            for (int k = 0; k < g.outputs; k++) {
                for (int c = 0; c < g.channelsPerGroup; c++) {
                    for (int r = 0; r < g.window.kernelHeight(); r++) {
                        for (int s = 0; s < g.window.kernelWidth(); s++) {
                            // One addition per sample, so that a split batch adds the same numbers in the same order.
                            dweight.add(g.weight(k, c, r, s), correlation(g, x, dy, n, k, c, r, s));
                        }
                    }
                }
                if (dbias != null) {
                    double sum = 0;
                    for (int i = 0; i < dy.plane(); i++) {
                        sum += dy.get((n * g.outputs + k) * dy.plane() + i);
                    }
                    dbias.add(k, sum);
                }
            }
        }
    }

    private static double correlation(Geometry g, Tensor x, Tensor dy, int n, int k, int c, int r, int s) {
        double sum = 0;
        for (int oh = 0; oh < g.outputHeight; oh++) {
            int h = g.row(oh, r);
            for (int ow = 0; ow < g.outputWidth && g.insideRows(h); ow++) {
                int w = g.column(ow, s);
                if (g.insideColumns(w)) {
                    sum += x.get(g.input(n, k, c, h, w))
                            * dy.get(((n * g.outputs + k) * g.outputHeight + oh) * g.outputWidth + ow);
                }
            }
        }
        return sum;
    }

    private static @Nullable Tensor optional(@Nullable Value value, Operands operands) {
        return value == null ? null : operands.at(value);
    }

    /** Extents and element positions of one convolution. */
    private static final class Geometry {
        final int samples;
        final int channels;
        final int channelsPerGroup;
        final int height;
        final int width;
        final int outputs;
        final int outputsPerGroup;
        final int outputHeight;
        final int outputWidth;
        final Window window;

        Geometry(Tensor input, Tensor output, Tensor weight, Window window, int groups) {
            samples = input.dim(0);
            channels = input.dim(1);
            channelsPerGroup = weight.dim(1);
            height = input.dim(2);
            width = input.dim(3);
            outputs = output.dim(1);
            outputsPerGroup = outputs / groups;
            outputHeight = output.dim(2);
            outputWidth = output.dim(3);
            this.window = window;
        }

        int row(int outputRow, int r) {
            return outputRow * window.strideHeight() + r - window.padTop();
        }

        int column(int outputColumn, int s) {
            return outputColumn * window.strideWidth() + s - window.padLeft();
        }

        boolean insideRows(int h) {
            return h >= 0 && h < height;
        }

        boolean insideColumns(int w) {
            return w >= 0 && w < width;
        }

        /** Position of channel c of output k's group in the input. */
        int input(int n, int k, int c, int h, int w) {
            int channel = k / outputsPerGroup * channelsPerGroup + c;
            return ((n * channels + channel) * height + h) * width + w;
        }

        int weight(int k, int c, int r, int s) {
            return ((k * channelsPerGroup + c) * window.kernelHeight() + r) * window.kernelWidth() + s;
        }
    }
}
