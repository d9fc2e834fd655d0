package io.crescendo.cpu;

import com.sun.management.OperatingSystemMXBean;
import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.GradientNorms;
import io.crescendo.backend.HostStepMetrics;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.memory.MicroBatchCosts;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.lang.management.ManagementFactory;
import java.util.EnumSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.Predicate;

/** The processor through oneDNN. */
final class CpuBackend implements Backend {
    /**
     * Measured for the small CNN, where both weigh the most: a new size takes 18.5 ms
     * ({@code bench/records/2026-11-24_planning-a-new-batch}), and a step 0.375 ms + 0.1721 ms per sample
     * ({@code bench/records/2026-11-24_step-time-sweep}), so 107 samples and 2.2. In a wide ResNet 16-4 they are 8
     * samples and less than one: it takes seventy times as long for a sample, and no choice among a few sizes matters
     * much there.
     */
    private static final MicroBatchCosts COSTS = new MicroBatchCosts(107, 2.2);

    private final NativeScope scope = new NativeScope();
    /** Guarded by itself: lowering on another thread adds to it. */
    private final Set<NativeScope> children = new LinkedHashSet<>();

    private final int threads;
    private final OneDnn oneDnn;
    private final CpuWorkspace workspace = new CpuWorkspace(systemBytes());
    private final HostStepMetrics metrics = new HostStepMetrics();

    private final boolean setsThreads;
    private final Workers workers;
    private final long shardBytes;
    private final double winogradBelow;
    private volatile boolean closed;

    CpuBackend(BackendOptions options) {
        this(options, Sharding.TARGET_BYTES, WinogradConvolutions.USUALLY_BELOW);
    }

    /**
     * With other limits than those that are fast.
     *
     * @param shardBytes how much goes through the network side by side
     * @param winogradBelow the largest share of a direct convolution's time at which its replacement is used; 0 never,
     *     infinity wherever it is possible
     */
    CpuBackend(BackendOptions options, long shardBytes, double winogradBelow) {
        options.requireFloat32(name());
        this.shardBytes = shardBytes;
        this.winogradBelow = winogradBelow;
        threads =
                options.threads() > 0 ? options.threads() : Runtime.getRuntime().availableProcessors();
        setsThreads = OneDnnLibrary.load();
        useThreads();
        oneDnn = new OneDnn();
        scope.onClose(oneDnn::close);
        scope.onClose(workspace::close);
        workers = new Workers(threads);
        scope.onClose(workers::close);
    }

    OneDnn oneDnn() {
        return oneDnn;
    }

    Workers workers() {
        return workers;
    }

    long shardBytes() {
        return shardBytes;
    }

    double winogradBelow() {
        return winogradBelow;
    }

    /** Whoever calls, parallel work has this backend's number of threads. */
    void useThreads() {
        if (setsThreads) {
            OpenMp.omp_set_num_threads(threads);
        }
    }

    /** Whether {@link #onOneThread} keeps its word. */
    boolean setsThreads() {
        return setsThreads;
    }

    /** Does something with oneDNN on the calling thread alone. */
    void onOneThread(Runnable work) {
        OpenMp.omp_set_num_threads(1);
        try {
            work.run();
        } finally {
            useThreads();
        }
    }

    @Override
    public String name() {
        return "cpu";
    }

    @Override
    public String description() {
        return OneDnnLibrary.version() + ", float32, "
                + (setsThreads ? threads + (threads == 1 ? " thread" : " threads") : "threads left to OpenMP");
    }

    @Override
    public Set<Fusion> fusions() {
        return EnumSet.of(Fusion.NORM_RELU, Fusion.CONV_ADD, Fusion.CONV_RELU, Fusion.ADD_RELU);
    }

    @Override
    public DeviceMemory allocate(long elements) {
        return allocate("a flat array of " + elements + " numbers", elements);
    }

    /** @param what for the message, for example {@code the optimizer's state} */
    CpuDeviceMemory allocate(String what, long elements) {
        requireOpen();
        NativeScope child = childScope();
        try {
            return new CpuDeviceMemory(child, elements);
        } catch (OutOfMemoryError e) {
            child.close();
            long bytes = elements * Float.BYTES;
            OptionalLong machine = memoryBytes();
            throw DeviceMemoryException.ofPack(
                    "the system has no room for " + what + ", " + bytes + " bytes"
                            + (machine.isPresent() ? "; the machine has " + machine.getAsLong() + " in all" : ""),
                    bytes,
                    e);
        }
    }

    /** The machine's, or what the container it runs in may use. */
    @Override
    public OptionalLong memoryBytes() {
        return ManagementFactory.getOperatingSystemMXBean() instanceof OperatingSystemMXBean system
                ? OptionalLong.of(system.getTotalMemorySize())
                : OptionalLong.empty();
    }

    /** The most that could ever be given out, with what the system may swap. */
    private static long systemBytes() {
        return ManagementFactory.getOperatingSystemMXBean() instanceof OperatingSystemMXBean system
                ? system.getTotalMemorySize() + system.getTotalSwapSpaceSize()
                : 1L << 40;
    }

    @Override
    public MicroBatchCosts microBatchCosts() {
        return COSTS;
    }

    @Override
    public CpuWorkspace workspace() {
        return workspace;
    }

    @Override
    public LoweredProgram lower(Program program) {
        requireOpen();
        useThreads(); // implementations are chosen, and their memory is sized, for a number of threads
        return new CpuLoweredProgram(this, program);
    }

    /** A scope that ends with the backend, if nobody ends it before; until then the backend knows of it. */
    NativeScope childScope() {
        NativeScope child = new NativeScope();
        synchronized (children) {
            children.add(child);
        }
        child.onClose(() -> {
            synchronized (children) {
                children.remove(child);
            }
        });
        return child;
    }

    @Override
    public UpdateKernel prepareUpdate(
            UpdateRule rule, ModelMemory model, ParameterPack parameters, Predicate<Parameter> decayed) {
        requireOpen();
        model.requireFor(parameters, CpuDeviceMemory.class);
        boolean layerwise = rule instanceof UpdateRule.Lars || rule instanceof UpdateRule.Lamb;
        return layerwise
                ? CpuLayerwiseUpdate.prepare(this, rule, model, parameters, decayed)
                : CpuUpdateKernel.prepare(this, rule, model, parameters, decayed);
    }

    @Override
    public GradientNorms gradientNorms(ModelMemory model) {
        return new CpuGradientNorms(this, model);
    }

    @Override
    public HostStepMetrics metrics() {
        return metrics;
    }

    /** What is closed has no native memory left to look into. */
    void requireOpen() {
        if (closed) {
            throw new IllegalStateException("this backend was closed already");
        }
    }

    @Override
    public void close() {
        closed = true;
        List<NativeScope> open;
        synchronized (children) {
            open = List.copyOf(children);
        }
        open.forEach(NativeScope::close);
        scope.close();
    }
}
