package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemcpyDtoHAsync;
import static jcuda.driver.JCudaDriver.cuMemsetD8Async;

import io.crescendo.backend.StepMetrics;
import java.nio.ByteBuffer;
import jcuda.Pointer;
import org.jspecify.annotations.Nullable;

/**
 * Loss and hits, summed on the device.
 *
 * <pre>
 * bytes   0  loss, double; the loss operation adds to it
 *         8  hits, long long
 *        16  int: not zero once a taken loss or a gradient was not finite; update kernels do nothing then
 *       256  taken sums, a ring of (double, long long)
 * </pre>
 *
 * <p>{@link #take} puts a small kernel on the stream that moves the sums into the ring and sets the flag, a copy to
 * pinned memory and an event; the host looks at the event when it asks, some updates later.
 */
final class CudaStepMetrics implements StepMetrics {
    private static final int SUMS_BYTES = Double.BYTES + Long.BYTES;
    private static final int FLAG_AT = SUMS_BYTES;
    private static final int RING_AT = 256;
    /** More than a trainer is ever ahead of the device: then no reading waits because another one's place is needed. */
    private static final int PLACES = 16;

    private final CudaBackend backend;
    private final CudaDevice device;
    private final DeviceBlock block;
    private final Place[] places = new Place[PLACES];
    private final ByteBuffer arrived;
    private int next;

    /** One place of the ring. */
    private static final class Place {
        private final int at;
        private final CudaEvent done;
        private final Kernels.Call take;
        private final DevicePointer taken;
        private final Pointer arrives;
        private @Nullable Late reading;

        private Place(int at, CudaEvent done, Kernels.Call take, DevicePointer taken, Pointer arrives) {
            this.at = at;
            this.done = done;
            this.take = take;
            this.taken = taken;
            this.arrives = arrives;
        }
    }

    CudaStepMetrics(CudaBackend backend, CudaScope scope) {
        this.backend = backend;
        this.device = backend.device();
        this.block = scope.own(DeviceBlock.allocate("the sums of loss and hits", RING_AT + PLACES * SUMS_BYTES));
        PinnedBlock pinned = scope.own(new PinnedBlock("the sums of loss and hits", PLACES * SUMS_BYTES));
        this.arrived = pinned.bytes();
        for (int i = 0; i < PLACES; i++) {
            int at = i * SUMS_BYTES;
            DevicePointer taken = DevicePointer.at(block.address() + RING_AT + at);
            Kernels.Call take = device.kernels()
                    .call("take_sums", 1, 1, address(), address() + Double.BYTES, taken.address(), skipFlag());
            places[i] = new Place(
                    at,
                    scope.own(new CudaEvent()),
                    take,
                    taken,
                    pinned.pointer().withByteOffset(at));
        }
        zero();
    }

    private void zero() {
        cuMemsetD8Async(block.pointer(), (byte) 0, RING_AT, device.stream());
    }

    /** Where the loss lies, and the hits behind it. */
    long address() {
        return block.address();
    }

    /** The flag that update kernels look at, and that whoever meets a gradient which is not finite raises. */
    long skipFlag() {
        return block.address() + FLAG_AT;
    }

    @Override
    public Sums read() {
        device.enter();
        try {
            ByteBuffer sums = backend.transfer().fetch(address(), FLAG_AT + Integer.BYTES);
            boolean skips = sums.getInt(FLAG_AT) != 0;
            return new Sums(skips ? Double.NaN : sums.getDouble(0), sums.getLong(Double.BYTES));
        } catch (jcuda.CudaException e) {
            throw backend.lateFailure("read loss and hits", e);
        }
    }

    @Override
    public void clear() {
        device.enter();
        CudaCalls.run(() -> "clear loss and hits", this::zero);
    }

    @Override
    public Reading take() {
        device.enter();
        Place place = places[next];
        next = (next + 1) % PLACES;
        if (place.reading != null) {
            place.reading.sums(); // its place is needed
        }
        Late reading = new Late(place);
        try {
            place.take.enqueue(device.stream());
            cuMemcpyDtoHAsync(place.arrives, place.taken, SUMS_BYTES, device.stream());
            place.done.record(device.stream());
        } catch (jcuda.CudaException e) {
            throw backend.lateFailure("take loss and hits", e);
        } catch (CudaException e) {
            throw device.health().note(e);
        }
        place.reading = reading;
        return reading;
    }

    /** Sums that are on their way. */
    private final class Late implements Reading {
        private final Place place;
        private @Nullable Sums sums;

        private Late(Place place) {
            this.place = place;
        }

        @Override
        public boolean isDone() {
            if (sums == null) {
                device.enter();
                try {
                    if (device.driver().isDone(place.done)) {
                        arrive();
                    }
                } catch (jcuda.CudaException e) {
                    throw backend.lateFailure("learn whether loss and hits have come", e);
                }
            }
            return sums != null;
        }

        @Override
        public Sums sums() {
            if (sums == null) {
                device.enter();
                try {
                    place.done.await();
                } catch (jcuda.CudaException e) {
                    throw backend.lateFailure("wait for loss and hits", e);
                }
                return arrive();
            }
            return sums;
        }

        private Sums arrive() {
            Sums came = new Sums(arrived.getDouble(place.at), arrived.getLong(place.at + Double.BYTES));
            sums = came;
            place.reading = null;
            return came;
        }
    }
}
