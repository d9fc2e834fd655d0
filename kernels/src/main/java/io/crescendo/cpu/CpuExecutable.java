package io.crescendo.cpu;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.ModelMemory;
import io.crescendo.memory.WorkspacePlan;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Replays a bound program, shard after shard; allocates nothing. */
final class CpuExecutable implements Executable {
    private final CpuBackend backend;
    private final Program program;
    private final WorkspacePlan plan;
    private final ModelMemory model;
    private final NativeScope scope;
    private final List<BoundSection> sections;
    private final List<Kept> kept;
    private final boolean readsImages;
    private final long imageElements;
    private final boolean readsLabels;
    private final Binding.FedBuffers fedBuffers = new Binding.FedBuffers();
    private final Shard shard = new Shard();
    private long generation = -1;
    private boolean closed;

    CpuExecutable(
            CpuBackend backend,
            Program program,
            WorkspacePlan plan,
            ModelMemory model,
            NativeScope scope,
            List<BoundSection> sections,
            List<Kept> kept) {
        this.backend = backend;
        this.program = program;
        this.plan = plan;
        this.model = model;
        this.scope = scope;
        this.sections = sections;
        this.kept = kept;
        this.readsImages = reads(program, Home.IMAGES);
        this.imageElements =
                program.images().map(images -> images.shape().elements()).orElse(0L);
        this.readsLabels = reads(program, Home.LABELS);
    }

    /** The steps for one size of shard. */
    static final class BoundSection {
        private final int samples;
        private final Step[] steps;
        private final int[] ends;
        private final Binding binding;

        /**
         * @param ends for each operation of the program the number of steps up to its last; the steps behind the last
         *     operation's are nobody's
         */
        BoundSection(int samples, List<Step> steps, int[] ends, Binding binding) {
            this.samples = samples;
            this.steps = steps.toArray(Step[]::new);
            this.ends = ends;
            this.binding = binding;
        }
    }

    /** A value that stays readable, and where. */
    record Kept(Value value, NativeMemory memory) {}

    private static boolean reads(Program program, Home home) {
        return program.ops().stream().map(Op::inputs).flatMap(List::stream).anyMatch(v -> v.home() == home);
    }

    @Override
    public void run(Feed feed) {
        run(feed, null);
    }

    @Override
    public void profile(Feed feed, double[] seconds) {
        Executable.requireEntries(seconds, program);
        run(feed, seconds);
    }

    private void run(Feed feed, double @Nullable [] seconds) {
        requireOpen();
        check(feed);
        backend.useThreads();
        if (generation != backend.workspace().generation()) {
            move();
        }
        long images = readsImages ? fedBuffers.address(feed.images()) : 0;
        int first = 0;
        while (first < program.microBatch()) {
            int left = program.microBatch() - first;
            // The full shards come first; a second section, if there is one, is for what they leave.
            BoundSection section = sections.get(left >= sections.get(0).samples ? 0 : 1);
            shard.of(feed, first);
            section.binding.feed(images, first);
            if (seconds == null) {
                run(section, 0, section.steps.length);
            } else {
                profile(section, seconds);
            }
            first += section.samples;
        }
    }

    private void run(BoundSection section, int from, int to) {
        for (int i = from; i < to; i++) {
            section.steps[i].run(shard);
        }
    }

    private void profile(BoundSection section, double[] seconds) {
        int done = 0;
        for (int op = 0; op < seconds.length; op++) {
            long started = System.nanoTime();
            run(section, done, section.ends[op]);
            seconds[op] += (System.nanoTime() - started) * 1e-9;
            done = section.ends[op];
        }
        run(section, done, section.steps.length);
    }

    private void requireOpen() {
        if (closed) {
            throw new IllegalStateException("this " + mode() + " program was closed already");
        }
        ((CpuDeviceMemory) model.weights()).requireOpen();
        ((CpuDeviceMemory) model.gradients()).requireOpen();
        ((CpuDeviceMemory) model.statistics()).requireOpen();
    }

    private String mode() {
        return program.mode().name().toLowerCase(Locale.ROOT);
    }

    private void move() {
        if (backend.workspace().capacityBytes() < plan.totalBytes()) {
            throw new IllegalStateException("the workspace holds "
                    + backend.workspace().capacityBytes() + " bytes, but this program needs " + plan.totalBytes()
                    + "; reserve them before running it");
        }
        for (BoundSection section : sections) {
            section.binding.move(backend.workspace().address());
        }
        generation = backend.workspace().generation();
    }

    private void check(Feed feed) {
        if (feed.samples() != program.microBatch()) {
            throw new IllegalArgumentException("the program was prepared for " + program.microBatch()
                    + " samples, but the feed has " + feed.samples());
        }
        if (readsImages) {
            if (!feed.images().isDirect() || feed.images().order() != ByteOrder.nativeOrder()) {
                throw new IllegalArgumentException("the feed's images must be a direct buffer in native byte order");
            }
            requireRoom("images", feed.images().limit(), imageElements);
        }
        if (readsLabels) {
            requireRoom("labels", feed.labels().limit(), program.microBatch());
        }
    }

    private static void requireRoom(String what, long limit, long needed) {
        if (limit < needed) {
            throw new IllegalArgumentException(
                    "the feed's " + what + " hold " + limit + " numbers, but the program reads " + needed);
        }
    }

    @Override
    public void read(Value value, float[] destination) {
        for (Kept item : kept) {
            if (item.value.equals(value)) {
                if (destination.length != value.shape().elements()) {
                    throw new IllegalArgumentException(value + " has "
                            + value.shape().elements() + " elements, but the destination " + destination.length);
                }
                item.memory.floats(0, destination.length).get(destination);
                return;
            }
        }
        throw new IllegalArgumentException(
                value + " was not kept by this " + mode() + " program; call Tape.keep before Tape.program");
    }

    @Override
    public void close() {
        closed = true;
        scope.close();
    }
}
