package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemcpyDtoDAsync;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Mode;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.StepMetrics;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.memory.WorkspacePlan;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Replays a bound program; allocates nothing.
 *
 * <p>IMPLEMENTATION NOTES. A program alone is one {@link Replay}, behind whatever brings it a fed batch. On images of
 * the device the batch is made in the same replay, and an update that follows is too: such a step is one launch.
 * Recording again is only needed if the arena has moved, which it does only on devices that cannot map memory.
 *
 * <p>A program that was bound ahead is recorded ahead too, the way it will probably run: with the images and the update
 * of the model's last steps, or alone.
 *
 * <p>In a profile all additions of narrow weight gradients count as the last of those operations' time.
 */
final class CudaExecutable implements Executable {
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
    private List<Enqueued> launches = List.of();
    private @Nullable Replay alone;
    private @Nullable OnImages gathered;
    private @Nullable OnImages updating;
    private long generation = -1;
    private boolean closed;

    /** One launch, and of which operation it is; or behind them all. */
    private record Enqueued(Replay.Item item, int operation) {}

    /** A value that stays readable: a copy in the device's own layout and type. */
    private record Kept(Value value, DeviceBlock block) {}

    /** The program behind the making of its batch, perhaps with an update behind it. */
    private record OnImages(
            CudaResidentImages images, @Nullable CudaUpdateKernel update, Replay replay) {
        boolean is(CudaResidentImages otherImages, @Nullable CudaUpdateKernel otherUpdate) {
            return images == otherImages && update == otherUpdate;
        }
    }

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
                kept.add(new Kept(
                        value,
                        scope.own(DeviceBlock.allocate(
                                "kept " + value, lowered.requirements().bytes(value)))));
            }
        }
        scope.onClose(this::forgetRecordings);
        bind();
    }

    private void forgetRecordings() {
        CudaScope all = device.newScope();
        if (alone != null) {
            all.own(alone);
        }
        if (gathered != null) {
            all.own(gathered.replay);
        }
        if (updating != null) {
            all.own(updating.replay);
        }
        alone = null;
        gathered = null;
        updating = null;
        all.close();
    }

    private long currentGeneration() {
        return backend.workspace().generation() + backend.inputRegion().generation();
    }

    private void bind() {
        BoundAddresses addresses = new BoundAddresses(backend, plan, model, inputs);
        List<Enqueued> bound = new ArrayList<>();
        for (int i = 0; i < plans.size(); i++) {
            for (OpPlan.Binder binder : plans.get(i).binders()) {
                bound.add(new Enqueued(
                        new Replay.Item(binder.bind(addresses), plans.get(i).toString()), i));
            }
        }
        for (Kept item : kept) {
            DevicePointer from = DevicePointer.at(addresses.value(item.value));
            bound.add(new Enqueued(
                    new Replay.Item(
                            lane -> cuMemcpyDtoDAsync(item.block.pointer(), from, item.block.bytes(), lane.stream()),
                            "the copy of kept value " + item.value),
                    plans.size()));
        }
        launches = bound;
        generation = currentGeneration();
    }

    /** The launches of the operations, between others. */
    private Replay replay(List<Replay.Item> before, List<Replay.Item> after) {
        List<Replay.Item> all = new ArrayList<>(before);
        launches.forEach(enqueued -> all.add(enqueued.item));
        all.addAll(after);
        return new Replay(backend, backend.describe(program), all);
    }

    private Replay alone() {
        if (alone == null) {
            alone = replay(List.of(), List.of());
        }
        return alone;
    }

    private void launch() {
        alone().launch();
    }

    private Replay gathered(CudaResidentImages images) {
        if (gathered == null || !gathered.is(images, null)) {
            close(gathered);
            gathered = new OnImages(
                    images, null, replay(List.of(backend.numbers().begin(), inputs.gather(images)), List.of()));
        }
        return gathered.replay;
    }

    private Replay updating(CudaResidentImages images, CudaUpdateKernel update) {
        if (updating == null || !updating.is(images, update)) {
            close(updating);
            List<Replay.Item> after = new ArrayList<>(List.of(backend.metrics().taking()));
            after.addAll(update.launches());
            updating = new OnImages(
                    images, update, replay(List.of(backend.numbers().begin(), inputs.gather(images)), after));
        }
        return updating.replay;
    }

    /** For other images or another update than before, which is rare: the old graph may be running. */
    private void close(@Nullable OnImages old) {
        if (old != null) {
            device.await();
            old.replay.close();
        }
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
        enter();
        try {
            inputs.feed(feed);
            launches.run();
        } catch (jcuda.CudaException e) {
            throw failed(CudaCalls.failure("run " + backend.describe(program), e));
        } catch (CudaException e) {
            throw failed(e);
        }
    }

    /** The same with a batch that the device makes itself. */
    void run(CudaResidentImages images, long epoch, long position, int samples) {
        requireOpen();
        inputs.check(images, samples);
        enter();
        try {
            inputs.reserveForGather();
            backend.numbers().await();
            images.place(epoch, position);
            gathered(images).launch();
            backend.numbers().sent();
        } catch (jcuda.CudaException e) {
            throw failed(CudaCalls.failure("run " + backend.describe(program), e));
        } catch (CudaException e) {
            throw failed(e);
        }
    }

    /** The same, with the sums taken and an update applied. */
    StepMetrics.Reading update(
            CudaResidentImages images,
            long epoch,
            long position,
            int samples,
            CudaUpdateKernel update,
            UpdateScalars scalars) {
        requireOpen();
        inputs.check(images, samples);
        update.requireOpen();
        if (!update.isOf(model)) {
            throw new IllegalArgumentException(
                    "the update was prepared for another model than " + backend.describe(program));
        }
        enter();
        try {
            inputs.reserveForGather();
            backend.numbers().await();
            backend.metrics().await();
            images.place(epoch, position);
            update.images(images);
            update.pass(scalars);
            updating(images, update).launch();
            backend.numbers().sent();
            return backend.metrics().taken();
        } catch (jcuda.CudaException e) {
            throw failed(CudaCalls.failure("run " + backend.describe(program), e));
        } catch (CudaException e) {
            throw failed(e);
        }
    }

    private RuntimeException failed(CudaException failure) {
        return failure.outOfMemory()
                ? backend.workspace().refused(backend.describe(program) + " cannot run", plan.totalBytes(), failure)
                : backend.late(failure);
    }

    CudaBackend backend() {
        return backend;
    }

    private void enter() {
        device.enter();
        if (backend.workspace().capacityBytes() < plan.totalBytes()) {
            throw new IllegalStateException("the workspace holds "
                    + backend.workspace().capacityBytes() + " bytes, but this program needs " + plan.totalBytes()
                    + "; reserve them before running it");
        }
        if (generation != currentGeneration()) {
            try {
                forgetRecordings();
                bind();
            } catch (jcuda.CudaException e) {
                throw backend.lateFailure("prepare " + backend.describe(program) + " again", e);
            } catch (CudaException e) {
                throw device.health().note(e);
            }
        }
    }

    /**
     * Records the program while another one runs, as steps of its model run now, if that is possible.
     *
     * @param whole whether each run ends with an update; otherwise some may not
     */
    void recordAhead(boolean whole) {
        for (CudaUpdateKernel update : backend.updates()) {
            CudaResidentImages images = update.images();
            if (images != null
                    && !images.isClosed()
                    && update.isOf(model)
                    && program.mode() == Mode.TRAINING
                    && inputs.fit(images)) {
                updating(images, update).recordAhead();
                if (!whole) {
                    gathered(images).recordAhead();
                }
                return;
            }
        }
        alone().recordAhead();
    }

    private void launchTimed(double[] seconds) {
        try (OperationEvents events = new OperationEvents(device, plans.size())) {
            events.record(0, device.stream());
            int next = 0;
            for (int op = 0; op < plans.size(); op++) {
                while (next < launches.size() && launches.get(next).operation == op) {
                    launches.get(next++).item.enqueue(device.lane());
                }
                events.record(op + 1, device.stream());
            }
            while (next < launches.size()) {
                launches.get(next++).item.enqueue(device.lane());
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
