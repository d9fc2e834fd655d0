package io.crescendo.bench;

import io.crescendo.cuda.KernelTimes;
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
 * The hand-written CUDA kernels over flat packs, alone and by the device's clock: bytes per second, and the share of
 * what the driver's copy reaches on memory of the same size in the same run.
 *
 * <p>JMH's own score is the time of the whole measurement, repeats and emptying of the cache included, and says
 * nothing; the levels beside it are the result: {@code gigabytesPerSecond} and {@code shareOfCopy} with an empty cache,
 * {@code cachedGigabytesPerSecond} with what the launch before left there, which is what a small model has.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Fork(2)
@Warmup(iterations = 1)
@Measurement(iterations = 5)
public class KernelBenchmark {
    /** Kernels on a CUDA device only. */
    @Param({"cuda"})
    public String device = "cuda";

    /** fp32, or bf16 for gradients of micro-batches in bf16 and updates that write bf16 weights. */
    @Param({"fp32", "bf16"})
    public String precision = "fp32";

    /** Thousands of parameters: Wide ResNet 16-4, ResNet-50 and larger. */
    @Param({"2700", "25000", "100000", "500000"})
    public int thousands = 2700;

    /** An update's rule, or the sum of two or eight micro-batch gradients. */
    @Param({"momentum", "adam", "sgd", "nesterov", "adamw", "sum-of-2", "sum-of-8"})
    public String kernel = "momentum";

    private KernelTimes times;

    /** Opens the device. */
    @Setup
    public void open() {
        times = KernelTimes.open(Device.precision(precision));
    }

    /** One kernel, and a copy that moves as many bytes. */
    @Benchmark
    public KernelTimes.Times kernel() {
        long elements = 1000L * thousands;
        KernelTimes.Times measured = kernel.startsWith("sum-of-")
                ? times.gradientSum(Integer.parseInt(kernel.substring("sum-of-".length())), elements)
                : times.update(kernel, elements);
        report(measured, times.copy(measured.cold().bytes() / 2));
        return measured;
    }

    /**
     * Reports what the device's clock says: 10⁹ bytes read plus written per second, with an empty cache and with what
     * the launch before left there, the share of the driver's copy, and the time of one launch.
     */
    static void report(KernelTimes.Times kernel, KernelTimes.Times copy) {
        Gauges.report("gigabytesPerSecond", kernel.cold().bytesPerSecond() * 1e-9, "GB/s");
        Gauges.report(
                "shareOfCopy", kernel.cold().bytesPerSecond() / copy.cold().bytesPerSecond(), "ratio");
        Gauges.report("cachedGigabytesPerSecond", kernel.warm().bytesPerSecond() * 1e-9, "GB/s");
        Gauges.report("microseconds", kernel.cold().seconds() * 1e6, "us/op");
    }

    /** Releases the device. */
    @TearDown
    public void close() {
        times.close();
    }
}
