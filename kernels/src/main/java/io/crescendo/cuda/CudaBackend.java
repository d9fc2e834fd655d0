package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemsetD8Async;
import static jcuda.driver.JCudaDriver.cuStreamSynchronize;
import static jcuda.jcublas.JCublas2.cublasGetVersion;
import static jcuda.jcudnn.JCudnn.cudnnGetVersion;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.DeviceTimer;
import io.crescendo.backend.GradientNorms;
import io.crescendo.backend.ImageSource;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.Precision;
import io.crescendo.backend.ResidentImages;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import java.util.function.Predicate;

/** A GPU through cuDNN, cuBLAS and kernels of our own. */
final class CudaBackend implements Backend {
    private static final int BLOCKS_PER_MULTIPROCESSOR = 8; // what the heads of most kernels ask for
    private static final int THREADS = 256;

    private final CudaDevice device;
    private final CudaScope scope;
    private final Set<CudaScope> children = Collections.synchronizedSet(new LinkedHashSet<>());
    private final Transfer transfer;
    private final CudaWorkspace workspace;
    private final DeviceRegion inputRegion;
    private final Staging staging;
    private final DeviceBlock tickets;
    private final CudaStepMetrics metrics;
    private final StepNumbers numbers;
    private final Retired retired;
    private final List<CudaUpdateKernel> updates = new CopyOnWriteArrayList<>();
    private final Object oneAtATime = new Object();
    private int images;

    CudaBackend(BackendOptions options) {
        this(Machine.here(), options);
    }

    /** With the libraries and the cache of another machine than this one, in tests. */
    CudaBackend(Machine machine, BackendOptions options) {
        device = CudaDevice.open(machine, options);
        scope = device.newScope();
        scope.own(device);
        try {
            transfer = scope.own(new Transfer(device));
            workspace = scope.own(new CudaWorkspace(device));
            inputRegion = scope.own(DeviceRegion.on(device, "what programs read from outside"));
            // The scope is owned first: what was made before a failure half-way is in it.
            staging = new Staging(device, scope.own(device.newScope()));
            retired = scope.own(new Retired(device));
            tickets = scope.own(DeviceBlock.allocate("tickets", (long) Integer.BYTES * Addresses.TICKETS));
            cuMemsetD8Async(tickets.pointer(), (byte) 0, tickets.bytes(), device.stream());
            metrics = new CudaStepMetrics(this, scope);
            numbers = new StepNumbers(this, scope);
        } catch (jcuda.CudaException e) {
            throw scope.closeAfter(
                    CudaCalls.failure("set up " + device.properties().name(), e));
        } catch (RuntimeException e) {
            throw scope.closeAfter(e);
        }
    }

    CudaDevice device() {
        return device;
    }

    Transfer transfer() {
        return transfer;
    }

    /** Where operations read images, labels and the dropout clock. */
    DeviceRegion inputRegion() {
        return inputRegion;
    }

    Staging staging() {
        return staging;
    }

    /** What changes from step to step. */
    StepNumbers numbers() {
        return numbers;
    }

    /** Counts the sets of images that are on the device. */
    void useImages(int more) {
        images += more;
    }

    /** Whether there are images on the device that batches are made from. */
    boolean hasImages() {
        return images > 0;
    }

    /** The updates that are prepared; any thread may look. */
    List<CudaUpdateKernel> updates() {
        return updates;
    }

    /** After a launch that failed and perhaps left a step half-way: counts again what the device has begun. */
    void recount(Throwable failure) {
        if (device.health().failed() || (failure instanceof RuntimeException e && CudaCalls.isFatal(e))) {
            return; // nothing will be launched any more
        }
        try {
            numbers.recount();
            metrics.recount();
        } catch (RuntimeException e) {
            // Or the next steps would have the numbers of others.
            device.health()
                    .giveUp(new CudaException("cannot tell how many steps the device has begun: " + e.getMessage(), e));
            failure.addSuppressed(e);
        }
    }

    /** For what may still be in use when it is closed. */
    Retired retired() {
        return retired;
    }

    long tickets() {
        return tickets.address();
    }

    /** Bytes of an element of an activation. */
    int elementBytes() {
        return device.precision() == Precision.BF16 ? Short.BYTES : Float.BYTES;
    }

    /** Blocks for work that is counted in threads: as many as run side by side, or fewer. */
    int blocks(long threads) {
        return blocksOf((threads + THREADS - 1) / THREADS);
    }

    /** Blocks for work that is counted in blocks. */
    int blocksOf(long wanted) {
        return (int) Math.max(1, Math.min(wanted, (long) BLOCKS_PER_MULTIPROCESSOR * device.multiprocessors()));
    }

    /** {@code the training program with micro-batch 128}. */
    String describe(Program program) {
        return "the " + program.mode().name().toLowerCase(Locale.ROOT) + " program with micro-batch "
                + program.microBatch();
    }

    /** A failure that shows where the host looks, which is rarely where it arose. */
    CudaException lateFailure(String doing, jcuda.CudaException cause) {
        return late(CudaCalls.failure(doing, cause));
    }

    /** The same for one that has its words already. */
    CudaException late(CudaException failure) {
        if (device.health().isFailure(failure)) {
            return failure; // it was reported from further inside
        }
        // Memory that lost its bits is no operation's fault.
        boolean findable = failure.fatal()
                && device.graphs()
                && !failure.namesOperation()
                && !String.valueOf(failure.getMessage()).contains("CUDA_ERROR_ECC");
        return device.health()
                .note(
                        findable
                                ? new CudaException(
                                        failure.getMessage()
                                                + ". Anything that ran on the device before may be the reason; to learn"
                                                + " which operation it is, go on without graphs: --resume DIR"
                                                + " --no-graphs, or BackendOptions.withGraphs(false)",
                                        failure)
                                : failure);
    }

    @Override
    public String name() {
        return "cuda:" + CudaDevice.NUMBER;
    }

    @Override
    public String description() {
        device.enter();
        int[] cublas = new int[1];
        CudaCalls.run(
                () -> "ask cuBLAS for its version",
                () -> cublasGetVersion(device.lane().cublas(), cublas));
        DeviceProperties properties = device.properties();
        return properties.name() + ", " + properties.describe() + ", cuDNN " + version(cudnnGetVersion(), 10_000)
                + ", cuBLAS "
                + version(cublas[0], 10_000) + ", " + device.precision().name().toLowerCase(Locale.ROOT)
                + (device.graphs() ? "" : ", without graphs") + (device.deterministic() ? ", deterministic" : "");
    }

    /** 90501 is 9.5.1, 120604 is 12.6.4. */
    private static String version(long number, int major) {
        return number / major + "." + number % major / 100 + "." + number % 100;
    }

    @Override
    public Set<Fusion> fusions() {
        return EnumSet.allOf(Fusion.class);
    }

    @Override
    public CudaDeviceMemory allocate(long elements) {
        return allocate(array(elements), elements, PackOrder.PLAIN);
    }

    @Override
    public CudaDeviceMemory allocate(ParameterPack pack) {
        return allocate(array(pack.elements()), pack.elements(), PackOrder.of(pack));
    }

    private static String array(long elements) {
        return "a flat array of " + elements + " numbers";
    }

    /** @param what for the message, for example {@code the optimizer's state} */
    CudaDeviceMemory allocate(String what, long elements, PackOrder order) {
        if (elements < 0) {
            throw new IllegalArgumentException("the number of elements must not be negative, but is " + elements);
        }
        device.enter();
        CudaScope child = childScope();
        try {
            return new CudaDeviceMemory(this, child, what, elements, order);
        } catch (jcuda.CudaException e) {
            throw child.closeAfter(CudaCalls.failure("allocate " + elements + " numbers", e));
        } catch (CudaException e) {
            throw child.closeAfter(refused(Float.BYTES * elements, e));
        } catch (RuntimeException e) {
            throw child.closeAfter(e);
        }
    }

    /** A failure to make something of the size of a pack, as a refusal if there was no memory for it. */
    private RuntimeException refused(long bytes, CudaException e) {
        return e.outOfMemory()
                ? DeviceMemoryException.ofPack(
                        "out of memory on " + device.properties().name() + ": " + e.getMessage(), bytes, e)
                : e;
    }

    @Override
    public OptionalLong memoryBytes() {
        return OptionalLong.of(device.properties().memoryBytes());
    }

    @Override
    public OptionalLong freeBytes() {
        device.enter();
        long free = device.freeBytes();
        return free > 0 ? OptionalLong.of(free) : OptionalLong.empty();
    }

    @Override
    public CudaWorkspace workspace() {
        return workspace;
    }

    /** May run on another thread than everything else, while a step runs. */
    @Override
    public LoweredProgram lower(Program program) {
        device.enter();
        List<OpPlan> plans;
        try {
            synchronized (oneAtATime) {
                plans = CudaLowering.lower(device, program);
            }
        } catch (jcuda.CudaException e) {
            throw device.health().note(CudaCalls.failure("choose how " + describe(program) + " runs", e));
        }
        return new CudaLoweredProgram(this, childScope(), program, plans);
    }

    /**
     * Records work while a step runs, on a lane that nothing else uses, and brings the graph to the device.
     *
     * @throws jcuda.CudaException if a call fails
     */
    Recording recordAhead(Consumer<Lane> work) {
        synchronized (device.algorithms()) {
            Lane aside;
            Recording recording;
            synchronized (device.recordings()) {
                aside = device.recording();
                aside.cublas(); // cannot be made while it is recorded
                recording = Recording.ofFirst(aside.stream(), () -> work.accept(aside));
            }
            try {
                recording.upload(aside.stream());
                cuStreamSynchronize(aside.stream());
                return recording;
            } catch (jcuda.CudaException e) {
                CudaScope made = device.newScope();
                made.own(recording);
                throw made.closeAfter(e);
            }
        }
    }

    /** A scope that ends with the backend, if nobody ends it before; until then the backend knows of it. */
    CudaScope childScope() {
        CudaScope child = device.newScope();
        children.add(child);
        child.onClose(() -> children.remove(child));
        return child;
    }

    @Override
    public UpdateKernel prepareUpdate(
            UpdateRule rule, ModelMemory model, ParameterPack parameters, Predicate<Parameter> decayed) {
        device.enter();
        model.requireFor(parameters, CudaDeviceMemory.class);
        CudaScope child = childScope();
        try {
            return new CudaUpdateKernel(this, child, rule, model, parameters, decayed);
        } catch (jcuda.CudaException e) {
            throw child.closeAfter(CudaCalls.failure("prepare the update " + rule, e));
        } catch (CudaException e) { // what it keeps besides the state
            throw child.closeAfter(refused((long) Float.BYTES * rule.stateSlots() * parameters.elements(), e));
        } catch (RuntimeException e) {
            throw child.closeAfter(e);
        }
    }

    @Override
    public Optional<DeviceTimer> timer() {
        device.enter();
        CudaScope child = childScope();
        try {
            return Optional.of(new CudaTimer(device, child));
        } catch (jcuda.CudaException e) {
            throw child.closeAfter(CudaCalls.failure("create a timer", e));
        }
    }

    @Override
    public GradientNorms gradientNorms(ModelMemory model) {
        device.enter();
        CudaScope child = childScope();
        try {
            return new CudaGradientNorms(this, child, model);
        } catch (jcuda.CudaException e) {
            throw child.closeAfter(CudaCalls.failure("prepare to measure gradients", e));
        } catch (CudaException e) {
            throw child.closeAfter(refused(Float.BYTES * model.gradients().elements(), e));
        } catch (RuntimeException e) {
            throw child.closeAfter(e);
        }
    }

    /** As long as they take no more than a quarter of the device: the rest is for training. */
    @Override
    public Optional<ResidentImages> residentImages(ImageSource source) {
        if (CudaResidentImages.bytes(source) > device.properties().memoryBytes() / 4) {
            return Optional.empty();
        }
        device.enter();
        CudaScope child = childScope();
        try {
            return Optional.of(new CudaResidentImages(this, child, source));
        } catch (jcuda.CudaException e) {
            throw child.closeAfter(CudaCalls.failure("upload the images of '" + source.name() + "'", e));
        } catch (CudaException e) {
            if (e.outOfMemory()) {
                child.closeAfter(e);
                return Optional.empty();
            }
            throw child.closeAfter(e);
        } catch (RuntimeException e) {
            throw child.closeAfter(e);
        }
    }

    @Override
    public CudaStepMetrics metrics() {
        return metrics;
    }

    @Override
    public void close() {
        device.enterToClose();
        CudaScope all = device.newScope();
        all.own(scope);
        new ArrayList<>(children).forEach(all::own); // closes them first, the newest before the others
        all.onClose(device::await); // and before that, lets what is retired end
        all.close();
    }
}
