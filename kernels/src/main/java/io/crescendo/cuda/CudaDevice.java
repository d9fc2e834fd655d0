package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuCtxSetCurrent;

import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Precision;
import java.nio.file.Path;
import jcuda.driver.CUcontext;
import jcuda.driver.CUstream;
import jcuda.jcublas.cublasHandle;
import jcuda.jcudnn.cudnnHandle;

/**
 * One opened device: its context, its streams and the handles of its libraries, in one scope.
 *
 * <p>Everything that computes is put on one stream, {@link #stream()}; nothing ever uses the default stream, which
 * would wait for all others and cannot be recorded.
 */
final class CudaDevice implements AutoCloseable {
    private final CudaScope scope = new CudaScope();
    private final DeviceProperties properties;
    private final BackendOptions options;
    private final Path cache;
    private final CUcontext context;
    private final CUstream stream;
    private final CUstream uploadStream;
    private final cudnnHandle cudnn;
    private final cublasHandle cublas;
    private final Kernels kernels;
    private final AlgorithmChoice algorithms = new AlgorithmChoice();
    private final Lowering lowering;

    private CudaDevice(DeviceProperties properties, BackendOptions options, Path cache) {
        this.properties = properties;
        this.options = options;
        this.cache = cache;
        this.context = new CUcontext();
        this.stream = new CUstream();
        this.uploadStream = new CUstream();
        this.cudnn = new cudnnHandle();
        this.cublas = new cublasHandle();
        this.kernels = Kernels.load(properties, cache);
        this.lowering = new Lowering(new CUstream(), new cudnnHandle());
    }

    /** Loads the libraries and opens the first device. */
    static CudaDevice open(BackendOptions options) {
        // A stand-in until devices are asked.
        DeviceProperties properties = new DeviceProperties("unknown", 0, 0, 1, 0, 0, false);
        return new CudaDevice(properties, options, Machine.here().cache());
    }

    /** Binds this device's context to the calling thread; every public way in does this first. */
    void makeCurrent() {
        cuCtxSetCurrent(context);
    }

    DeviceProperties properties() {
        return properties;
    }

    Precision precision() {
        return options.precision();
    }

    /** Whether programs are recorded as graphs. */
    boolean graphs() {
        return options.graphs();
    }

    /** Whether only algorithms may be chosen that give the same bits in every run. */
    boolean deterministic() {
        return options.deterministic();
    }

    int multiprocessors() {
        return properties.multiprocessors();
    }

    /** Where choices and built kernels are kept from run to run. */
    Path cache() {
        return cache;
    }

    /** The compute stream. */
    CUstream stream() {
        return stream;
    }

    /** Copies from the host overlap with computing here. */
    CUstream uploadStream() {
        return uploadStream;
    }

    /** Bound to {@link #stream()}. */
    cudnnHandle cudnn() {
        return cudnn;
    }

    /** Bound to {@link #stream()}, with a fixed workspace, so that recording allocates nothing. Do not set either. */
    cublasHandle cublas() {
        return cublas;
    }

    Kernels kernels() {
        return kernels;
    }

    /** Names the method for each convolution. */
    AlgorithmChoice algorithms() {
        return algorithms;
    }

    /** What lowering may use while a step runs on the compute stream. One thread lowers at a time. */
    Lowering forLowering() {
        return lowering;
    }

    /** A stream and a handle bound to it that no step uses. */
    record Lowering(CUstream stream, cudnnHandle cudnn) {
        /** Memory for trying something out; close it again. */
        DeviceBlock temporary(long bytes) {
            return DeviceBlock.allocate("trying algorithms", bytes);
        }
    }

    @Override
    public void close() {
        scope.close();
    }
}
