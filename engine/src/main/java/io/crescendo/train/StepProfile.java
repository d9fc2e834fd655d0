package io.crescendo.train;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.DeviceTimer;
import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.ResidentImages;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Where the time of one training step goes, operation by operation; medians over many steps on one batch of noise.
 *
 * <pre>{@code
 * StepProfile profile = StepProfile.measure(backend, network, 128, 128, Optimizer.momentum(5e-4), 3);
 * profile.kinds().forEach(kind -> System.out.printf("%s %.1f ms%n", kind.name(), 1e3 * kind.seconds()));
 * }</pre>
 *
 * @param program what was run, the whole batch at once
 * @param stepSeconds forward, backward and update as training runs them; on images of the device, if it can hold some
 * @param updateSeconds the update alone
 * @param operationSeconds one entry per operation of the program, each run by itself: with what a device needs between
 *     two operations, and without what a step gains where they overlap
 */
public record StepProfile(Program program, double stepSeconds, double updateSeconds, List<Double> operationSeconds) {
    /** For a median that one slow round does not move. */
    private static final int FEWEST_ROUNDS = 5;

    /** Steps between two readings of a device's clock, so that the device never waits for the host. */
    private static final int STEPS_ON_DEVICE = 8;

    private static final double LEARNING_RATE = 1e-3;
    private static final double MOMENTUM = 0.9;
    private static final long SEED = 1;

    /**
     * All operations of one kind.
     *
     * @param name of the operation, as in {@link Op#name}
     * @param count how many of them the program has
     * @param seconds of all of them
     * @param flops of all of them, see {@link Op#flops}
     */
    public record Kind(String name, int count, double seconds, double flops) {
        private Kind plus(Kind other) {
            return new Kind(name, count + other.count, seconds + other.seconds, flops + other.flops);
        }
    }

    /**
     * Trains on one batch for a while.
     *
     * @param ghostBatch samples per batch-norm statistic
     * @param seconds how long it is measured, after half as long for warming up; five rounds in any case
     * @throws io.crescendo.backend.DeviceMemoryException if the packs do not fit the device, or the batch in one piece
     */
    public static StepProfile measure(
            Backend backend, Network network, int batch, int ghostBatch, Optimizer optimizer, double seconds) {
        Program program = network.trainingProgram(batch, ghostBatch, 0, backend.fusions());
        Feed feed = Feed.noise(batch, network.channels() * network.height() * network.width(), network.classes(), SEED);
        // The packs first: whether they fit is then no question of the batch.
        try (ModelMemory model = ModelMemory.allocate(backend, program, SEED);
                UpdateKernel update =
                        backend.prepareUpdate(optimizer.rule(), model, program.parameters(), optimizer.decay());
                LoweredProgram lowered = backend.lower(program);
                Executable executable = lowered.bind(WorkspacePlanner.plan(program, lowered.requirements()), model)) {
            Optional<DeviceTimer> timer = backend.timer();
            Optional<ResidentImages> images = backend.residentImages(new NoiseImages(network, batch, SEED));
            try {
                Rounds rounds = new Rounds(backend, executable, update, optimizer, feed, images, timer);
                rounds.run(program, seconds / 2);
                rounds.forget(); // of the first ones, code was compiled and memory found
                rounds.run(program, seconds);
                return rounds.medians(program);
            } finally {
                timer.ifPresent(DeviceTimer::close);
                images.ifPresent(ResidentImages::close);
                backend.metrics().clear();
            }
        }
    }

    private static final class Rounds {
        private final Backend backend;
        private final Executable executable;
        private final UpdateKernel update;
        private final Optimizer optimizer;
        private final Feed feed;
        private final Optional<ResidentImages> images;
        private final Optional<DeviceTimer> timer;
        private final List<Double> steps = new ArrayList<>();
        private final List<Double> updates = new ArrayList<>();
        private final List<double[]> operations = new ArrayList<>();
        private long updated;

        Rounds(
                Backend backend,
                Executable executable,
                UpdateKernel update,
                Optimizer optimizer,
                Feed feed,
                Optional<ResidentImages> images,
                Optional<DeviceTimer> timer) {
            this.backend = backend;
            this.executable = executable;
            this.update = update;
            this.optimizer = optimizer;
            this.feed = feed;
            this.images = images;
            this.timer = timer;
        }

        void run(Program program, double seconds) {
            long started = System.nanoTime();
            for (int round = 0; round < FEWEST_ROUNDS || (System.nanoTime() - started) * 1e-9 < seconds; round++) {
                int count = timer.isPresent() ? STEPS_ON_DEVICE : 1;
                steps.add(timed(count, this::step));
                double[] each = new double[program.ops().size()];
                if (timer.isPresent()) {
                    executable.run(feed); // keeps the device busy while the timed operations are handed over
                }
                executable.profile(feed, each);
                operations.add(each);
                updates.add(timed(1, this::update));
                double loss = backend.metrics().read().loss();
                backend.metrics().clear();
                if (!Double.isFinite(loss)) {
                    throw new IllegalStateException("the loss is " + loss + "; a wrong step is not worth timing");
                }
            }
        }

        private void step() {
            if (images.isPresent()) {
                images.get().update(executable, 0, 0, feed.samples(), update, nextScalars());
            } else {
                executable.run(feed);
                update();
            }
        }

        private void update() {
            update.apply(nextScalars());
        }

        private UpdateScalars nextScalars() {
            return new UpdateScalars(
                    LEARNING_RATE,
                    MOMENTUM,
                    1.0 / feed.samples(),
                    optimizer.weightDecay(),
                    ++updated,
                    optimizer.clipNorm());
        }

        private double timed(int count, Runnable work) {
            timer.ifPresent(DeviceTimer::start);
            long started = System.nanoTime();
            for (int i = 0; i < count; i++) {
                work.run();
            }
            double seconds = timer.map(running -> {
                        running.stop();
                        return running.seconds();
                    })
                    .orElseGet(() -> (System.nanoTime() - started) * 1e-9);
            return seconds / count;
        }

        void forget() {
            steps.clear();
            updates.clear();
            operations.clear();
        }

        StepProfile medians(Program program) {
            List<Double> each = new ArrayList<>();
            for (int op = 0; op < program.ops().size(); op++) {
                int index = op;
                each.add(median(
                        operations.stream().mapToDouble(round -> round[index]).toArray()));
            }
            return new StepProfile(program, median(array(steps)), median(array(updates)), List.copyOf(each));
        }

        private static double[] array(List<Double> values) {
            return values.stream().mapToDouble(Double::doubleValue).toArray();
        }

        private static double median(double[] values) {
            Arrays.sort(values);
            int middle = values.length / 2;
            return values.length % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
        }
    }

    /** Samples per second of whole steps. */
    public double imagesPerSecond() {
        return program.microBatch() / stepSeconds;
    }

    /** Seconds of all operations and the update, one by one. */
    public double sumSeconds() {
        return updateSeconds
                + operationSeconds.stream().mapToDouble(Double::doubleValue).sum();
    }

    /** The kinds of operations, the one that takes longest first. */
    public List<Kind> kinds() {
        Map<String, Kind> kinds = new LinkedHashMap<>();
        for (int i = 0; i < program.ops().size(); i++) {
            Op op = program.ops().get(i);
            kinds.merge(op.name(), new Kind(op.name(), 1, operationSeconds.get(i), op.flops()), Kind::plus);
        }
        return kinds.values().stream()
                .sorted(Comparator.comparingDouble(Kind::seconds).reversed())
                .toList();
    }
}
