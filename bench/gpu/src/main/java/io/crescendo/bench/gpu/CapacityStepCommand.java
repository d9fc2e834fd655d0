package io.crescendo.bench.gpu;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.Precision;
import io.crescendo.backend.ResidentImages;
import io.crescendo.bench.FixedBatch;
import io.crescendo.bench.TrainingStep;
import io.crescendo.memory.MicroBatches;
import io.crescendo.memory.Recomputation;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import io.crescendo.train.NoiseImages;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.LongUnaryOperator;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * Crescendo's side of {@code capacity}: plans the largest batch that a budget holds whole, then trains two updates.
 *
 * <p>The budget is for what is allocated: the arena, scratch memory of libraries in it, the packs, the images. The
 * device's context and the libraries' code are not counted, as PyTorch's limit does not count them. While methods of
 * convolutions are chosen, which is before the arena is there, one convolution's tensors at a time are allocated.
 */
@Command(name = "capacity-step", description = "Two updates at the largest batch that fits a budget.")
final class CapacityStepCommand implements Callable<Integer> {
    @Mixin
    private StepOptions options = new StepOptions();

    @Option(names = "--batch", defaultValue = "32", description = "The batch is a multiple; a batch-norm statistic.")
    private int granule;

    @Option(names = "--budget", required = true, description = "Bytes.")
    private long budgetBytes;

    @Option(names = "--recompute", description = "Not to keep what can be computed twice, by the way that needs least.")
    private boolean recompute;

    @Override
    public Integer call() throws IOException {
        Network network = options.network();
        try (Backend backend = options.open()) {
            OptionalLong free = backend.freeBytes();
            long start = System.nanoTime();
            List<Recomputation> ways =
                    Recomputation.ways(network.trainingProgram(granule, granule, 0, backend.fusions()));
            Recomputation way = recompute ? ways.get(ways.size() - 1) : Recomputation.NONE;
            int batch = largest(backend, network, way);
            long planned = bytes(backend, network, way, batch);
            double planSeconds = (System.nanoTime() - start) * 1e-9;
            System.out.printf(
                    Locale.ROOT,
                    "%s: planned batch %d, recomputing %s, in %.1f s%n",
                    network.name(),
                    batch,
                    way.name(),
                    planSeconds);
            Map<String, Object> answer = new HashMap<>(Map.of(
                    "batch",
                    batch,
                    "description",
                    backend.description(),
                    "plannedBytes",
                    planned,
                    "planSeconds",
                    planSeconds,
                    "recomputation",
                    way.name(),
                    "extraTime",
                    way.extraTime()));
            train(backend, network, way, batch, answer);
            answer.put(
                    "allocatedBytes",
                    backend.workspace().peakBytes() + outsideArena(network, batch, options.precision()));
            OptionalLong left = backend.freeBytes();
            if (free.isPresent() && left.isPresent()) {
                answer.put("deviceBytes", free.getAsLong() - left.getAsLong());
            }
            StepCommand.answer(answer);
            System.in.read(); // until asked to end, so that the driver can be asked what the process holds
        }
        return 0;
    }

    private int largest(Backend backend, Network network, Recomputation way) {
        Map<Integer, Long> known = new HashMap<>();
        LongUnaryOperator bytes =
                size -> known.computeIfAbsent(Math.toIntExact(size), batch -> bytes(backend, network, way, batch));
        // Plans grow almost linearly: from two of them a batch that is a little too large is guessed.
        long few = bytes.applyAsLong(8L * granule);
        long perGranule = Math.max(1, (bytes.applyAsLong(16L * granule) - few) / 8);
        long most = (8 + Math.max(0, budgetBytes - few) / perGranule) * 9 / 8;
        while (bytes.applyAsLong(most * granule) <= budgetBytes) {
            most = most * 5 / 4;
        }
        return MicroBatches.largest(Math.toIntExact(most * granule), granule, budgetBytes, bytes);
    }

    private long bytes(Backend backend, Network network, Recomputation way, int batch) {
        Program program = way.of(network.trainingProgram(batch, granule, 0, backend.fusions()));
        try (LoweredProgram lowered = backend.lower(program)) {
            return WorkspacePlanner.plan(program, lowered.requirements()).totalBytes()
                    + outsideArena(network, batch, options.precision());
        }
    }

    private void train(Backend backend, Network network, Recomputation way, int batch, Map<String, Object> answer) {
        Optimizer optimizer = Optimizer.momentum(TrainingStep.WEIGHT_DECAY);
        Optional<ResidentImages> resident = backend.residentImages(new NoiseImages(network, batch, 7));
        long begun = System.nanoTime();
        try (TrainingStep step = new TrainingStep(backend, network, batch, granule, way, optimizer)) {
            System.out.printf(Locale.ROOT, "prepared in %.1f s%n", (System.nanoTime() - begun) * 1e-9);
            Runnable enqueue;
            if (resident.isPresent()) {
                enqueue = () -> step.enqueue(resident.get());
            } else {
                FixedBatch samples = FixedBatch.noise(network, batch, 7);
                enqueue = () -> step.enqueue(samples.feed());
            }
            enqueue.run();
            double first = step.await();
            long start = System.nanoTime();
            enqueue.run();
            double second = step.await();
            if (!Double.isFinite(first) || !Double.isFinite(second)) {
                throw new IllegalStateException("losses became " + first + ", " + second);
            }
            answer.put("losses", List.of(first, second));
            answer.put("secondMillis", (System.nanoTime() - start) * 1e-6);
        } finally {
            resident.ifPresent(ResidentImages::close);
        }
    }

    /**
     * Device memory that is not the arena. Packs: weights (in bf16 too), gradients, momentum, statistics. For each
     * sample, on the device to be gathered from: its image as bytes and as operations read it, its label in the same
     * two places, and its place in the order.
     */
    static long outsideArena(Network network, int batch, Precision precision) {
        Program program = network.trainingProgram(1, 1, 0, Set.of());
        long weights = program.parameters().elements();
        long pixels = (long) network.channels() * network.height() * network.width();
        boolean narrow = precision == Precision.BF16;
        long packs =
                Float.BYTES * (3 * weights + program.statistics().elements()) + (narrow ? Short.BYTES * weights : 0);
        long sample = pixels * (1 + (narrow ? Short.BYTES : Float.BYTES)) + 3 * Integer.BYTES;
        return packs + batch * sample;
    }
}
