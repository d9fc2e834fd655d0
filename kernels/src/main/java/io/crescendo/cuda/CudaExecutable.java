package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemcpyDtoDAsync;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.ModelMemory;
import io.crescendo.memory.WorkspacePlan;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Replays a bound program; allocates nothing.
 *
 * <p>IMPLEMENTATION NOTES. The first run puts every operation on the stream one by one, and then once more while the
 * stream is recorded: libraries load kernels and set themselves up when a function is used for the first time, which a
 * recording forbids. From the second run on there is one launch. Recording again is only needed if the arena has moved,
 * which it does only on devices that cannot map memory.
 *
 * <p>A program that was bound ahead is recorded ahead too, on another lane, while a step runs. Its methods have been
 * measured, so the libraries are set up, mostly; where a recording fails nevertheless, the first run does it.
 *
 * <p>In a profile all additions of narrow weight gradients count as the last of those operations' time.
 */
final class CudaExecutable implements Executable {
    private static final Logger LOG = System.getLogger(CudaExecutable.class.getName());

    private final CudaBackend backend;
    private final CudaDevice device;
    private final Program program;
    private final List<OpPlan> plans;
    private final WorkspacePlan plan;
    private final ModelMemory model;
    private final Inputs inputs;
    private final CudaScope scope;
    private final List<Kept> kept = new ArrayList<>();
    private final Runnable launch = this::launch; // made once: replaying allocates nothing
    private Enqueued[] launches = {};
    private @Nullable Recording recording;
    private long generation = -1;
    private boolean closed;

    /** One launch and whose it is: of which operation, or behind them all. */
    private record Enqueued(Launch launch, int operation, String owner) {}

    /** A value that stays readable: a copy in the device's own layout and type. */
    private record Kept(Value value, DeviceBlock block) {}

    CudaExecutable(CudaLoweredProgram lowered, WorkspacePlan plan, ModelMemory model, Inputs inputs, CudaScope scope) {
        this.backend = lowered.backend();
        this.device = backend.device();
        this.program = lowered.program();
        this.plans = lowered.plans();
        this.plan = plan;
        this.model = model;
        this.inputs = inputs;
        this.scope = scope;
        for (Value value : program.kept()) {
            if (value.home() == Home.ARENA) {
                kept.add(new Kept(value, scope.own(DeviceBlock.allocate("kept " + value, lowered.bytes(value)))));
            }
        }
        scope.onClose(this::forgetRecording);
        bind();
    }

    private void forgetRecording() {
        Recording old = recording;
        recording = null;
        if (old != null) {
            old.close();
        }
    }

    private long currentGeneration() {
        return backend.workspace().generation() + backend.inputRegion().generation();
    }

    private void bind() {
        BoundAddresses addresses = new BoundAddresses(backend, plan, model, inputs);
        List<Enqueued> bound = new ArrayList<>();
        for (int i = 0; i < plans.size(); i++) {
            for (OpPlan.Binder binder : plans.get(i).binders()) {
                bound.add(new Enqueued(binder.bind(addresses), i, plans.get(i).toString()));
            }
        }
        for (Kept item : kept) {
            DevicePointer from = DevicePointer.at(addresses.value(item.value));
            bound.add(new Enqueued(
                    lane -> cuMemcpyDtoDAsync(item.block.pointer(), from, item.block.bytes(), lane.stream()),
                    plans.size(),
                    "the copy of kept value " + item.value));
        }
        launches = bound.toArray(Enqueued[]::new);
        generation = currentGeneration();
    }

    @Override
    public void run(Feed feed) {
        run(feed, launch);
    }

    @Override
    public void profile(Feed feed, double[] seconds) {
        Executable.requireEntries(seconds, program);
        run(feed, () -> launchTimed(seconds));
    }

    private void run(Feed feed, Runnable launches) {
        requireOpen();
        inputs.check(feed);
        begin();
        try {
            inputs.feed(feed);
            launches.run();
        } catch (jcuda.CudaException e) {
            throw backend.lateFailure("run " + backend.describe(program), e);
        } catch (CudaException e) {
            throw backend.late(e);
        }
    }

    /** The same with a batch that the device makes itself. */
    void run(CudaResidentImages images, long epoch, long position, int samples) {
        requireOpen();
        inputs.check(images, samples);
        begin();
        try {
            inputs.gather(images, epoch, position);
            launch();
        } catch (jcuda.CudaException e) {
            throw backend.lateFailure("run " + backend.describe(program), e);
        } catch (CudaException e) {
            throw backend.late(e);
        }
    }

    CudaBackend backend() {
        return backend;
    }

    private void begin() {
        device.enter();
        if (backend.workspace().capacityBytes() < plan.totalBytes()) {
            throw new IllegalStateException("the workspace holds "
                    + backend.workspace().capacityBytes() + " bytes, but this program needs " + plan.totalBytes()
                    + "; reserve them before running it");
        }
        if (generation != currentGeneration()) {
            try {
                forgetRecording();
                bind();
            } catch (jcuda.CudaException e) {
                throw backend.lateFailure("prepare " + backend.describe(program) + " again", e);
            } catch (CudaException e) {
                throw device.health().note(e);
            }
        }
    }

    private void launch() {
        if (recording != null) {
            recording.launch(device.stream());
        } else if (device.graphs()) {
            enqueueAll(device.lane());
            record();
        } else {
            enqueueOneByOne();
        }
    }

    private void record() {
        try {
            recording = Recording.of(device.stream(), () -> enqueueAll(device.lane()));
        } catch (jcuda.CudaException e) {
            throw unrecordable(CudaCalls.name(e), e);
        } catch (CudaException e) {
            throw unrecordable(String.valueOf(e.getMessage()), e);
        }
    }

    /** Records the program while another one runs; does nothing if that is not possible. */
    void recordAhead() {
        try {
            recording = backend.recordAhead(this::enqueueAll);
        } catch (RuntimeException e) {
            device.health().note(e);
            LOG.log(Level.DEBUG, "{0} cannot be recorded ahead: {1}", backend.describe(program), e.getMessage());
        }
    }

    private CudaException unrecordable(String reason, RuntimeException cause) {
        return new CudaException(
                "cannot record " + backend.describe(program) + " as a graph: " + reason
                        + ". It may run without graphs (--no-graphs)",
                cause);
    }

    private void enqueueAll(Lane lane) {
        for (Enqueued item : launches) {
            enqueue(item, lane);
        }
    }

    private static void enqueue(Enqueued item, Lane lane) {
        try {
            item.launch.enqueue(lane);
        } catch (jcuda.CudaException e) {
            throw CudaCalls.failure("run " + item.owner, e);
        } catch (CudaException e) {
            throw new CudaException("cannot run " + item.owner + ": " + e.getMessage(), e);
        }
    }

    /** Waits after each, so that what the device finds wrong has a name. */
    private void enqueueOneByOne() {
        for (Enqueued item : launches) {
            enqueue(item, device.lane());
            try {
                device.await();
            } catch (jcuda.CudaException e) {
                throw CudaCalls.failure("run " + item.owner, e);
            }
        }
    }

    private void launchTimed(double[] seconds) {
        try (OperationEvents events = new OperationEvents(device, plans.size())) {
            events.record(0, device.stream());
            int next = 0;
            for (int op = 0; op < plans.size(); op++) {
                while (next < launches.length && launches[next].operation == op) {
                    enqueue(launches[next++], device.lane());
                }
                events.record(op + 1, device.stream());
            }
            while (next < launches.length) {
                enqueue(launches[next++], device.lane());
            }
            events.addTo(seconds);
        }
    }

    private void requireOpen() {
        if (closed) {
            throw new IllegalStateException("this " + mode() + " program was closed already");
        }
        ((CudaDeviceMemory) model.weights()).requireOpen();
        ((CudaDeviceMemory) model.gradients()).requireOpen();
        ((CudaDeviceMemory) model.statistics()).requireOpen();
    }

    private String mode() {
        return program.mode().name().toLowerCase(Locale.ROOT);
    }

    @Override
    public void read(Value value, float[] destination) {
        requireOpen();
        Kept item = kept.stream()
                .filter(candidate -> candidate.value.equals(value))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException(
                        value + " was not kept by this " + mode() + " program; call Tape.keep before Tape.program"));
        if (destination.length != value.shape().elements()) {
            throw new IllegalArgumentException(value + " has " + value.shape().elements()
                    + " elements, but the destination " + destination.length);
        }
        device.enter();
        float[] raw = value.shape().rank() == 4 ? new float[destination.length] : destination;
        try {
            if (item.block.bytes() == (long) Short.BYTES * raw.length) {
                backend.transfer().readBf16(item.block.address(), raw);
            } else {
                backend.transfer().read(item.block.address(), raw);
            }
        } catch (jcuda.CudaException e) {
            throw backend.lateFailure("read " + value, e);
        }
        if (raw != destination) {
            toLogical(raw, destination, value);
        }
    }

    /** (N, H, W, C) to (N, C, H, W). */
    private static void toLogical(float[] raw, float[] destination, Value value) {
        int samples = value.shape().intDim(0);
        int channels = value.shape().intDim(1);
        int plane = value.shape().intDim(2) * value.shape().intDim(3);
        for (int n = 0; n < samples; n++) {
            int first = n * channels * plane;
            for (int c = 0; c < channels; c++) {
                for (int p = 0; p < plane; p++) {
                    destination[first + c * plane + p] = raw[first + p * channels + c];
                }
            }
        }
    }

    /** Frees at once what is kept, which may be large; for the rest nobody waits. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        device.enterToClose();
        if (kept.isEmpty()) {
            backend.retired().add(scope);
        } else {
            scope.onClose(device::await); // a run may be writing it
            scope.close();
        }
    }
}
