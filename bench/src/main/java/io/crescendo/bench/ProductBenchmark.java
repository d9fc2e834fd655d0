package io.crescendo.bench;

import java.util.concurrent.TimeUnit;
import org.bytedeco.dnnl.global.dnnl;
import org.bytedeco.javacpp.FloatPointer;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** The ceiling of everything that multiplies: oneDNN's float32 product of two square matrices, on all threads. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 7, time = 1)
public class ProductBenchmark {
    /** Floating-point operations per second. */
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    @State(Scope.Thread)
    public static class Operations {
        /** Multiplications plus additions. */
        public long flops;

        /** Starts every iteration at zero. */
        @Setup(Level.Iteration)
        public void reset() {
            flops = 0;
        }
    }

    /** Rows and columns. */
    @Param({"64", "2048"})
    public int size;

    private FloatPointer left;
    private FloatPointer right;
    private FloatPointer product;

    /** Multiplies constant matrices once and looks at the result. */
    @Setup
    public void prepare() {
        left = constant(0.5f);
        right = constant(0.25f);
        product = constant(0);
        multiply(new Operations());
        float last = product.get((long) size * size - 1);
        if (last != size / 8f) {
            throw new IllegalStateException("an element of the product is " + last + ", not " + size / 8f);
        }
    }

    private FloatPointer constant(float value) {
        float[] values = new float[size * size];
        java.util.Arrays.fill(values, value);
        return new FloatPointer(values);
    }

    /** The timed product. */
    @Benchmark
    public int multiply(Operations operations) {
        int status =
                dnnl.dnnl_sgemm((byte) 'N', (byte) 'N', size, size, size, 1, left, size, right, size, 0, product, size);
        if (status != 0) {
            throw new IllegalStateException("oneDNN's matrix product failed with status " + status);
        }
        operations.flops += 2L * size * size * size;
        return status;
    }

    /** Releases the matrices. */
    @TearDown
    public void close() {
        left.close();
        right.close();
        product.close();
    }
}
