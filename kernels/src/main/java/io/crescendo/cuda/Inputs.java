package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemcpyDtoDAsync;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.backend.Feed;
import io.crescendo.backend.Precision;
import java.nio.ByteOrder;
import java.nio.IntBuffer;
import java.util.List;
import java.util.OptionalInt;

/**
 * What one program reads from outside, and the way it takes.
 *
 * <pre>
 * bytes     0   DropoutClock: seed, number of the first sample (long long each)
 *         256   labels (N) int32
 *           …   images: (N, C, H, W) float32 while staged, (N, H, W, C) in the type of activations where operations read
 * </pre>
 *
 * <p>Operations read at addresses that are the same at every run, in a region that all programs share: they run one
 * after another. So a feed goes from its staging slot to that region on the compute stream, just before the program.
 */
final class Inputs {
    private static final long LABELS_AT = OpPlan.SCRATCH_ALIGNMENT;
    private static final int TILE = 32; // of transpose, in elements each way

    private final CudaBackend backend;
    private final Staging staging;
    private final int samples;
    private final boolean readsImages;
    private final boolean readsLabels;
    private final int channels;
    private final int plane;
    private final int imageElements;
    private final OptionalInt classes;
    private final long imagesAt;
    private final long stagedBytes;
    private final long regionBytes;
    private Kernels.Call[] transposes = {};
    private DevicePointer[] heads = {};
    private DevicePointer region = DevicePointer.at(0);
    private long generation = -1;

    Inputs(CudaBackend backend, Program program) {
        this.backend = backend;
        this.staging = backend.staging();
        this.samples = program.microBatch();
        this.readsImages = program.images().isPresent();
        this.readsLabels =
                program.ops().stream().map(Op::inputs).flatMap(List::stream).anyMatch(v -> v.home() == Home.LABELS);
        this.channels = program.images().map(v -> v.shape().intDim(1)).orElse(0);
        this.plane = program.images()
                .map(v -> Math.multiplyExact(v.shape().intDim(2), v.shape().intDim(3)))
                .orElse(0);
        this.imageElements = Math.multiplyExact(samples, Math.multiplyExact(channels, plane));
        this.classes = program.ops().stream()
                .filter(Op.SoftmaxCrossEntropy.class::isInstance)
                .mapToInt(op -> ((Op.SoftmaxCrossEntropy) op).logits().shape().intDim(1))
                .min();
        this.imagesAt = OpPlan.aligned(LABELS_AT + (readsLabels ? (long) Integer.BYTES * samples : 0));
        this.stagedBytes = imagesAt + (long) Float.BYTES * imageElements;
        this.regionBytes = imagesAt + (long) backend.elementBytes() * imageElements;
    }

    /**
     * Makes room, so that feeding allocates nothing. Where there are images on the device, perhaps nothing is ever fed;
     * the first feed makes room then.
     */
    void reserve() {
        if (!backend.hasImages() || staging.isUsed()) {
            staging.reserve(stagedBytes);
        }
        backend.inputRegion().reserve(regionBytes);
    }

    /** The same at a run: most often there is nothing to do. */
    private void reserveForFeed() {
        try {
            staging.reserve(stagedBytes);
            backend.inputRegion().reserve(regionBytes);
        } catch (CudaException e) {
            throw e.outOfMemory()
                    ? backend.workspace()
                            .refused(
                                    "feeding " + samples + " samples takes " + Amounts.bytes(stagedBytes) + " twice",
                                    2 * stagedBytes,
                                    e)
                    : e;
        }
    }

    /** Has the memory ready that {@link #reserve} will ask for; on another thread, where addresses stay. */
    void prepare() {
        staging.prepare(stagedBytes);
        while (backend.inputRegion().prepare(regionBytes)) {}
    }

    long dropoutClock() {
        return backend.inputRegion().address();
    }

    /** Where operations read a value of {@link Home} IMAGES or LABELS. */
    long address(Value value) {
        return backend.inputRegion().address() + (value.home() == Home.LABELS ? LABELS_AT : imagesAt);
    }

    /** Refuses feeds that do not fit the program. */
    void check(Feed feed) {
        if (feed.samples() != samples) {
            throw new IllegalArgumentException(
                    "the program was prepared for " + samples + " samples, but the feed has " + feed.samples());
        }
        if (readsImages) {
            if (!feed.images().isDirect() || feed.images().order() != ByteOrder.nativeOrder()) {
                throw new IllegalArgumentException("the feed's images must be a direct buffer in native byte order");
            }
            requireRoom("images", feed.images().limit(), imageElements);
        }
        if (readsLabels) {
            requireRoom("labels", feed.labels().limit(), samples);
            requireClasses(feed.labels());
        }
    }

    private static void requireRoom(String what, int limit, int needed) {
        if (limit < needed) {
            throw new IllegalArgumentException(
                    "the feed's " + what + " hold " + limit + " numbers, but the program reads " + needed);
        }
    }

    private void requireClasses(IntBuffer labels) {
        if (classes.isEmpty()) {
            return;
        }
        int count = classes.getAsInt();
        for (int n = 0; n < samples; n++) {
            int label = labels.get(n);
            if (label < 0 || label >= count) {
                throw new IllegalArgumentException("sample " + n + " of the feed has label " + label
                        + ", but the network has " + count + " classes");
            }
        }
    }

    /** Puts everything on its way that brings the feed to where operations read; has read the feed when it returns. */
    void feed(Feed feed) {
        reserveForFeed();
        if (generation != staging.generation() + backend.inputRegion().generation()) {
            bind();
        }
        int slot = staging.begin();
        staging.putLong(feed.seed());
        staging.putLong(feed.firstSample());
        staging.skipTo(LABELS_AT);
        if (readsLabels) {
            staging.putInts(feed.labels(), samples);
        }
        staging.skipTo(imagesAt);
        if (readsImages) {
            staging.putFloats(feed.images(), imageElements);
        }
        staging.finish();
        cuMemcpyDtoDAsync(region, heads[slot], imagesAt, backend.device().stream());
        if (readsImages) {
            transposes[slot].enqueue(backend.device().stream());
        }
        staging.release();
    }

    /** Refuses images that are not the program's. */
    void check(CudaResidentImages images, int count) {
        if (count != samples) {
            throw new IllegalArgumentException(
                    "the program was prepared for " + samples + " samples, but is asked for " + count);
        }
        images.requireFits(channels, plane, classes);
    }

    /** Whether these images are the program's. */
    boolean fit(CudaResidentImages images) {
        return images.fit(channels, plane, classes);
    }

    /** Takes the room for batches that are made on the device: where this was bound ahead, it is only ready. */
    void reserveForGather() {
        backend.inputRegion().reserve(regionBytes);
    }

    /** The launch that makes a batch where operations read it, as long as nothing moves. */
    Replay.Item gather(CudaResidentImages images) {
        long to = backend.inputRegion().address();
        Kernels.Call call = images.gather(to + imagesAt, readsLabels ? to + LABELS_AT : 0, to, samples);
        return new Replay.Item(lane -> call.enqueue(lane.stream()), "the gathering of a batch");
    }

    private void bind() {
        long to = backend.inputRegion().address();
        region = DevicePointer.at(to);
        heads = new DevicePointer[staging.slots()];
        transposes = new Kernels.Call[readsImages ? staging.slots() : 0];
        for (int slot = 0; slot < heads.length; slot++) {
            long from = staging.address(slot);
            heads[slot] = DevicePointer.at(from);
            if (readsImages) {
                long tiles = (long) samples * ((channels + TILE - 1) / TILE) * ((plane + TILE - 1) / TILE);
                transposes[slot] = backend.device()
                        .kernels()
                        .call(
                                backend.device().precision() == Precision.BF16
                                        ? "transpose_f32_to_bf16"
                                        : "transpose_f32",
                                backend.blocksOf(tiles),
                                1,
                                to + imagesAt,
                                from + imagesAt,
                                samples,
                                channels,
                                plane);
            }
        }
        generation = staging.generation() + backend.inputRegion().generation();
    }
}
