package io.crescendo.cpu;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.backend.Executable;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.cpu.Operand.Place;
import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.WorkspacePlan;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A program cut into shards, with one lowered section per size of shard.
 *
 * <p>IMPLEMENTATION NOTES. Samples of different ghost groups never meet, except in sums over the batch. So the samples
 * of a micro-batch need not go through the network side by side: the executable takes a few ghost groups at a time (a
 * <em>shard</em>) through the whole program, forward and backward, while their activations are still in the cache, and
 * the arena holds one shard, however large the micro-batch is. The last shard may be smaller.
 */
final class CpuLoweredProgram implements LoweredProgram, MemoryRequirements {
    private final CpuBackend backend;
    private final Program program;
    private final NativeScope scope;
    private final int shardSamples;
    private final List<Section> sections = new ArrayList<>();
    private volatile boolean closed;

    CpuLoweredProgram(CpuBackend backend, Program program) {
        this.backend = backend;
        this.program = program;
        this.scope = backend.childScope();
        this.shardSamples = Sharding.samples(program, backend.shardBytes());
        try {
            lower(shardSamples);
            int rest = program.microBatch() % shardSamples;
            if (rest > 0) {
                lower(rest);
            }
        } catch (RuntimeException e) {
            scope.close();
            throw e;
        }
    }

    private void lower(int samples) {
        sections.add(SectionLowering.lower(backend, scope, program, samples));
    }

    @Override
    public MemoryRequirements requirements() {
        return this;
    }

    @Override
    public long bytes(Value value) {
        return sections.stream().mapToLong(s -> s.bytes(value)).max().orElse(0);
    }

    @Override
    public int samplesAtOnce(int microBatch) {
        return shardSamples;
    }

    @Override
    public long scratchBytes(int opIndex) {
        return sections.stream()
                .mapToLong(s -> s.ops().get(opIndex).scratchBytes())
                .max()
                .orElse(0);
    }

    @Override
    public boolean mayOverwrite(int opIndex, Value input) {
        return sections.stream().allMatch(s -> s.ops().get(opIndex).mayOverwrite(input));
    }

    @Override
    public void compile() {
        requireOpen();
        backend.useThreads(); // code is generated for a number of threads
        for (Section section : sections) {
            section.ops().forEach(OpPlan::compile);
        }
    }

    @Override
    public Executable bind(WorkspacePlan plan, ModelMemory model) {
        requireFit(plan, model);
        backend.workspace().reserve(plan.totalBytes());
        return bound(plan, model);
    }

    /** Addresses are set at the first run. */
    @Override
    public Optional<Executable> bindAhead(WorkspacePlan plan, ModelMemory model, boolean whole) {
        requireFit(plan, model);
        return Optional.of(bound(plan, model));
    }

    private void requireOpen() {
        backend.requireOpen();
        if (closed) {
            throw new IllegalStateException("this lowered program was closed already");
        }
    }

    /** Native code does not look where it writes. */
    private void requireFit(WorkspacePlan plan, ModelMemory model) {
        requireOpen();
        plan.requireFor(program, this);
        model.requireFor(program, CpuDeviceMemory.class);
    }

    private CpuExecutable bound(WorkspacePlan plan, ModelMemory model) {
        backend.useThreads();
        NativeScope owned = backend.childScope();
        try {
            List<CpuExecutable.Kept> kept = new ArrayList<>();
            for (Value value : program.kept()) {
                if (value.home() == Home.ARENA) {
                    NativeMemory memory = new NativeMemory(value.shape().elements() * Float.BYTES);
                    owned.onClose(memory::close);
                    kept.add(new CpuExecutable.Kept(value, memory));
                }
            }
            List<CpuExecutable.BoundSection> bound = new ArrayList<>();
            for (Section section : sections) {
                bound.add(bind(section, plan, model, owned, kept));
            }
            return new CpuExecutable(backend, program, plan, model, owned, bound, kept);
        } catch (RuntimeException e) {
            owned.close();
            throw e;
        }
    }

    private CpuExecutable.BoundSection bind(
            Section section, WorkspacePlan plan, ModelMemory model, NativeScope owned, List<CpuExecutable.Kept> kept) {
        Binding binding = new Binding(backend.oneDnn(), owned, plan, model);
        List<Step> steps = new ArrayList<>();
        int[] ends = new int[section.ops().size()];
        for (int i = 0; i < ends.length; i++) {
            section.ops().get(i).templates().forEach(template -> template.bind(binding, steps));
            ends[i] = steps.size();
        }
        for (CpuExecutable.Kept item : kept) {
            copyOut(section, item, binding, steps);
        }
        return new CpuExecutable.BoundSection(section.samples(), steps, ends, binding);
    }

    /** The arena belongs to the next shard soon; what is kept goes, in plain order, where it stays. */
    private void copyOut(Section section, CpuExecutable.Kept item, Binding binding, List<Step> steps) {
        Layout layout = section.layout(item.value());
        long[] extents = item.value().shape().dims();
        extents[0] = section.samples();
        Operand to = new Operand(
                Layout.plain(scope, extents),
                new Place.InKept(item.memory(), 0, item.value().shape().elementsPerSample() * Float.BYTES));
        OpPlan copy = new OpPlan(program.ops().size(), "the copy of kept value " + item.value(), scope);
        Reorders.append(
                backend.oneDnn(), copy, new Operand(layout, new Place.InArena(item.value(), 0)), to, copy.attributes());
        copy.templates().forEach(template -> template.bind(binding, steps));
    }

    @Override
    public void close() {
        closed = true;
        scope.close();
    }
}
