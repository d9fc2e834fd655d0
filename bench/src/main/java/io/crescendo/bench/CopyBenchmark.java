package io.crescendo.bench;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
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
 * cache.
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
    @Param({"1", "16", "256"})
    public int megabytes;

    /** {@code array} or {@code direct}. */
    @Param({"array", "direct"})
    public String memory = "array";

    /** Threads; 0 for all. */
    @Param({"0"})
    public int threads;

    private Runnable[] parts;
    private ExecutorService pool;
    private int elements;

    /** Fills the source, copies once and compares. */
    @Setup
    public void prepare() {
        int workers = threads > 0 ? threads : Runtime.getRuntime().availableProcessors();
        elements = megabytes * 1_000_000 / Float.BYTES;
        float[] values = new float[elements];
        for (int i = 0; i < elements; i++) {
            values[i] = i % 1000 + 0.5f; // neither zeros nor denormal
        }
        parts = new Runnable[workers];
        FloatBuffer to;
        if (memory.equals("array")) {
            float[] copy = new float[elements];
            to = FloatBuffer.wrap(copy);
            split((start, length) -> () -> System.arraycopy(values, start, copy, start, length));
        } else {
            FloatBuffer from = direct().put(0, values);
            to = direct();
            split((start, length) -> () -> to.put(start, from, start, length));
        }
        pool = Executors.newFixedThreadPool(Math.max(1, workers - 1), task -> {
            Thread thread = new Thread(task, "copy");
            thread.setDaemon(true);
            return thread;
        });
        copy(new Rate.Bytes());
        if (!to.equals(FloatBuffer.wrap(values))) {
            throw new IllegalStateException("a copy of " + megabytes + " MB differs from what was copied");
        }
    }

    private interface Part {
        Runnable of(int start, int length);
    }

    private void split(Part part) {
        for (int i = 0; i < parts.length; i++) {
            int start = (int) ((long) elements * i / parts.length);
            int end = (int) ((long) elements * (i + 1) / parts.length);
            parts[i] = part.of(start, end - start);
        }
    }

    private FloatBuffer direct() {
        return ByteBuffer.allocateDirect(Float.BYTES * elements)
                .order(ByteOrder.nativeOrder())
                .asFloatBuffer();
    }

    /** The timed copy. */
    @Benchmark
    public void copy(Rate.Bytes rate) {
        @Nullable Future<?>[] others = new Future<?>[parts.length];
        for (int i = 1; i < parts.length; i++) {
            others[i] = pool.submit(parts[i]);
        }
        parts[0].run();
        for (@Nullable Future<?> other : others) {
            await(other);
        }
        rate.bytes += 2L * Float.BYTES * elements;
    }

    private static void await(@Nullable Future<?> other) {
        try {
            if (other != null) {
                other.get();
            }
        } catch (InterruptedException | ExecutionException e) {
            throw new IllegalStateException("the copy did not finish", e);
        }
    }

    /** Ends the threads. */
    @TearDown
    public void close() {
        pool.shutdown();
    }
}
