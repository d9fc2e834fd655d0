package io.crescendo.bench;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.Executable;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.nn.Network;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What a new batch size costs before its first step: tracing, choosing algorithms, planning memory, binding.
 *
 * <p>Every invocation takes a batch size that was never used before in its JVM, so that no library finds its primitives
 * in a cache: {@code batch}, {@code batch} + 1, and so on. One invocation per iteration. The first few, in which the
 * JVM still interprets, are the warm-up; {@code firstInProcess} times them instead. What was bound is run once when its
 * time was taken, and must give a finite loss.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Fork(2)
@Warmup(iterations = 5)
@Measurement(iterations = 10)
public class PlanningBenchmark {
    /** A name {@link TrainingStep#network} knows. */
    @Param({"fashion-cnn", "wide-resnet-16-4"})
    public String network = "fashion-cnn";

    /** The first batch size. */
    @Param({"32", "128", "1024"})
    public int batch;

    /** Samples per batch-norm statistic; 0 for the whole batch. */
    @Param({"0"})
    public int ghostBatch;

    /** The backend. */
    @Param({"cpu"})
    public String device = "cpu";

    /** Number format of products and activations; a backend refuses what it lacks. */
    @Param({"fp32"})
    public String precision = "fp32";

    /** Threads; 0 for all. */
    @Param({"0"})
    public int threads;

    private final List<AutoCloseable> made = new ArrayList<>();
    private Network net;
    private Backend backend;
    private ModelMemory model;
    private int next;
    private @Nullable Bound bound;

    private record Bound(Executable executable, int samples) {}

    /** Opens the device and compares one step with the reference backend. */
    @Setup
    public void prepare() {
        net = TrainingStep.network(network);
        backend = Device.open(device, threads, precision);
        ReferenceCheck.step(backend, precision, net, 4, 2);
        model = ModelMemory.allocate(backend, trace(1), TrainingStep.WEIGHTS_SEED);
        next = batch;
    }

    private Program trace(int samples) {
        return net.trainingProgram(samples, ghostBatch == 0 ? samples : ghostBatch, 0, backend.fusions());
    }

    private <T extends AutoCloseable> T keep(T closeable) {
        made.add(closeable);
        return closeable;
    }

    /** What a stage needs from the stages before it, for a new batch size. */
    @State(Scope.Thread)
    public static class Stage {
        private Program program;
        private Program loweredProgram;
        private LoweredProgram lowered;
        private WorkspacePlan plan;

        /** Libraries keep what they built for a size, so choosing algorithms gets a size of its own. */
        @Setup(Level.Invocation)
        public void prepare(PlanningBenchmark benchmark) {
            program = benchmark.trace(benchmark.next + 1000);
            loweredProgram = benchmark.trace(benchmark.next);
            benchmark.next++;
            lowered = benchmark.keep(benchmark.backend.lower(loweredProgram));
            plan = WorkspacePlanner.plan(loweredProgram, lowered.requirements());
        }
    }

    /** From layers to a program with gradients and fusions. */
    @Benchmark
    public Program trace() {
        return trace(next++);
    }

    /** Layouts and algorithms. */
    @Benchmark
    public LoweredProgram lower(Stage stage) {
        return keep(backend.lower(stage.program));
    }

    /** Offsets in the arena. */
    @Benchmark
    public WorkspacePlan plan(Stage stage) {
        return WorkspacePlanner.plan(stage.loweredProgram, stage.lowered.requirements());
    }

    /** Room in the arena, primitives and arguments. */
    @Benchmark
    public Executable bind(Stage stage) {
        return bound(stage.lowered.bind(stage.plan, model), stage.loweredProgram);
    }

    private Executable bound(Executable executable, Program program) {
        bound = new Bound(keep(executable), program.microBatch());
        return executable;
    }

    /** All of it: what {@code Steps.forBatch} does for a new size. */
    @Benchmark
    public Executable everything() {
        Program traced = trace(next++);
        LoweredProgram fresh = keep(backend.lower(traced));
        return bound(fresh.bind(WorkspacePlanner.plan(traced, fresh.requirements()), model), traced);
    }

    /** All of it, for the first size of a process that has run one step of four samples. */
    @Benchmark
    @Fork(5)
    @Warmup(iterations = 0)
    @Measurement(iterations = 1)
    public Executable firstInProcess() {
        return everything();
    }

    /** Runs what the invocation bound, and releases what it made. */
    @TearDown(Level.Invocation)
    public void release() throws Exception {
        if (bound != null) {
            requireRuns(bound);
            bound = null;
        }
        for (int i = made.size() - 1; i >= 0; i--) {
            made.get(i).close();
        }
        made.clear();
    }

    private void requireRuns(Bound made) {
        made.executable.run(FixedBatch.noise(net, made.samples, 7).feed());
        double loss = backend.metrics().read().loss();
        backend.metrics().clear();
        model.gradients().clear();
        if (!Double.isFinite(loss)) {
            throw new IllegalStateException("the loss of what was bound for " + made.samples + " samples is " + loss);
        }
    }

    /** Releases the device. */
    @TearDown
    public void close() {
        model.close();
        backend.close();
    }
}
