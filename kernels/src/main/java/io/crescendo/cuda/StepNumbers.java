package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemsetD8Async;

import io.crescendo.backend.UpdateScalars;
import java.nio.ByteBuffer;

/**
 * What changes from one replay of a recorded step to the next: which samples it takes, and the numbers of its update.
 *
 * <p>The host writes them into a ring in pinned memory, and {@code begin_step} of step.cu, the first launch of every
 * step that has such numbers, fetches them. Arguments of launches could not change once a graph is made, and a copy
 * would be a call of its own.
 *
 * <pre>{@code
 * numbers.await();                         // a place is free: most often it is
 * numbers.place(seed, epoch, position, firstSample);
 * numbers.update(scalars, beta2);
 * replay.launch();                         // numbers.begin() is its first launch
 * numbers.sent();
 * }</pre>
 *
 * <p>The training thread alone uses it.
 */
final class StepNumbers {
    /** More steps than a host is ever ahead of the device where it reads their losses. */
    private static final int PLACES = 256;

    // StepNumbers of step.cuh
    private static final int BYTES = 64;
    private static final int EPOCH_AT = 2 * Long.BYTES;
    private static final int UPDATE_AT = 4 * Long.BYTES;

    private final CudaBackend backend;
    private final DeviceBlock block;
    private final ByteBuffer ring;
    private final PinnedWord told;
    private final Kernels.Call begin;
    private long sent;

    StepNumbers(CudaBackend backend, CudaScope scope) {
        this.backend = backend;
        block = scope.own(DeviceBlock.allocate("a step's numbers", BYTES + Long.BYTES));
        PinnedBlock pinned = scope.own(new PinnedBlock("the numbers of steps", PLACES * BYTES + Long.BYTES));
        ring = pinned.bytes();
        told = new PinnedWord(ring, PLACES * BYTES);
        told.set(0);
        begin = backend.device()
                .kernels()
                .call(
                        "begin_step",
                        1,
                        1,
                        pinned.deviceAddress(),
                        PLACES,
                        block.address() + BYTES,
                        pinned.deviceAddress() + PLACES * BYTES,
                        block.address());
        cuMemsetD8Async(block.pointer(), (byte) 0, block.bytes(), backend.device().stream());
    }

    /** Where kernels find a BatchPlace. */
    long placeAddress() {
        return block.address();
    }

    /** Where kernels find an UpdateScalars. */
    long updateAddress() {
        return block.address() + UPDATE_AT;
    }

    /** The launch that begins a step. */
    Replay.Item begin() {
        return new Replay.Item(lane -> begin.enqueue(lane.stream()), "the fetching of a step's numbers");
    }

    /** Waits until the next step's numbers can be written. */
    void await() {
        if (sent - told.get() >= PLACES) {
            backend.device().await(() -> sent - told.get() < PLACES, "the numbers of a step were not fetched");
        }
    }

    /** Which samples the next step takes. */
    void place(long seed, long epoch, long position, long firstSample) {
        int at = at();
        ring.putLong(at, seed);
        ring.putLong(at + Long.BYTES, firstSample);
        ring.putLong(at + EPOCH_AT, epoch);
        ring.putLong(at + EPOCH_AT + Long.BYTES, position);
    }

    /** The numbers of the next step's update; β₂ is 0 for rules without it. */
    void update(UpdateScalars scalars, double beta2) {
        double momentum = scalars.momentum();
        int at = at() + UPDATE_AT;
        ring.putFloat(at, (float) scalars.learningRate());
        ring.putFloat(at + 4, (float) momentum);
        ring.putFloat(at + 8, (float) scalars.gradientScale());
        ring.putFloat(at + 12, (float) scalars.weightDecay());
        ring.putFloat(at + 16, (float) (1 - momentum));
        ring.putFloat(at + 20, (float) (1 / (1 - Math.pow(momentum, (double) scalars.update()))));
        ring.putFloat(at + 24, (float) (1 / (1 - Math.pow(beta2, (double) scalars.update()))));
        ring.putFloat(at + 28, (float) scalars.clipNorm());
    }

    private int at() {
        return (int) (sent % PLACES) * BYTES;
    }

    /** The step was launched: the next one has another place. */
    void sent() {
        sent++;
    }

    /** After a launch that failed half-way: the device knows whether its step has begun. Nothing runs. */
    void recount() {
        sent = backend.transfer().fetch(block.address() + BYTES, Long.BYTES).getLong(0);
    }
}
