package io.crescendo.reference;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.HostStepMetrics;
import io.crescendo.backend.ModelMemory;
import io.crescendo.memory.Liveness;
import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.WorkspacePlan;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Runs a program's operations one after another on views of the planned memory. */
public final class ReferenceExecutable implements Executable {
    private final Program program;
    private final MemoryRequirements requirements;
    private final WorkspacePlan plan;
    private final ReferenceWorkspace workspace;
    private final HostStepMetrics metrics;
    private final boolean poison;
    private final double[] weights;
    private final double[] gradients;
    private final double[] statistics;
    private final double[] images;
    private final double[] labels;
    private final boolean readsLabels;
    private final List<Kernel> kernels = new ArrayList<>();
    private final List<List<Value>> dyingAfter = new ArrayList<>();
    private final Tensor[] tensors;
    private double[] boundArena = {};

    ReferenceExecutable(
            Program program,
            MemoryRequirements requirements,
            WorkspacePlan plan,
            ModelMemory model,
            ReferenceWorkspace workspace,
            HostStepMetrics metrics,
            boolean poison) {
        this.program = program;
        this.requirements = requirements;
        this.plan = plan;
        this.workspace = workspace;
        this.metrics = metrics;
        this.poison = poison;
        weights = ReferenceMemory.of(model.weights()).values();
        gradients = ReferenceMemory.of(model.gradients()).values();
        statistics = ReferenceMemory.of(model.statistics()).values();
        images = new double
                [program.images()
                        .map(v -> Math.toIntExact(v.shape().elements()))
                        .orElse(0)];
        labels = new double[program.microBatch()];
        readsLabels = program.ops().stream().flatMap(op -> op.inputs().stream()).anyMatch(v -> v.home() == Home.LABELS);
        tensors = new Tensor[program.values().size()];
        Kernels factory = new Kernels();
        for (Op op : program.ops()) {
            kernels.add(op.accept(factory));
            dyingAfter.add(new ArrayList<>());
        }
        findDying();
        view();
    }

    /** Finds the values that nobody reads after each operation and whose memory no output of it has taken over. */
    private void findDying() {
        Liveness liveness = Liveness.of(program);
        for (Value value : program.values()) {
            if (!liveness.contains(value) || program.kept().contains(value)) {
                continue;
            }
            int last = liveness.last(value);
            List<Value> outputs = program.ops().get(last).outputs();
            boolean takenOver = !outputs.isEmpty()
                    && outputs.get(0).home() == Home.ARENA
                    && !outputs.get(0).equals(value)
                    && plan.offset(outputs.get(0)) == plan.offset(value);
            if (!takenOver) {
                dyingAfter.get(last).add(value);
            }
        }
    }

    /** Makes the views anew: the arena is another array after it grew or shrank. */
    private void view() {
        boundArena = workspace.arena();
        for (Op op : program.ops()) {
            op.inputs().forEach(this::view);
            op.outputs().forEach(this::view);
        }
    }

    private void view(Value value) {
        double[] data = switch (value.home()) {
            case IMAGES -> images;
            case LABELS -> labels;
            case WEIGHTS -> weights;
            case GRADIENTS -> gradients;
            case STATISTICS -> statistics;
            case ARENA -> boundArena;
        };
        long offset = value.home() == Home.ARENA ? plan.offset(value) / Double.BYTES : value.offset();
        tensors[value.id()] = new Tensor(data, Math.toIntExact(offset), value.shape());
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
        readInputs(feed);
        if (workspace.capacityBytes() < plan.totalBytes()) {
            throw new IllegalStateException("the program needs a workspace of " + plan.totalBytes()
                    + " bytes, but it was shrunk to " + workspace.capacityBytes() + "; reserve it again first");
        }
        if (workspace.arena() != boundArena) {
            view();
        }
        if (poison) {
            Arrays.fill(boundArena, Double.NaN);
        }
        Operands operands = new Operands(tensors, feed, metrics);
        for (int i = 0; i < kernels.size(); i++) {
            if (poison) {
                poison(plan.scratchOffset(i), requirements.scratchBytes(i));
            }
            long started = System.nanoTime();
            kernels.get(i).run(operands);
            if (seconds != null) {
                seconds[i] += (System.nanoTime() - started) * 1e-9;
            }
            if (poison) {
                for (Value value : dyingAfter.get(i)) {
                    poison(plan.offset(value), requirements.bytes(value));
                }
            }
        }
    }

    private void readInputs(Feed feed) {
        if (feed.samples() != program.microBatch()) {
            throw new IllegalArgumentException("the program runs on " + program.microBatch()
                    + " samples at once, but the feed has " + feed.samples());
        }
        if (feed.images().limit() < images.length) {
            throw new IllegalArgumentException("the feed has " + feed.images().limit()
                    + " image elements, but the program" + " reads " + images.length);
        }
        if (readsLabels && feed.labels().limit() < labels.length) {
            throw new IllegalArgumentException(
                    "the feed has " + feed.labels().limit() + " labels, but the program reads " + labels.length);
        }
        for (int i = 0; i < images.length; i++) {
            images[i] = feed.images().get(i);
        }
        for (int i = 0; readsLabels && i < labels.length; i++) {
            labels[i] = feed.labels().get(i);
        }
    }

    private void poison(long offsetBytes, long bytes) {
        int from = Math.toIntExact(offsetBytes / Double.BYTES);
        Arrays.fill(boundArena, from, from + Math.toIntExact(bytes / Double.BYTES), Double.NaN);
    }

    @Override
    public void read(Value value, float[] destination) {
        double[] exact = read(value);
        if (destination.length != exact.length) {
            throw new IllegalArgumentException(
                    value + " has " + exact.length + " elements, but the destination has " + destination.length);
        }
        for (int i = 0; i < exact.length; i++) {
            destination[i] = (float) exact[i];
        }
    }

    /** A copy of a kept value of the last run in full precision. */
    public double[] read(Value value) {
        if (!program.kept().contains(value)) {
            throw new IllegalArgumentException(value + " is not kept: call Tape.keep on it before making the program");
        }
        int from = Math.toIntExact(plan.offset(value) / Double.BYTES);
        return Arrays.copyOfRange(
                boundArena, from, from + Math.toIntExact(value.shape().elements()));
    }

    @Override
    public void close() {}
}
