package io.crescendo.cuda;

import io.crescendo.autograd.Value;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.LongSupplier;

/**
 * How one operation runs: its sizes for the planner, then its launches.
 *
 * <pre>{@code
 * OpPlan plan = new OpPlan(index, program.describe(index));
 * plan.bytes(op.output(), 4 * elements);
 * plan.allowOverwriting(op.input());
 * plan.launch(at -> {
 *     Kernels.Call call = kernels.call("relu_f32", grid, 1, at.value(op.output()), at.value(op.input()), elements);
 *     return lane -> call.enqueue(lane.stream());
 * });
 * }</pre>
 */
final class OpPlan implements AutoCloseable {
    /** Scratch of one operation is cut at multiples of this, as cuDNN's workspaces and vector loads want it. */
    static final long SCRATCH_ALIGNMENT = 256;

    private final int index;
    private final String description;
    private final List<Binder> binders = new ArrayList<>();
    private final List<Runnable> preparations = new ArrayList<>();
    private final Set<Value> overwritable = new HashSet<>();
    private final Map<Value, Long> bytes = new HashMap<>();
    private final CudaScope scope = new CudaScope();
    private long scratchBytes;
    private LongSupplier workspaceBytes = () -> 0;
    private long heldBytes;

    /**
     * Starts a plan.
     *
     * @param index the operation's place in the program
     * @param description the operation with its shapes, for messages
     */
    OpPlan(int index, String description) {
        this.index = index;
        this.description = description;
    }

    /** Makes a launch for addresses. Called at binding, and again if the addresses change. */
    @FunctionalInterface
    interface Binder {
        Launch bind(Addresses at);
    }

    /** Rounded up to a multiple of {@link #SCRATCH_ALIGNMENT}. */
    static long aligned(long bytes) {
        return (bytes + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT * SCRATCH_ALIGNMENT;
    }

    int index() {
        return index;
    }

    /** Reserves memory that only this operation uses, and only while it runs; gives its offset. */
    long scratch(long size) {
        long offset = scratchBytes;
        scratchBytes += aligned(size);
        return offset;
    }

    /** Reserves scratch memory behind all other, which may be less once the operation is prepared. */
    void workspace(LongSupplier size) {
        workspaceBytes = size;
    }

    /** The offset of {@link #workspace}, when everything else is reserved. */
    long workspaceOffset() {
        return scratchBytes;
    }

    long scratchBytes() {
        return scratchBytes + aligned(workspaceBytes.getAsLong());
    }

    /** Reserves memory that this operation fills and that stays until the program has ended; gives its offset. */
    long hold(long size) {
        long offset = heldBytes;
        heldBytes += aligned(size);
        return offset;
    }

    long heldBytes() {
        return heldBytes;
    }

    /** Tells the planner that the first output may lie where this input lies. */
    void allowOverwriting(Value input) {
        overwritable.add(input);
    }

    boolean mayOverwrite(Value input) {
        return overwritable.contains(input);
    }

    /** Says how many bytes a value has that this operation defines; every arena output needs this. */
    void bytes(Value value, long size) {
        bytes.put(value, size);
    }

    /** What {@link #bytes(Value, long)} said. */
    OptionalLong bytes(Value value) {
        Long size = bytes.get(value);
        return size == null ? OptionalLong.empty() : OptionalLong.of(size);
    }

    /** Appends a launch. */
    void launch(Binder binder) {
        binders.add(binder);
    }

    /**
     * Appends what must happen before binding, needs no addresses and takes long: measuring, for example. It may run on
     * another thread while a step runs, and more than once.
     */
    void onPrepare(Runnable preparation) {
        preparations.add(preparation);
    }

    /** Does what {@link #onPrepare} asked for. */
    void prepare() {
        preparations.forEach(Runnable::run);
    }

    List<Binder> binders() {
        return binders;
    }

    /**
     * Releases something, a descriptor for example, when neither the lowered program nor anything bound from it needs
     * it any more; the newest first.
     */
    void onClose(Runnable release) {
        scope.onClose(release);
    }

    @Override
    public void close() {
        scope.close();
    }

    @Override
    public String toString() {
        return description;
    }
}
