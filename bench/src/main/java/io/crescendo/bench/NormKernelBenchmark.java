package io.crescendo.bench;

import io.crescendo.cuda.KernelTimes;
import io.crescendo.cuda.NormTimes;
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
 * The ghost batch norm kernels at every ghost size, and cuDNN's plain batch norm over the whole batch, by the device's
 * clock. Bytes are the floor: each activation once. How to read the levels says {@link KernelBenchmark}.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Fork(2)
@Warmup(iterations = 1)
@Measurement(iterations = 5)
public class NormKernelBenchmark {
    /** Kernels on a CUDA device only. */
    @Param({"cuda"})
    public String device = "cuda";

    /** Type of activations. */
    @Param({"fp32", "bf16"})
    public String precision = "fp32";

    /** Samples, channels, and rows or columns: the three widths of Wide ResNet 16-4 at batch 1024. */
    @Param({"1024x64x32", "1024x128x16", "1024x256x8"})
    public String activation = "1024x64x32";

    /** Samples per statistic, the whole batch, or cuDNN's norm over the whole batch. */
    @Param({"16", "32", "64", "128", "whole", "cudnn"})
    public String ghostBatch = "16";

    private KernelTimes times;

    /** Opens the device. */
    @Setup
    public void open() {
        times = KernelTimes.open(Device.precision(precision));
    }

    /** Statistics and normalised values. */
    @Benchmark
    public KernelTimes.Times forward() {
        NormTimes.Activation x = activation();
        NormTimes norms = times.norms();
        return held(ghostBatch.equals("cudnn") ? norms.plainForward(x) : norms.ghostForward(x, samplesPerStatistic(x)));
    }

    /** Gradients by activations, scale and shift. */
    @Benchmark
    public KernelTimes.Times backward() {
        NormTimes.Activation x = activation();
        NormTimes norms = times.norms();
        return held(
                ghostBatch.equals("cudnn") ? norms.plainBackward(x) : norms.ghostBackward(x, samplesPerStatistic(x)));
    }

    private KernelTimes.Times held(KernelTimes.Times measured) {
        KernelBenchmark.report(measured, times.copy(measured.cold().bytes() / 2));
        return measured;
    }

    private NormTimes.Activation activation() {
        String[] sizes = activation.split("x", 3);
        return new NormTimes.Activation(
                Integer.parseInt(sizes[0]), Integer.parseInt(sizes[1]), Integer.parseInt(sizes[2]));
    }

    private int samplesPerStatistic(NormTimes.Activation x) {
        return ghostBatch.equals("whole") ? x.samples() : Integer.parseInt(ghostBatch);
    }

    /** Releases the device. */
    @TearDown
    public void close() {
        times.close();
    }
}
