package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuCtxSetCurrent;
import static jcuda.driver.JCudaDriver.cuDevicePrimaryCtxRelease;
import static jcuda.driver.JCudaDriver.cuDevicePrimaryCtxRetain;
import static jcuda.driver.JCudaDriver.cuMemGetInfo;
import static jcuda.driver.JCudaDriver.cuStreamSynchronize;

import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Precision;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import org.jspecify.annotations.Nullable;

/**
 * One opened device: its context, its streams and the handles of its libraries, in one scope.
 *
 * <p>Everything that computes is put on one stream, {@link #stream()}; nothing ever uses the default stream, which
 * would wait for all others and cannot be recorded.
 */
final class CudaDevice implements Target, AutoCloseable {
    /** Which device; CUDA_VISIBLE_DEVICES says which one of the machine's that is. */
    static final int NUMBER = 0;

    /** The timer adds some 50 microseconds to it. */
    private static final long LOOK_AGAIN_NANOS = 5_000;

    private final CudaScope scope;
    private final CudaScope.Health health;
    private final CudaDriver driver;
    private final DeviceProperties properties;
    private final BackendOptions options;
    private final Path cache;
    private final CUcontext context = new CUcontext();
    private final Lane lane;
    private final Lane measuring;
    private final CudaScope recordingScope;
    private @Nullable Lane recording;
    private final Object recordings = new Object();
    private final CudaStream uploadStream;
    private final Kernels kernels;
    private final boolean mapsMemory;
    private volatile boolean closed;
    private final AlgorithmChoice algorithms = new AlgorithmChoice();

    /**
     * Loads the libraries that a machine has and opens its first device.
     *
     * @throws CudaLibraryException if libraries are missing or do not fit
     * @throws CudaException if there is no device, or it cannot be used
     */
    static CudaDevice open(Machine machine, BackendOptions options) {
        CudaInstallation installation = CudaInstallation.search(machine);
        CudaLibraryLoader.load(installation);
        CudaCalls.enableExceptions();
        List<DeviceProperties> devices = CudaDriver.devices(installation);
        if (devices.isEmpty()) {
            throw new CudaException("the driver has no device; is CUDA_VISIBLE_DEVICES empty?");
        }
        CudaScope.Health health = new CudaScope.Health();
        CudaScope scope = new CudaScope(health);
        try {
            return new CudaDevice(installation, devices.get(NUMBER), options, scope, health);
        } catch (jcuda.CudaException e) {
            throw scope.closeAfter(
                    CudaCalls.failure("open " + devices.get(NUMBER).name(), e));
        } catch (RuntimeException e) {
            throw scope.closeAfter(e);
        }
    }

    /**
     * Makes and gives up a context: where others have all memory, or the device for themselves, that is refused.
     *
     * @throws CudaException if it is
     */
    static void tryToOpen(DeviceProperties properties) {
        CudaCalls.run(() -> "open " + properties.name(), () -> {
            CUdevice device = CudaDriver.device(NUMBER);
            cuDevicePrimaryCtxRetain(new CUcontext(), device);
            cuDevicePrimaryCtxRelease(device);
        });
    }

    private CudaDevice(
            CudaInstallation installation,
            DeviceProperties properties,
            BackendOptions options,
            CudaScope scope,
            CudaScope.Health health) {
        this.scope = scope;
        this.health = health;
        this.properties = properties;
        this.options = options;
        this.cache = installation.machine().cache();
        this.driver = CudaDriver.of(installation);
        CUdevice device = CudaDriver.device(NUMBER);
        cuDevicePrimaryCtxRetain(context, device);
        scope.onClose(() -> cuDevicePrimaryCtxRelease(device));
        cuCtxSetCurrent(context);
        scope.onClose(() -> cuCtxSetCurrent(new CUcontext())); // this thread is not to keep what is gone
        // The scopes are owned first: what was made before a failure half-way is in them.
        lane = new Lane(scope.own(new CudaScope(health)));
        lane.cublas();
        measuring = new Lane(scope.own(new CudaScope(health)));
        recordingScope = scope.own(new CudaScope(health));
        uploadStream = scope.own(new CudaStream());
        this.kernels = scope.own(Kernels.load(properties, cache));
        this.mapsMemory = properties.mapsMemory() && MappedRegion.works(this);
    }

    /**
     * Binds this device's context to the calling thread; every public way in does this first.
     *
     * @throws CudaException if the device has failed before
     * @throws IllegalStateException if it was closed
     */
    void enter() {
        health.require();
        requireOpen();
        bindContext();
    }

    /** Calls nothing. */
    void requireOpen() {
        if (closed) {
            throw new IllegalStateException("this backend was closed already");
        }
    }

    private void bindContext() {
        try {
            cuCtxSetCurrent(context);
        } catch (jcuda.CudaException e) {
            throw health.note(CudaCalls.failure("use the device's context on this thread", e));
        }
    }

    /** Binds the context even if the device has failed: to release what can be released. */
    void enterToClose() {
        try {
            bindContext();
        } catch (CudaException e) {
            // What is to be released is tried nevertheless, and says what is wrong.
            health.note(e);
        }
    }

    /** Waits until everything on the compute stream is done. */
    void await() {
        cuStreamSynchronize(lane.stream());
    }

    /**
     * Waits until something is in pinned memory that the compute stream writes, and no longer: later work runs on.
     *
     * @param missing what is wrong if all work is done and it is not there
     * @throws jcuda.CudaException if the device fails meanwhile
     */
    void await(BooleanSupplier arrived, String missing) {
        boolean interrupted = false;
        try {
            while (!arrived.getAsBoolean()) {
                enter();
                if (driver.isIdle(lane.stream()) && !arrived.getAsBoolean()) {
                    throw new CudaException(missing + ", though the device has done all that it was given");
                }
                LockSupport.parkNanos(LOOK_AGAIN_NANOS);
                interrupted |= Thread.interrupted(); // who was interrupted is not parked
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    @Override
    public CudaScope newScope() {
        return new CudaScope(health);
    }

    /** What is known about failures. */
    CudaScope.Health health() {
        return health;
    }

    CudaDriver driver() {
        return driver;
    }

    DeviceProperties properties() {
        return properties;
    }

    @Override
    public Precision precision() {
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

    @Override
    public Grids grids(int elementBytes) {
        return new Grids(properties.multiprocessors(), properties.cacheBytes(), elementBytes);
    }

    /** Whether physical memory can be mapped into reserved addresses here. */
    boolean mapsMemory() {
        return mapsMemory;
    }

    /** Bytes that nobody has allocated; none if the device does not say: this is asked for messages. */
    long freeBytes() {
        long[] free = new long[1];
        long[] total = new long[1];
        try {
            cuMemGetInfo(free, total);
        } catch (jcuda.CudaException e) {
            health.note(CudaCalls.failure("ask for free memory", e));
        }
        return free[0];
    }

    /** Where choices and built kernels are kept from run to run. */
    Path cache() {
        return cache;
    }

    /** Where everything runs that computes. */
    Lane lane() {
        return lane;
    }

    /** The compute stream. */
    CudaStream stream() {
        return lane.stream();
    }

    /** Copies from the host overlap with computing here. */
    CudaStream uploadStream() {
        return uploadStream;
    }

    @Override
    public Kernels kernels() {
        return kernels;
    }

    @Override
    public Kernels.Room room(String kernel) {
        return kernels.room(kernel);
    }

    @Override
    public int blocksOfMultiprocessor(String kernel) {
        return kernels.blocksOfMultiprocessor(kernel);
    }

    /** Candidates are tried on a lane of their own: a step may be running on the compute stream meanwhile. */
    @Override
    public AlgorithmChoice.Considered method(ConvolutionProblem problem) {
        return algorithms.consider(this, problem);
    }

    /** Names the method for each convolution. */
    AlgorithmChoice algorithms() {
        return algorithms;
    }

    /**
     * Where methods are tried while a step runs on {@link #lane()}. Whoever uses it holds the lock of
     * {@link #algorithms()}.
     */
    Lane measuring() {
        return measuring;
    }

    /**
     * Where programs are recorded ahead, made when that is first done. What libraries keep with their handles is in
     * those graphs, which run on {@link #lane()} while methods are tried: so nothing else uses these handles. Whoever
     * asks holds the locks of {@link #algorithms()} and {@link #recordings()}.
     */
    Lane recording() {
        Lane made = recording;
        if (made == null) {
            made = new Lane(recordingScope);
            recording = made;
        }
        return made;
    }

    /**
     * The lock of whoever records a program, on whatever lane, or makes handles of libraries. Making one, and what a
     * library does with it for the first time, may wait for the whole device; and that spoils every recording that is
     * under way, whichever thread makes it in whichever mode.
     */
    Object recordings() {
        return recordings;
    }

    @Override
    public void close() {
        closed = true;
        scope.close();
    }
}
