package io.crescendo.bench;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.jspecify.annotations.Nullable;

/**
 * A plain copy of float32 on all threads: the ceiling of everything that streams through memory.
 *
 * <p>The source holds neither zeros nor denormal numbers. The first copy is made, and compared, when it is opened.
 */
public final class Copying implements AutoCloseable {
    private final int elements;
    private final Runnable[] parts;
    private final ExecutorService pool;

    private interface Part {
        Runnable of(int start, int length);
    }

    /**
     * Fills a source, copies once and compares.
     *
     * @param bytes of the source; the destination is as large
     * @param threads 0 for all
     * @param direct whether both are direct buffers, whose copy is the C library's, instead of arrays
     */
    public Copying(long bytes, int threads, boolean direct) {
        elements = Math.toIntExact(bytes / Float.BYTES);
        parts = new Runnable[threads > 0 ? threads : Runtime.getRuntime().availableProcessors()];
        float[] values = new float[elements];
        for (int i = 0; i < elements; i++) {
            values[i] = i % 1000 + 0.5f;
        }
        FloatBuffer to;
        if (direct) {
            FloatBuffer from = direct().put(0, values);
            to = direct();
            split((start, length) -> () -> to.put(start, from, start, length));
        } else {
            float[] copy = new float[elements];
            to = FloatBuffer.wrap(copy);
            split((start, length) -> () -> System.arraycopy(values, start, copy, start, length));
        }
        pool = Executors.newFixedThreadPool(Math.max(1, parts.length - 1), task -> {
            Thread thread = new Thread(task, "copy");
            thread.setDaemon(true);
            return thread;
        });
        run();
        if (!to.equals(FloatBuffer.wrap(values))) {
            throw new IllegalStateException("a copy of " + bytes + " bytes differs from what was copied");
        }
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

    /** One copy. */
    public void run() {
        @Nullable Future<?>[] others = new Future<?>[parts.length];
        for (int i = 1; i < parts.length; i++) {
            others[i] = pool.submit(parts[i]);
        }
        parts[0].run();
        for (@Nullable Future<?> other : others) {
            await(other);
        }
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

    /** Bytes read plus bytes written by one copy. */
    public long bytes() {
        return 2L * Float.BYTES * elements;
    }

    /** Ends the threads. */
    @Override
    public void close() {
        pool.shutdown();
    }
}
