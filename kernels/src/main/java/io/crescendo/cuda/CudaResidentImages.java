package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;

import io.crescendo.backend.Executable;
import io.crescendo.backend.ImageSource;
import io.crescendo.backend.Precision;
import io.crescendo.backend.ResidentImages;
import io.crescendo.backend.StepMetrics;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import java.nio.ByteBuffer;
import java.nio.IntBuffer;
import java.util.OptionalInt;

/**
 * A data set in device memory: uint8 pixels and int32 labels as they are on the host, and the order of one epoch.
 *
 * <p>{@code gather.cu} makes the batches. At an epoch's first batch the new order is copied behind everything that
 * still reads the old one; nobody waits.
 */
final class CudaResidentImages implements ResidentImages {
    private static final int UPLOAD_BYTES = 4 << 20;
    private static final long NO_EPOCH = -1;

    private final CudaBackend backend;
    private final CudaDevice device;
    private final CudaScope scope;
    private final ImageSource source;
    private final DeviceBlock pixels;
    private final DeviceBlock labels;
    private final DeviceBlock table;
    private final DeviceBlock order;
    private final PinnedBlock nextOrder;
    private final IntBuffer nextOrderNumbers;
    private final CudaEvent sent;
    private long arranged = NO_EPOCH;
    private volatile boolean closed;

    CudaResidentImages(CudaBackend backend, CudaScope scope, ImageSource source) {
        this.backend = backend;
        this.device = backend.device();
        this.scope = scope;
        this.source = source;
        String what = "the images of '" + source.name() + "'";
        int samples = source.samples();
        pixels = scope.own(DeviceBlock.allocate(what, imageBytes(source) * samples));
        labels = scope.own(DeviceBlock.allocate(what, (long) Integer.BYTES * samples));
        table = scope.own(DeviceBlock.allocate(what, (long) Float.BYTES * source.table().length));
        order = scope.own(DeviceBlock.allocate(what, (long) Integer.BYTES * samples));
        nextOrder = scope.own(new PinnedBlock("the order of an epoch", Math.multiplyExact(Integer.BYTES, samples)));
        nextOrderNumbers = nextOrder.bytes().asIntBuffer();
        sent = scope.own(new CudaEvent());
        scope.onClose(device::await); // a batch may be in the making
        backend.useImages(1);
        scope.onClose(() -> backend.useImages(-1));
        backend.transfer().write(source.table(), table.address());
        backend.transfer().write(labels(source), labels.address());
        upload();
    }

    /** Device memory that a source takes. */
    static long bytes(ImageSource source) {
        return (imageBytes(source) + 2L * Integer.BYTES) * source.samples()
                + (long) Float.BYTES * source.table().length;
    }

    private static long imageBytes(ImageSource source) {
        return (long) source.channels() * source.height() * source.width();
    }

    private static int[] labels(ImageSource source) {
        int[] labels = new int[source.samples()];
        for (int sample = 0; sample < labels.length; sample++) {
            labels[sample] = source.label(sample);
        }
        return labels;
    }

    private void upload() {
        byte[] image = new byte[Math.toIntExact(imageBytes(source))];
        try (PinnedBlock block = new PinnedBlock("images on their way", Math.max(UPLOAD_BYTES, image.length))) {
            ByteBuffer bytes = block.bytes();
            long at = 0;
            for (int sample = 0; sample < source.samples(); sample++) {
                if (bytes.remaining() < image.length) {
                    at += send(block, bytes, at);
                }
                source.copyImage(sample, image, 0);
                bytes.put(image);
            }
            send(block, bytes, at);
        }
    }

    private int send(PinnedBlock block, ByteBuffer bytes, long at) {
        int count = bytes.position();
        cuMemcpyHtoDAsync(DevicePointer.at(pixels.address() + at), block.pointer(), count, device.stream());
        device.await();
        bytes.clear();
        return count;
    }

    /** The launch that makes batches of a size at these addresses; {@link StepNumbers} says which. */
    Kernels.Call gather(long images, long classes, long dropoutClock, int samples) {
        return device.kernels()
                .call(
                        device.precision() == Precision.BF16 ? "gather_bf16" : "gather_f32",
                        samples,
                        1,
                        pixels.address(),
                        labels.address(),
                        order.address(),
                        table.address(),
                        backend.numbers().placeAddress(),
                        images,
                        classes,
                        dropoutClock,
                        samples,
                        source.channels(),
                        source.height(),
                        source.width(),
                        source.padding(),
                        source.flip() ? 1 : 0);
    }

    /** Says which samples the next step takes. */
    void place(long epoch, long position) {
        if (epoch != arranged) {
            arrange(epoch);
        }
        backend.numbers().place(source.seed(), epoch, position, epoch * source.samples() + position);
    }

    private void arrange(long epoch) {
        int[] next = source.order(epoch);
        sent.await(); // the copy before, an epoch ago
        nextOrderNumbers.put(0, next);
        cuMemcpyHtoDAsync(order.pointer(), nextOrder.pointer(), order.bytes(), device.stream());
        sent.record(device.stream());
        arranged = epoch;
    }

    @Override
    public void run(Executable executable, long epoch, long position, int samples) {
        own(executable, position, samples).run(this, epoch, position, samples);
    }

    @Override
    public StepMetrics.Reading update(
            Executable executable, long epoch, long position, int samples, UpdateKernel update, UpdateScalars scalars) {
        CudaExecutable program = own(executable, position, samples);
        if (!(update instanceof CudaUpdateKernel own) || own.backend() != backend) {
            throw new IllegalArgumentException("the update was not prepared by " + backend.name());
        }
        return program.update(this, epoch, position, samples, own, scalars);
    }

    private CudaExecutable own(Executable executable, long position, int samples) {
        if (closed) {
            throw new IllegalStateException("the images of '" + source.name() + "' were closed already");
        }
        if (position < 0 || samples < 1 || position + samples > source.samples()) {
            throw new IllegalArgumentException("samples [" + position + ", " + (position + samples) + ") do not lie"
                    + " within the " + source.samples() + " of '" + source.name() + "'");
        }
        if (!(executable instanceof CudaExecutable own) || own.backend() != backend) {
            throw new IllegalArgumentException("the program was not bound by " + backend.name());
        }
        return own;
    }

    /** Any thread may ask. */
    boolean isClosed() {
        return closed;
    }

    /** Whether a program reads such images; zero channels stand for one that reads none. */
    boolean fit(int channels, int plane, OptionalInt classes) {
        return channels == source.channels()
                && plane == source.height() * source.width()
                && classes.orElse(source.classes()) >= source.classes();
    }

    /** Refuses programs for other images; zero channels stand for a program that reads none. */
    void requireFits(int channels, int plane, OptionalInt classes) {
        if (!fit(channels, plane, classes)) {
            throw new IllegalArgumentException("the program reads " + channels + " channels of " + plane
                    + " pixels" + (classes.isPresent() ? " in " + classes.getAsInt() + " classes" : "") + ", but '"
                    + source.name() + "' has " + source.classes() + " classes of " + source.channels() + "x"
                    + source.height() + "x" + source.width());
        }
    }

    @Override
    public void close() {
        closed = true;
        device.enterToClose();
        scope.close();
    }
}
