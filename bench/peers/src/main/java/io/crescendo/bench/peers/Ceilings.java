package io.crescendo.bench.peers;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.google.gson.Gson;
import io.crescendo.bench.Copying;
import io.crescendo.bench.Multiplying;
import java.util.concurrent.Callable;

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
        try (Multiplying product = new Multiplying(SIZE)) {
            return product.flops()
                    / best(() -> {
                        product.run();
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
        try (Copying copy = new Copying(COPY_MEGABYTES * 1_000_000L, threads, false)) {
            return copy.bytes()
                    / best(() -> {
                        copy.run();
                        return null;
                    });
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
