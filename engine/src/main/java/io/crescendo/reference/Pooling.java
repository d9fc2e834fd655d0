package io.crescendo.reference;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;

/** Pooling and its gradients. Every plane (one channel of one sample) is pooled alone. */
final class Pooling {
    private Pooling() {}

    static void max(Op.MaxPool op, Operands operands) {
        Tensor x = operands.at(op.input()); // (N, C, H, W)
        Tensor y = operands.at(op.output()); // (N, C, H', W')
        Value indices = op.indices(); // (N, C, H', W'): the winner's position in its input plane
        for (int at = 0; at < y.elements(); at++) {
            Span span = new Span(op.window(), x, y, at);
            int winner = -1;
            for (int h = span.top; h < span.bottom; h++) {
                for (int w = span.left; w < span.right; w++) {
                    int candidate = h * x.dim(3) + w;
                    if (winner < 0 || wins(x.get(span.plane + candidate), x.get(span.plane + winner))) {
                        winner = candidate;
                    }
                }
            }
            y.set(at, x.get(span.plane + winner));
            if (indices != null) {
                operands.at(indices).set(at, winner);
            }
        }
    }

    /** The first NaN wins, so that a network that has diverged does not look sound. */
    private static boolean wins(double candidate, double largest) {
        return candidate > largest || (Double.isNaN(candidate) && !Double.isNaN(largest));
    }

    static void maxGradient(Op.MaxPoolGradient op, Operands operands) {
        Tensor dy = operands.at(op.outputGradient()); // (N, C, H', W')
        Tensor indices = operands.at(op.indices()); // (N, C, H', W')
        Tensor dx = operands.at(op.inputGradient()); // (N, C, H, W)
        clear(dx);
        for (int at = 0; at < dy.elements(); at++) {
            dx.add(at / dy.plane() * dx.plane() + (int) indices.get(at), dy.get(at));
        }
    }

    static void average(Op.AveragePool op, Operands operands) {
        Tensor x = operands.at(op.input()); // (N, C, H, W)
        Tensor y = operands.at(op.output()); // (N, C, H', W')
        for (int at = 0; at < y.elements(); at++) {
            Span span = new Span(op.window(), x, y, at);
            double sum = 0;
            for (int h = span.top; h < span.bottom; h++) {
                for (int w = span.left; w < span.right; w++) {
                    sum += x.get(span.plane + h * x.dim(3) + w);
                }
            }
            y.set(at, sum / span.count());
        }
    }

    static void averageGradient(Op.AveragePoolGradient op, Operands operands) {
        Tensor dy = operands.at(op.outputGradient()); // (N, C, H', W')
        Tensor dx = operands.at(op.inputGradient()); // (N, C, H, W)
        clear(dx);
        for (int at = 0; at < dy.elements(); at++) {
            Span span = new Span(op.window(), dx, dy, at);
            double share = dy.get(at) / span.count();
            for (int h = span.top; h < span.bottom; h++) {
                for (int w = span.left; w < span.right; w++) {
                    dx.add(span.plane + h * dx.dim(3) + w, share);
                }
            }
        }
    }

    private static void clear(Tensor tensor) {
        for (int i = 0; i < tensor.elements(); i++) {
            tensor.set(i, 0);
        }
    }

    /** The part of one window that lies inside the image: rows [top, bottom), columns [left, right). */
    private static final class Span {
        final int plane;
        final int top;
        final int bottom;
        final int left;
        final int right;

        Span(Window window, Tensor input, Tensor output, int outputElement) {
            int row = outputElement / output.dim(3) % output.dim(2) * window.strideHeight() - window.padTop();
            int column = outputElement % output.dim(3) * window.strideWidth() - window.padLeft();
            plane = outputElement / output.plane() * input.plane();
            top = Math.max(row, 0);
            bottom = Math.min(row + window.kernelHeight(), input.dim(2));
            left = Math.max(column, 0);
            right = Math.min(column + window.kernelWidth(), input.dim(3));
        }

        int count() {
            return (bottom - top) * (right - left);
        }
    }
}
