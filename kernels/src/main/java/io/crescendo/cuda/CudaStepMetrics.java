package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemsetD8Async;

import io.crescendo.backend.StepMetrics;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * Loss and hits, summed on the device.
 *
 * <pre>
 * bytes  0  loss, double; the loss operation adds to it
 *        8  hits, long long
 *       16  int: not zero once a taken loss or a gradient was not finite; update kernels do nothing then
 *       24  how many sums were taken, long long
 * </pre>
 *
 * <p>{@link #take} puts a small kernel on the stream that moves the sums into a ring in pinned memory, with their
 * number behind them, and sets the flag. The host looks for that number when it asks, some updates later: no call, no
 * event.
 */
final class CudaStepMetrics implements StepMetrics {
    private static final int HITS_AT = Double.BYTES;
    private static final int FLAG_AT = HITS_AT + Long.BYTES;
    private static final int COUNT_AT = FLAG_AT + Long.BYTES;
    private static final int BYTES = COUNT_AT + Long.BYTES;

    // TakenSums of metrics.cu
    private static final int PLACE_BYTES = 32;
    private static final int NUMBER_AT = Double.BYTES + Long.BYTES;

    /** More than a trainer is ever ahead of the device: then no reading waits because another one's place is needed. */
    private static final int PLACES = 16;

    /** Whoever looks again and again must learn that the device has failed; asking it takes a call. */
    private static final int LOOKS = 16;

    private final CudaBackend backend;
    private final CudaDevice device;
    private final DeviceBlock block;
    private final ByteBuffer ring;
    private final Place[] places = new Place[PLACES];
    private final Kernels.Call take;
    private final Replay.Item taking;
    private long taken;

    /** One place of the ring, and who still has to read it. */
    private static final class Place {
        private final int at;
        private final PinnedWord number;
        private @Nullable Late reading;

        private Place(int at, PinnedWord number) {
            this.at = at;
            this.number = number;
        }
    }

    CudaStepMetrics(CudaBackend backend, CudaScope scope) {
        this.backend = backend;
        this.device = backend.device();
        this.block = scope.own(DeviceBlock.allocate("the sums of loss and hits", BYTES));
        PinnedBlock pinned = scope.own(new PinnedBlock("the sums of loss and hits", PLACES * PLACE_BYTES));
        this.ring = pinned.bytes();
        for (int i = 0; i < PLACES; i++) {
            places[i] = new Place(i * PLACE_BYTES, new PinnedWord(ring, i * PLACE_BYTES + NUMBER_AT));
            places[i].number.set(0);
        }
        this.take = device.kernels()
                .call(
                        "take_sums",
                        1,
                        1,
                        address(),
                        address() + HITS_AT,
                        skipFlag(),
                        address() + COUNT_AT,
                        pinned.deviceAddress(),
                        PLACES);
        this.taking = new Replay.Item(lane -> take.enqueue(lane.stream()), "the taking of loss and hits");
        cuMemsetD8Async(block.pointer(), (byte) 0, BYTES, device.stream());
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
            return new Sums(skips ? Double.NaN : sums.getDouble(0), sums.getLong(HITS_AT));
        } catch (jcuda.CudaException e) {
            throw backend.lateFailure("read loss and hits", e);
        }
    }

    @Override
    public void clear() {
        device.enter();
        CudaCalls.run(
                () -> "clear loss and hits",
                () -> cuMemsetD8Async(block.pointer(), (byte) 0, COUNT_AT, device.stream()));
    }

    /** The launch that {@link #take} makes, to be recorded with others: see {@link #taken}. */
    Replay.Item taking() {
        return taking;
    }

    @Override
    public Reading take() {
        device.enter();
        await();
        try {
            taking.enqueue(device.lane());
        } catch (CudaException e) {
            throw backend.late(e);
        }
        return taken();
    }

    /** Waits until the next sums have a place: most often they do. */
    void await() {
        Late earlier = place().reading;
        if (earlier != null) {
            earlier.sums();
        }
    }

    /** {@link #taking} was launched: the reading of these sums. */
    Reading taken() {
        Place place = place();
        taken++;
        Late reading = new Late(place, taken);
        place.reading = reading;
        return reading;
    }

    private Place place() {
        return places[(int) (taken % PLACES)];
    }

    /** After a launch that failed half-way: the device knows whether it has taken the sums. Nothing runs. */
    void recount() {
        taken = backend.transfer().fetch(address() + COUNT_AT, Long.BYTES).getLong(0);
    }

    /** Sums that are on their way. */
    private final class Late implements Reading {
        private final Place place;
        private final long number;
        private int looks;
        private @Nullable Sums sums;

        private Late(Place place, long number) {
            this.place = place;
            this.number = number;
        }

        @Override
        public boolean isDone() {
            if (sums == null && hasArrived()) {
                arrive();
            } else if (sums == null && ++looks % LOOKS == 0) {
                device.enter();
                try {
                    device.driver().isIdle(device.stream());
                } catch (jcuda.CudaException e) {
                    throw backend.lateFailure("learn whether loss and hits have come", e);
                }
            }
            return sums != null;
        }

        private boolean hasArrived() {
            device.requireOpen(); // what it would look at is freed otherwise
            return place.number.get() == number;
        }

        @Override
        public Sums sums() {
            if (sums == null) {
                try {
                    device.await(this::hasArrived, "loss and hits did not come");
                } catch (jcuda.CudaException e) {
                    throw backend.lateFailure("wait for loss and hits", e);
                }
                return arrive();
            }
            return sums;
        }

        private Sums arrive() {
            Sums came = new Sums(ring.getDouble(place.at), ring.getLong(place.at + HITS_AT));
            sums = came;
            place.reading = null;
            return came;
        }
    }
}
