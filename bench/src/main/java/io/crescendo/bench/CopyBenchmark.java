package io.crescendo.bench;

import java.util.List;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * The ceiling of everything that streams through memory: a plain copy of float32 on the processor.
 *
 * <p>Bytes read plus bytes written, as in {@link UpdateBenchmark}. Two ways, of which the better is the machine's: Java
 * arrays on huge pages, and direct buffers, whose copy is the C library's. A quarter of a gigabyte does not fit into a
 * cache. With 0.3 and 16.5 MB, source and destination together are as large as weights, velocities and gradients of
 * {@code fashion-cnn} (0.05 M parameters) and {@code wide-resnet-16-4} (2.75 M): an update is to be held against a copy
 * that is as well cached.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Fork(
        value = 2,
        jvmArgsAppend = {"-Xmx1500m", "-XX:+UseTransparentHugePages"})
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 7, time = 1)
public class CopyBenchmark {
    /** Of the source; the destination is as large. */
    @Param({"0.3", "1", "16.5", "256"})
    public double megabytes;

    /** {@code array} or {@code direct}. */
    @Param({"array", "direct"})
    public String memory = "array";

    /** Threads; 0 for all. */
    @Param({"0"})
    public int threads;

    private Copying copying;

    /** Fills the source, copies once and compares. */
    @Setup
    public void prepare() {
        if (!List.of("array", "direct").contains(memory)) {
            throw new IllegalArgumentException("unknown memory '" + memory + "'; known are array, direct");
        }
        copying = new Copying((long) (1e6 * megabytes), threads, memory.equals("direct"));
    }

    /** The timed copy. */
    @Benchmark
    public void copy(Rate.Bytes rate) {
        copying.run();
        rate.bytes += copying.bytes();
    }

    /** Ends the threads. */
    @TearDown
    public void close() {
        copying.close();
    }
}
