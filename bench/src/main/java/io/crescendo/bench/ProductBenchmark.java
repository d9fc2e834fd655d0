package io.crescendo.bench;

import java.util.concurrent.TimeUnit;
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

    private Multiplying multiplying;

    /** Multiplies constant matrices once and looks at the result. */
    @Setup
    public void prepare() {
        multiplying = new Multiplying(size);
    }

    /** The timed product. */
    @Benchmark
    public void multiply(Operations operations) {
        multiplying.run();
        operations.flops += multiplying.flops();
    }

    /** Releases the matrices. */
    @TearDown
    public void close() {
        multiplying.close();
    }
}
