package io.crescendo.autograd;

/**
 * The geometry of a convolution or pooling window.
 *
 * <p>Output extent along one axis: {@code (extent + padBefore + padAfter - kernel) / stride + 1}, rounded down.
 *
 * @param kernelHeight rows of the window
 * @param kernelWidth columns of the window
 * @param strideHeight rows between two windows
 * @param strideWidth columns between two windows
 * @param padTop rows added above
 * @param padLeft columns added on the left
 * @param padBottom rows added below
 * @param padRight columns added on the right
 */
public record Window(
        int kernelHeight,
        int kernelWidth,
        int strideHeight,
        int strideWidth,
        int padTop,
        int padLeft,
        int padBottom,
        int padRight) {
    public Window {
        if (kernelHeight < 1 || kernelWidth < 1 || strideHeight < 1 || strideWidth < 1) {
            throw new IllegalArgumentException("kernel and stride must be at least 1, but the kernel is " + kernelHeight
                    + "x" + kernelWidth + " and the stride " + strideHeight + "x" + strideWidth);
        }
        if (padTop < 0 || padLeft < 0 || padBottom < 0 || padRight < 0) {
            throw new IllegalArgumentException("padding must not be negative, but is top " + padTop + ", left "
                    + padLeft + ", bottom " + padBottom + ", right " + padRight);
        }
        if (padTop >= kernelHeight || padBottom >= kernelHeight || padLeft >= kernelWidth || padRight >= kernelWidth) {
            throw new IllegalArgumentException("padding must be smaller than the kernel, or some windows would see"
                    + " nothing but padding; the kernel is " + kernelHeight + "x" + kernelWidth + ", the padding top "
                    + padTop + ", left " + padLeft + ", bottom " + padBottom + ", right " + padRight);
        }
    }

    /** A square window. */
    public static Window square(int kernel, int stride, int padding) {
        return new Window(kernel, kernel, stride, stride, padding, padding, padding, padding);
    }

    /** Rows of the output for an input of this many rows. */
    public long outputHeight(long height) {
        return (height + padTop + padBottom - kernelHeight) / strideHeight + 1;
    }

    /** Columns of the output for an input of this many columns. */
    public long outputWidth(long width) {
        return (width + padLeft + padRight - kernelWidth) / strideWidth + 1;
    }

    /** Whether the window fits into the padded input at all. */
    public boolean fits(long height, long width) {
        return height + padTop + padBottom >= kernelHeight && width + padLeft + padRight >= kernelWidth;
    }

    @Override
    public String toString() {
        return kernelHeight + "x" + kernelWidth + "/" + strideHeight + "x" + strideWidth + " pad " + padTop + ","
                + padLeft + "," + padBottom + "," + padRight;
    }
}
