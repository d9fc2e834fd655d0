package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemcpyDtoHAsync;

import io.crescendo.backend.GradientNorms;
import io.crescendo.backend.ModelMemory;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Norms of micro-batches' gradients through {@code gradient_sum.cu}, which gives the squared norms of what it adds and
 * of the sum. D is a pack of its own that holds −G between micro-batches, G being the gradients so far:
 *
 * <pre>
 *   first      D ← −G                 |G|² of the part is the micro-batch's own
 *   then       D ← D + G              |D|² of the sum is the micro-batch's own, |G|² of the part the whole's
 *   and again  D ← −G                 unless it was the last
 * </pre>
 *
 * So an update of K micro-batches takes 2 K − 2 launches and moves 8 bytes per parameter for the first micro-batch, 20
 * for each in between and 12 for the last. Nobody waits: the norms go to pinned memory behind the last launch, and an
 * event says when they are there. Norms that are not finite raise the flag of {@link CudaStepMetrics}, one update
 * before the update itself would.
 */
final class CudaGradientNorms implements GradientNorms {
    /** The norm of the one part, then that of the sum: what a launch leaves. */
    private static final int NORMS = 2;

    /** Place of the kernel's argument that differs from launch to launch. */
    private static final int NORMS_ARGUMENT = 6;

    /** More than a trainer is ever ahead of the device. */
    private static final int PLACES = 8;

    private final CudaBackend backend;
    private final CudaDevice device;
    private final CudaScope scope;
    private final CudaDeviceMemory gradients;
    private final DeviceBlock difference;
    private final DeviceBlock parts;
    private final Kernels.Call toNegative;
    private final Kernels.Call toDifference;
    private final Place[] places = new Place[PLACES];
    private int next;
    private int ran;
    private boolean closed;

    CudaGradientNorms(CudaBackend backend, CudaScope scope, ModelMemory model) {
        this.backend = backend;
        this.device = backend.device();
        this.scope = scope;
        this.gradients = (CudaDeviceMemory) model.gradients();
        this.difference =
                scope.own(DeviceBlock.allocate("gradients before a micro-batch", Float.BYTES * gradients.elements()));
        this.parts = scope.own(DeviceBlock.allocate("the address of gradients", Long.BYTES));
        long address = gradients.address();
        backend.transfer().write(new int[] {(int) address, (int) (address >>> Integer.SIZE)}, parts.address());
        this.toNegative = call(-1, false);
        this.toDifference = call(1, true);
        for (int i = 0; i < PLACES; i++) {
            places[i] = new Place();
        }
        scope.onClose(() -> {
            for (Place place : places) {
                place.release();
            }
        });
        scope.onClose(device::await); // a launch may be running
    }

    /** The launch that leaves {@code D ← (accumulate ? D : 0) ± G}; where its norms go is filled in later. */
    private Kernels.Call call(float sign, boolean accumulate) {
        int blocks = device.grids(Float.BYTES).blocksOfSum(Float.BYTES * gradients.elements());
        DeviceBlock partials = scope.own(DeviceBlock.allocate("parts of norms", (long) NORMS * Float.BYTES * blocks));
        DeviceBlock weight = scope.own(DeviceBlock.allocate("a sign", Float.BYTES));
        backend.transfer().write(new float[] {sign}, weight.address());
        return device.kernels()
                .call(
                        "gradient_sum_f32",
                        blocks,
                        1,
                        difference.address(),
                        parts.address(),
                        weight.address(),
                        1,
                        gradients.elements(),
                        accumulate ? 1 : 0,
                        0L,
                        partials.address(),
                        backend.tickets(),
                        backend.metrics().skipFlag());
    }

    /** The norms of one update: two doubles for each micro-batch, then two that nobody reads. */
    private final class Place {
        private final CudaEvent done = scope.own(new CudaEvent());
        private int capacity;
        private @Nullable DeviceBlock norms;
        private @Nullable PinnedBlock arrived;
        private @Nullable Late reading;

        /** Makes room for so many micro-batches; rarely more than it has. */
        private DeviceBlock reserve(int count) {
            if (norms == null || capacity < count) {
                device.await(); // launches with the old address
                release();
                int bytes = Math.multiplyExact(count + 1, NORMS * Double.BYTES);
                norms = DeviceBlock.allocate("norms of gradients", bytes);
                arrived = new PinnedBlock("norms of gradients", bytes);
                capacity = count;
            }
            return norms;
        }

        private void release() {
            if (norms != null) {
                norms.close();
                norms = null;
            }
            if (arrived != null) {
                arrived.close();
                arrived = null;
            }
        }
    }

    @Override
    public void ran(int index, int count) {
        if (closed) {
            throw new IllegalStateException("these norms were closed already");
        }
        gradients.requireOpen();
        device.enter();
        Place place = places[next];
        if (index == 0) {
            if (place.reading != null) {
                place.reading.squares(); // its place is needed
            }
            ran = 0;
        }
        try {
            long norms = place.reserve(count).address();
            if (index > 0) {
                enqueue(toDifference, norms, index);
            }
            if (index == 0 || index < count - 1) {
                enqueue(toNegative, norms, index == 0 ? 0 : count);
            }
        } catch (jcuda.CudaException e) {
            throw backend.lateFailure("measure the gradients", e);
        } catch (CudaException e) {
            throw device.health().note(e);
        }
        ran = index + 1;
    }

    private void enqueue(Kernels.Call call, long norms, int place) {
        call.set(NORMS_ARGUMENT, norms + (long) place * NORMS * Double.BYTES);
        call.enqueue(device.stream());
    }

    @Override
    public Reading take() {
        device.enter();
        Place place = places[next];
        DeviceBlock norms = place.norms;
        PinnedBlock arrived = place.arrived;
        if (ran == 0 || norms == null || arrived == null) {
            throw new IllegalStateException("no micro-batch ran whose norms could be taken");
        }
        next = (next + 1) % PLACES;
        Late reading = new Late(place, arrived.bytes(), ran);
        try {
            cuMemcpyDtoHAsync(arrived.pointer(), norms.pointer(), (long) ran * NORMS * Double.BYTES, device.stream());
            place.done.record(device.stream());
        } catch (jcuda.CudaException e) {
            throw backend.lateFailure("take the norms of gradients", e);
        }
        place.reading = reading;
        ran = 0;
        return reading;
    }

    /** Norms that are on their way. */
    private final class Late implements Reading {
        private final Place place;
        private final ByteBuffer arrives;
        private final int count;
        private @Nullable Squares squares;

        private Late(Place place, ByteBuffer arrives, int count) {
            this.place = place;
            this.arrives = arrives;
            this.count = count;
        }

        @Override
        public Squares squares() {
            if (squares == null) {
                device.enter();
                try {
                    place.done.await();
                } catch (jcuda.CudaException e) {
                    throw backend.lateFailure("wait for the norms of gradients", e);
                }
                squares = arrived();
                place.reading = null;
            }
            return squares;
        }

        private Squares arrived() {
            List<Double> own = new ArrayList<>();
            own.add(norm(0)); // the part itself: the sum is −G then
            for (int k = 1; k < count; k++) {
                own.add(norm(NORMS * k + 1));
            }
            return new Squares(own, norm(NORMS * (count - 1)));
        }

        private double norm(int number) {
            return arrives.getDouble(number * Double.BYTES);
        }
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        device.enterToClose();
        scope.close();
    }
}
