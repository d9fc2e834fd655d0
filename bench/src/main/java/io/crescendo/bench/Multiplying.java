package io.crescendo.bench;

import java.util.Arrays;
import org.bytedeco.dnnl.global.dnnl;
import org.bytedeco.javacpp.FloatPointer;

/**
 * oneDNN's float32 product of two square matrices, on all threads: the ceiling of everything that multiplies.
 *
 * <p>The matrices are constant; the first product is made, and looked at, when it is opened.
 */
public final class Multiplying implements AutoCloseable {
    private final int size;
    private final FloatPointer left;
    private final FloatPointer right;
    private final FloatPointer product;

    /**
     * Multiplies once and looks at the result.
     *
     * @param size rows and columns
     */
    public Multiplying(int size) {
        this.size = size;
        left = constant(0.5f);
        right = constant(0.25f);
        product = constant(0);
        run();
        float last = product.get((long) size * size - 1);
        if (last != size / 8f) {
            throw new IllegalStateException("an element of the product is " + last + ", not " + size / 8f);
        }
    }

    private FloatPointer constant(float value) {
        float[] values = new float[size * size];
        Arrays.fill(values, value);
        return new FloatPointer(values);
    }

    /** One product. */
    public void run() {
        int status =
                dnnl.dnnl_sgemm((byte) 'N', (byte) 'N', size, size, size, 1, left, size, right, size, 0, product, size);
        if (status != 0) {
            throw new IllegalStateException("oneDNN's matrix product failed with status " + status);
        }
    }

    /** Multiplications plus additions of one product. */
    public long flops() {
        return 2L * size * size * size;
    }

    /** Releases the matrices. */
    @Override
    public void close() {
        left.close();
        right.close();
        product.close();
    }
}
