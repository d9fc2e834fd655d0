package io.crescendo.bench.peers;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.google.gson.Gson;
import java.util.Arrays;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.bytedeco.dnnl.global.dnnl;
import org.bytedeco.javacpp.FloatPointer;

/**
 * What this machine can do at most, measured in the same run: no training step gets past these.
 *
 * <p>Each is the best of several trials, as a ceiling should be.
 *
 * @param productGigaflops of a float32 matrix product of {@value #SIZE}² by {@value #SIZE}², the better of the next two
 * @param oneDnnProductGigaflops the same by oneDNN
 * @param torchProductGigaflops the same by PyTorch
 * @param copyGigabytesPerSecond bytes read plus bytes written by copying {@value #COPY_MEGABYTES} MB on all threads
 */
public record Ceilings(
        double productGigaflops,
        double oneDnnProductGigaflops,
        double torchProductGigaflops,
        double copyGigabytesPerSecond) {
    static final int SIZE = 2048;
    static final int COPY_MEGABYTES = 256;
    private static final int TRIALS = 7;

    /** Threads; prints one line of JSON. */
    public static void main(String[] args) throws Exception {
        double oneDnn = oneDnnProduct();
        double torch = torchProduct();
        Ceilings ceilings = new Ceilings(Math.max(oneDnn, torch), oneDnn, torch, copy(Integer.parseInt(args[0])));
        System.out.println(Sample.PREFIX + new Gson().toJson(ceilings));
    }

    private static double oneDnnProduct() throws Exception {
        float[] values = new float[SIZE * SIZE];
        Arrays.fill(values, 0.5f); // not denormal, not zero
        try (FloatPointer a = new FloatPointer(values);
                FloatPointer b = new FloatPointer(values);
                FloatPointer c = new FloatPointer(values)) {
            return 2.0
                    * SIZE
                    * SIZE
                    * SIZE
                    / best(() -> {
                        int status = dnnl.dnnl_sgemm(
                                (byte) 'N', (byte) 'N', SIZE, SIZE, SIZE, 1, a, SIZE, b, SIZE, 0, c, SIZE);
                        if (status != 0) {
                            throw new IllegalStateException("oneDNN's matrix product failed with status " + status);
                        }
                        return null;
                    });
        }
    }

    private static double torchProduct() throws Exception {
        Engine.getEngine("PyTorch");
        try (NDManager manager = NDManager.newBaseManager()) {
            NDArray a = manager.full(new Shape(SIZE, SIZE), 0.5f);
            return 2.0
                    * SIZE
                    * SIZE
                    * SIZE
                    / best(() -> {
                        a.matMul(a).close();
                        return null;
                    });
        }
    }

    private static double copy(int threads) throws Exception {
        int elements = COPY_MEGABYTES * 1024 * 1024 / Float.BYTES;
        float[] from = new float[elements];
        float[] to = new float[elements];
        Arrays.fill(from, 0.5f);
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        try {
            return 2.0
                    * Float.BYTES
                    * elements
                    / best(() -> {
                        Future<?>[] parts = new Future<?>[threads];
                        for (int i = 0; i < threads; i++) {
                            int start = (int) ((long) elements * i / threads);
                            int end = (int) ((long) elements * (i + 1) / threads);
                            parts[i] = pool.submit(() -> System.arraycopy(from, start, to, start, end - start));
                        }
                        for (Future<?> part : parts) {
                            part.get();
                        }
                        return null;
                    });
        } finally {
            pool.shutdown();
        }
    }

    /** Nanoseconds of the fastest trial. */
    private static double best(Callable<?> work) throws Exception {
        double best = Double.POSITIVE_INFINITY;
        for (int i = 0; i < TRIALS; i++) {
            long start = System.nanoTime();
            work.call();
            best = Math.min(best, (double) (System.nanoTime() - start));
        }
        return best;
    }
}
