package io.crescendo.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Window;
import io.crescendo.backend.Answer;
import io.crescendo.backend.Backend;
import io.crescendo.backend.ForwardingBackend;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.StepMetrics;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.data.Augmentation;
import io.crescendo.data.BatchStream;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.Normalization;
import io.crescendo.data.RandomDataset;
import io.crescendo.memory.MicroBatchCosts;
import io.crescendo.metrics.GradientNoiseRecord;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.nn.AveragePool;
import io.crescendo.nn.BatchNorm;
import io.crescendo.nn.Conv2d;
import io.crescendo.nn.Dense;
import io.crescendo.nn.Dropout;
import io.crescendo.nn.GlobalAveragePool;
import io.crescendo.nn.Layer;
import io.crescendo.nn.MaxPool;
import io.crescendo.nn.Network;
import io.crescendo.nn.Relu;
import io.crescendo.nn.Residual;
import io.crescendo.optim.Optimizer;
import io.crescendo.reference.ReferenceBackend;
import io.crescendo.reference.ReferenceMemory;
import io.crescendo.schedule.BatchUse;
import io.crescendo.schedule.RaggedEpoch;
import io.crescendo.schedule.Schedule;
import io.crescendo.schedule.TrainingPlan;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/**
 * Splitting a batch, covering it by other sizes or recomputing activations never changes the answer: on random
 * networks, batches, ghost batches, budgets and ragged ends, every backend gives what the unsplit run gives in double
 * precision.
 *
 * <p>Extend it as {@link io.crescendo.backend.BackendContract}; how far results may differ is said there, in
 * {@link Answer}. Every failure names the seed; run again with {@code -Dcrescendo.seed=…}.
 */
public abstract class ExactnessContract {

    /** Rounds go on until each kind of cut occurred, but no further than this. */
    private static final int MOST_ROUNDS = 60;

    private static final int MOVES = 6;

    /** Size of the moves in roundings, as in the backend contract. */
    private static final double MOVED_ROUNDINGS = 8;

    /** Splitting costs nothing, so that no budget is met by recomputing instead. */
    private static final MicroBatchCosts FREE_SPLITS = new MicroBatchCosts(0, 0);

    /** Preparing costs so much that batches share sizes wherever they can. */
    private static final MicroBatchCosts DEAR_PROGRAMS = new MicroBatchCosts(1_000, 0);

    private static final ImageShape IMAGES = new ImageShape(2, 7, 6);
    private static final Dataset DATA = new RandomDataset(150, 3, IMAGES, 5);

    /** Opens the backend under test. */
    protected abstract Backend open();

    /** Unit roundoff of the backend's arithmetic. */
    protected abstract double tolerance();

    /** How many random networks are drawn at the least. */
    protected int rounds() {
        return 12;
    }

    @Test
    public void anySplitGivesTheUnsplitUpdate() {
        long seed = Long.getLong("crescendo.seed", new Random().nextLong());
        Random random = new Random(seed);
        Count count = new Count();
        for (int round = 0; round < rounds() || (!count.complete() && round < MOST_ROUNDS); round++) {
            boolean wide = round % 3 == 0;
            boolean smooth = round % 2 == 0;
            Network network = network(new Random(random.nextLong()), wide);
            int ghostBatch = 1 + random.nextInt(6);
            int batch = 2 + random.nextInt(wide ? 25 : 60); // the reference takes its time for many channels
            long weightSeed = random.nextLong();
            MicroBatchCosts costs = smooth
                    ? DEAR_PROGRAMS
                    : new MicroBatchCosts(random.nextInt(100), random.nextInt(random.nextBoolean() ? 20 : 1_000));
            List<BatchUse> uses = smooth ? smoothUses(batch, random) : List.of(new BatchUse(batch, 1, 0, 0));
            // A generous budget leaves the whole cut to the cover.
            double share = random.nextInt(3) == 0 ? 1 : random.nextDouble();
            try (Backend backend = open()) {
                long budget = budget(backend, network, ghostBatch, batch, uses, share);
                StepPlanner planner = new StepPlanner(backend, network, ghostBatch, 0.1, budget, costs);
                StepPlan alone = planner.plan(batch);
                planner.cover(uses);
                StepPlan plan = planner.plan(batch);
                count.add(wide, alone, plan);
                Answer candidate = update(backend, network, planner, uses, batch, weightSeed, 0);
                List<Answer> moved = new ArrayList<>();
                for (int move = 1; move <= MOVES; move++) {
                    moved.add(whole(network, ghostBatch, batch, weightSeed, move));
                }
                Answer.compare(
                        "seed " + seed + ", round " + round + ", batch " + batch + ", ghost batch " + ghostBatch
                                + ", plan " + plan,
                        candidate,
                        whole(network, ghostBatch, batch, weightSeed, 0),
                        moved,
                        tolerance(),
                        batch * IMAGES.pixels() + 100.0);
            }
        }
        assertTrue(count.complete(), "seed " + seed + ": after " + MOST_ROUNDS + " rounds only " + count);
    }

    /** What the plans of the rounds had in them. */
    private static final class Count {
        private int split;
        private int recomputed;
        private int covered;
        private int wide;

        void add(boolean wideNetwork, StepPlan alone, StepPlan plan) {
            split += alone.microBatches().size() > 1 ? 1 : 0;
            recomputed += plan.recomputation().extraTime() > 0 ? 1 : 0;
            covered += plan.microBatches().equals(alone.microBatches()) ? 0 : 1;
            wide += wideNetwork && plan.microBatches().size() > 1 ? 1 : 0;
        }

        boolean complete() {
            return split > 0 && recomputed > 0 && covered > 0 && wide > 0;
        }

        @Override
        public String toString() {
            return split + " batches were split to fit the budget, " + recomputed + " recomputed, " + covered
                    + " covered by sizes of others; " + wide + " of wide networks were in pieces";
        }
    }

    /** A batch among so many others that each cannot have a program of its own; it comes first, they are not run. */
    private static List<BatchUse> smoothUses(int batch, Random random) {
        List<BatchUse> uses = new ArrayList<>(List.of(new BatchUse(batch, 1, 0, 0)));
        for (int other = 2; other <= 60; other++) {
            if (other != batch && random.nextBoolean()) {
                uses.add(new BatchUse(other, 5 + random.nextInt(50), 1_000L * other, 1_000L * other + 999));
            }
        }
        return uses;
    }

    @Test
    public void budgetsThatForceMicroBatchesGiveTheSameLearningCurve() {
        long seed = Long.getLong("crescendo.seed", new Random().nextLong());
        Network network = network(new Random(seed), false);
        TrainingPlan plan = TrainingPlan.of(
                        Schedule.staircase(0.02, 1.0 / 3, 1), TrainingPlan.batch(14), TrainingPlan.momentum(0.8))
                .forEpochs(2, DATA.size())
                .ragged(RaggedEpoch.KEEP)
                .growBatchInstead(42);
        Answer reference = curve(new ReferenceBackend(), network, plan, seed, Long.MAX_VALUE, 0, 1);
        List<Answer> moved = new ArrayList<>();
        for (int move = 1; move <= MOVES; move++) {
            moved.add(curve(new ReferenceBackend(), network, plan, seed, Long.MAX_VALUE, move, 1));
        }
        for (int pieces : new int[] {1, 2, 3, 7}) {
            long budget;
            int expected;
            try (Backend backend = open()) {
                int size = (21 + pieces - 1) / pieces * 2;
                budget = planner(backend, network, Long.MAX_VALUE).plan(size).workspaceBytes();
                StepPlan bounded = planner(backend, network, budget).plan(42);
                expected = bounded.microBatches().size();
                // Larger micro-batches may fit too: a network without norms splits anywhere, memory comes in steps, and
                // some activations cost nothing to compute again. A smaller one may not, where a library wants a larger
                // workspace for it, and then the search may miss this one.
                StepPlanner unbounded = planner(backend, network, Long.MAX_VALUE);
                if (unbounded.plan(size + 1).workspaceBytes() > budget
                        && unbounded.plan(size + 2).workspaceBytes() > budget
                        && IntStream.range(1, size)
                                .allMatch(less -> unbounded.plan(less).workspaceBytes() <= budget)
                        && bounded.recomputation().extraTime() == 0) {
                    assertEquals(pieces, expected, "seed " + seed + ", plan " + bounded);
                }
            }
            Answer.compare(
                    "seed " + seed + ", " + pieces + " micro-batches",
                    curve(open(), network, plan, seed, budget, 0, expected),
                    reference,
                    moved,
                    tolerance(),
                    42 * IMAGES.pixels() + 100.0);
        }
    }

    @Test
    public void theGradientsNoiseIsMeasuredAlike() {
        long seed = Long.getLong("crescendo.seed", new Random().nextLong());
        Random random = new Random(seed);
        for (int round = 0; round < rounds(); round++) {
            Network network = network(new Random(random.nextLong()), round % 4 == 0);
            int ghostBatch = 1 + random.nextInt(6);
            int batch = ghostBatch + 1 + random.nextInt(round % 4 == 0 ? 20 : 50);
            TrainingPlan plan = TrainingPlan.of(
                            Schedule.constant(0.02), TrainingPlan.batch(batch), TrainingPlan.momentum(0.8))
                    .forEpochs(1, DATA.size());
            TrainingOptions options = TrainingOptions.DEFAULT
                    .withGhostBatch(ghostBatch)
                    .withSeed(random.nextLong())
                    .withGradientNoise(1);
            List<Answer> moved = new ArrayList<>();
            for (int move = 1; move <= MOVES; move++) {
                moved.add(noise(new ReferenceBackend(), network, plan, options, move));
            }
            Answer.compare(
                    "seed " + seed + ", round " + round + ", batch " + batch + ", ghost batch " + ghostBatch,
                    noise(open(), network, plan, options, 0),
                    noise(new ReferenceBackend(), network, plan, options, 0),
                    moved,
                    tolerance(),
                    batch * IMAGES.pixels() + 100.0);
        }
    }

    /**
     * The squared norms of mean gradients of micro-batches and of the batch that the first estimate was made of. The
     * estimate itself is a difference of them, which may nearly cancel; later ones depend on all roundings before.
     */
    private Answer noise(Backend opened, Network network, TrainingPlan plan, TrainingOptions options, int move) {
        Answer answer = new Answer();
        boolean[] measured = {false};
        try (Backend backend = opened;
                Trainer trainer = new Trainer(
                        backend, network, plan, Optimizer.momentum(1e-3), DATA, DATA, Augmentation.NONE, options)) {
            move(trainer.model(), move, 0);
            trainer.listen(new TrainingListener() {
                @Override
                public void gradientNoiseMeasured(GradientNoiseRecord noise) {
                    if (noise.update() == 1) {
                        double gradient = noise.estimate().squaredGradient();
                        double variance = noise.estimate().variance();
                        answer.put("big", gradient + variance / noise.batch());
                        answer.put("small", gradient + variance * noise.microBatches() / noise.batch());
                        measured[0] = true;
                        trainer.stop();
                    }
                }
            });
            trainer.run("noise");
        }
        assertTrue(measured[0], "the first update was not measured");
        return answer;
    }

    private static StepPlanner planner(Backend backend, Network network, long budget) {
        return new StepPlanner(backend, network, 2, 0, budget, FREE_SPLITS);
    }

    /** The learning curve and the weights at its end; {@code pieces} micro-batches are expected for batch 42. */
    private Answer curve(
            Backend inner, Network network, TrainingPlan plan, long seed, long budget, int move, int pieces) {
        List<UpdateRecord> updates = new ArrayList<>();
        Backend backend = new ForwardingBackend(inner) {
            @Override
            public MicroBatchCosts microBatchCosts() {
                return FREE_SPLITS;
            }
        };
        TrainingOptions options =
                TrainingOptions.DEFAULT.withGhostBatch(2).withSeed(seed).withMemoryBudget(budget);
        try (backend;
                Trainer trainer = new Trainer(
                        backend, network, plan, Optimizer.momentum(1e-3), DATA, DATA, Augmentation.NONE, options)) {
            move(trainer.model(), move, 0);
            trainer.listen(new TrainingListener() {
                @Override
                public void updated(UpdateRecord update) {
                    updates.add(update);
                    // Float32 rounds in every update, not only before the first.
                    move(trainer.model(), move, updates.size());
                }
            });
            trainer.run("curve");
            Answer answer = new Answer();
            answer.put("loss", updates.stream().mapToDouble(UpdateRecord::loss).toArray());
            Program layout = network.inferenceProgram(1, 0, backend.fusions());
            answer.put("weight", layout.parameters(), trainer.model().weights());
            answer.put("statistic", layout.statistics(), trainer.model().statistics());
            updates.stream()
                    .filter(update -> update.batch() == 42)
                    .forEach(update -> assertEquals(pieces, update.microBatches(), "seed " + seed));
            return answer;
        }
    }

    /** Between what one ghost batch of any use needs at the least and what the whole batch needs. */
    private static long budget(
            Backend backend, Network network, int ghostBatch, int batch, List<BatchUse> uses, double share) {
        try (StepPlanner free = new StepPlanner(backend, network, ghostBatch, 0.1, Long.MAX_VALUE)) {
            long largest = uses.stream().mapToLong(BatchUse::samples).max().orElse(batch);
            long least = Math.max(
                    free.leastBytes(Math.min(batch, ghostBatch)), free.leastBytes((int) Math.min(largest, ghostBatch)));
            long most = Math.max(least, free.plan(batch).workspaceBytes());
            return Math.max(1, (long) (least + share * (most - least)));
        }
    }

    private Answer whole(Network network, int ghostBatch, int batch, long weightSeed, int move) {
        try (ReferenceBackend reference = new ReferenceBackend(EnumSet.noneOf(Fusion.class), true)) {
            return update(
                    reference,
                    network,
                    new StepPlanner(reference, network, ghostBatch, 0.1, Long.MAX_VALUE - 1),
                    List.of(new BatchUse(batch, 1, 0, 0)),
                    batch,
                    weightSeed,
                    move);
        }
    }

    /** Gradients, statistics, loss and updated weights of one update in the middle of an epoch. */
    private Answer update(
            Backend backend,
            Network network,
            StepPlanner planner,
            List<BatchUse> uses,
            int batch,
            long weightSeed,
            int move) {
        Program layout = network.inferenceProgram(1, 0, backend.fusions());
        Optimizer optimizer = Optimizer.momentum(1e-3);
        try (ModelMemory model = ModelMemory.allocate(backend, layout, weightSeed);
                UpdateKernel kernel =
                        backend.prepareUpdate(optimizer.rule(), model, layout.parameters(), optimizer.decay());
                Steps steps = new Steps(backend, model, planner);
                BatchStream stream = new BatchStream(DATA, Normalization.of(DATA), Augmentation.NONE, 3)) {
            move(model, move, 0);
            backend.metrics().clear();
            steps.expect(uses);
            steps.forBatch(batch).run(stream, 1, 17, weightSeed, () -> {});
            StepMetrics.Sums sums = backend.metrics().read();
            Answer answer = new Answer();
            answer.put("loss", sums.loss());
            answer.put("gradient", layout.parameters(), model.gradients());
            answer.put("statistic", layout.statistics(), model.statistics());
            kernel.apply(new UpdateScalars(0.05, 0.9, 1.0 / batch, 1e-3, 1));
            answer.put("weight", layout.parameters(), model.weights());
            return answer;
        }
    }

    /** Moves the reference's weights by a few roundings, to learn how well-conditioned the network is. */
    private void move(ModelMemory model, int move, int update) {
        if (move == 0) {
            return;
        }
        Random drawn = new Random(1000L * move + update);
        double[] values = ReferenceMemory.of(model.weights()).values();
        for (int i = 0; i < values.length; i++) {
            values[i] *= 1 + MOVED_ROUNDINGS * tolerance() * (2 * drawn.nextDouble() - 1);
        }
    }

    /**
     * A few blocks of every kind.
     *
     * @param wide channels fill whole vector registers, for which fast backends have code of their own; otherwise their
     *     number is odd or small
     */
    private static Network network(Random random, boolean wide) {
        List<Layer> layers = new ArrayList<>();
        int blocks = 2 + random.nextInt(3);
        int channels = wide ? 16 : 1 + 2 * random.nextInt(4);
        layers.add(new Conv2d("stem", channels, Window.square(3, 1, 1)));
        for (int i = 0; i < blocks; i++) {
            String name = "block" + i;
            switch (random.nextInt(wide && i == 0 ? 3 : 6)) {
                case 0, 1 -> {
                    channels = wide ? 16 * (1 + random.nextInt(2)) : 1 + random.nextInt(8);
                    layers.add(new Conv2d(name + ".conv", channels, Window.square(3, 1 + random.nextInt(2), 1)));
                    layers.add(new BatchNorm(name + ".norm"));
                    layers.add(new Relu());
                }
                case 2 -> {
                    Layer body = Layer.sequence(
                            new BatchNorm(name + ".norm"),
                            new Relu(),
                            new Conv2d(name + ".conv", channels, Window.square(3, 1, 1)));
                    layers.add(new Residual(body, Residual.IDENTITY));
                }
                case 3 -> layers.add(new Dropout(0.3));
                case 4 -> layers.add(new MaxPool(Window.square(2, 1, 1)));
                default -> layers.add(new AveragePool(Window.square(3, 2, 1)));
            }
        }
        if (random.nextBoolean()) {
            layers.add(new GlobalAveragePool());
        }
        layers.add(new Dense("logits", DATA.classes()));
        return new Network(
                "random",
                IMAGES.channels(),
                IMAGES.height(),
                IMAGES.width(),
                DATA.classes(),
                Layer.sequence(layers.toArray(Layer[]::new)));
    }
}
