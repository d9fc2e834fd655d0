package io.crescendo.backend;

import io.crescendo.autograd.Program;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.tensor.ParameterPack;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CompletableFuture;

/** A program bound on a backend, with a model of its own or a shared one. */
public final class Rig implements AutoCloseable {
    /** The bound program. */
    public final Program program;
    /** Where it lies. */
    public final WorkspacePlan plan;
    /** Its numbers. */
    public final ModelMemory model;
    /** What runs it. */
    public final Executable executable;

    private final boolean ownsModel;

    /** Binds with new weights from a seed. */
    public Rig(Backend backend, Program program, long seed) {
        this(backend, program, ModelMemory.allocate(backend, program, seed), true);
    }

    /** Binds on a model that is there already. */
    public Rig(Backend backend, Program program, ModelMemory model) {
        this(backend, program, model, false);
    }

    private Rig(Program program, WorkspacePlan plan, ModelMemory model, Executable executable) {
        this.ownsModel = false;
        this.program = program;
        this.plan = plan;
        this.model = model;
        this.executable = executable;
    }

    /**
     * Binds ahead, on another thread, as a training run does; the workspace is prepared and not reserved.
     *
     * @return empty where the backend cannot do that
     */
    public static Optional<Rig> ahead(Backend backend, Program program, ModelMemory model) {
        return CompletableFuture.supplyAsync(() -> {
                    try (LoweredProgram lowered = backend.lower(program)) {
                        WorkspacePlan plan = WorkspacePlanner.plan(program, lowered.requirements());
                        lowered.compile();
                        while (backend.workspace().prepare(plan.totalBytes())) {}
                        return lowered.bindAhead(plan, model, true)
                                .map(executable -> new Rig(program, plan, model, executable));
                    }
                })
                .join();
    }

    private Rig(Backend backend, Program program, ModelMemory model, boolean ownsModel) {
        this.ownsModel = ownsModel;
        this.program = program;
        this.model = model;
        try (LoweredProgram lowered = backend.lower(program)) {
            plan = WorkspacePlanner.plan(program, lowered.requirements());
            executable = lowered.bind(plan, model);
        }
    }

    /** All elements of a memory. */
    public static float[] read(DeviceMemory memory) {
        float[] values = new float[Math.toIntExact(memory.elements())];
        memory.read(0, values);
        return values;
    }

    /** Random images and labels for {@code batch} samples. */
    public static Feed feed(Random random, NetworkCase network, int batch) {
        int perSample = network.channels() * network.height() * network.width();
        return feed(random, perSample, network.classes(), batch);
    }

    /** The same for images of so many numbers. */
    public static Feed feed(Random random, int perSample, int classes, int batch) {
        FloatBuffer images = direct(batch * perSample).asFloatBuffer();
        IntBuffer labels = direct(batch).asIntBuffer();
        for (int i = 0; i < images.capacity(); i++) {
            images.put(i, (float) random.nextGaussian());
        }
        for (int i = 0; i < batch; i++) {
            labels.put(i, random.nextInt(classes));
        }
        return new Feed(images, labels, batch, random.nextInt(1_000_000), random.nextLong());
    }

    /** Samples {@code first} to {@code first + samples − 1} of a feed as a feed of their own. */
    public static Feed part(Feed feed, int first, int samples) {
        int perSample = feed.images().capacity() / feed.samples();
        FloatBuffer images = direct(samples * perSample).asFloatBuffer();
        IntBuffer labels = direct(samples).asIntBuffer();
        for (int i = 0; i < images.capacity(); i++) {
            images.put(i, feed.images().get(first * perSample + i));
        }
        for (int i = 0; i < samples; i++) {
            labels.put(i, feed.labels().get(first + i));
        }
        return new Feed(images, labels, samples, feed.firstSample() + first, feed.seed());
    }

    /** Memory outside of the heap for elements of four bytes. */
    public static ByteBuffer direct(int elements) {
        return ByteBuffer.allocateDirect(4 * elements).order(ByteOrder.nativeOrder());
    }

    /**
     * Bytes that some steps allocate on the heap. The virtual machine itself may allocate on this thread once in a
     * while, so one clean round proves that they allocate nothing.
     */
    public static long allocatedBytes(Runnable steps) {
        com.sun.management.ThreadMXBean threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
        long thread = Thread.currentThread().getId();
        long least = Long.MAX_VALUE;
        for (int round = 0; round < 50 && least > 0; round++) {
            long before = threads.getThreadAllocatedBytes(thread);
            long overhead = threads.getThreadAllocatedBytes(thread) - before;
            before = threads.getThreadAllocatedBytes(thread);
            steps.run();
            least = Math.min(least, threads.getThreadAllocatedBytes(thread) - before - overhead);
        }
        return least;
    }

    /** The parameter in which an element of a pack lies, for messages. */
    public static String where(ParameterPack pack, int element) {
        return pack.parameters().stream()
                .filter(p -> p.offset() <= element && element < p.end())
                .map(p -> p.name() + "[" + (element - p.offset()) + "]")
                .findFirst()
                .orElse("the gap at element " + element);
    }

    @Override
    public void close() {
        executable.close();
        if (ownsModel) {
            model.close();
        }
    }
}
