package io.crescendo.backend;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.data.Augmentation;
import io.crescendo.data.Batch;
import io.crescendo.data.BatchStream;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.InMemoryDataset;
import io.crescendo.data.Normalization;
import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.MicroBatches;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.reference.ReferenceBackend;
import io.crescendo.reference.ReferenceMemory;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * What every backend must do, checked against the reference backend on random networks with odd sizes.
 *
 * <p>Extend it, say how to open the backend and how its arithmetic rounds:
 *
 * <pre>{@code
 * class CpuBackendTest extends BackendContract {
 *     protected Backend open() { return new CpuBackend(BackendOptions.DEFAULT); }
 *     protected double tolerance() { return 0x1p-24; }
 * }
 * }</pre>
 *
 * <p>The reference always runs the unfused program in double precision; the candidate runs what its own
 * {@link Backend#fusions()} allow, and the unfused program too. Every failure names the seed; run again with
 * {@code -Dcrescendo.seed=…} to see the same numbers. Before each run the candidate's arena is filled with NaN, so that
 * an operation which reads what it did not write shows. How far results may differ: see {@link Answer}.
 */
public abstract class BackendContract {
    /** How often the reference runs on inputs moved by a few roundings, to learn how well-conditioned they are. */
    private static final int MOVES = 10;

    /** Size of these moves in roundings: more than the one or two per operation that a candidate makes. */
    private static final double MOVED_ROUNDINGS = 8;

    private static final Set<Fusion> UNFUSED = EnumSet.noneOf(Fusion.class);
    private static final List<UpdateRule> RULES = List.of(
            new UpdateRule.Sgd(),
            new UpdateRule.Momentum(),
            new UpdateRule.Nesterov(),
            new UpdateRule.Adam(0.99, 1e-6),
            new UpdateRule.AdamW(0.98, 1e-7),
            new UpdateRule.Lars(0.02),
            new UpdateRule.Lamb(0.97, 1e-6));

    /**
     * The rules whose result depends on the gradients continuously. Where a gradient is zero but for rounding (that of
     * a norm's scale under global pooling, say), Adam with a tiny epsilon divides noise by noise; an epsilon far above
     * float32's rounding of these networks' gradients keeps the comparison meaningful.
     */
    private static final List<UpdateRule> RULES_FOR_NETWORKS = List.of(
            new UpdateRule.Sgd(),
            new UpdateRule.Momentum(),
            new UpdateRule.Nesterov(),
            new UpdateRule.Adam(0.99, 1e-2),
            new UpdateRule.AdamW(0.98, 1e-2));

    private long seed;
    private Random random = new Random();

    /** Opens the backend under test; called once per test. */
    protected abstract Backend open();

    /** Unit roundoff of the backend's arithmetic: 2⁻²⁴ for float32, 2⁻¹¹ for tf32, 2⁻⁸ for bf16 with 8 digits. */
    protected abstract double tolerance();

    /** Draws the numbers of one test. */
    @BeforeEach
    public void draw() {
        seed = Long.getLong("crescendo.seed", new Random().nextLong());
        random = new Random(seed);
    }

    @Test
    public void everyOperationTrainsLikeTheReference() {
        try (Backend backend = open()) {
            for (NetworkCase network : NetworkCase.operations(random)) {
                List<Integer> whole = List.of(network.batch());
                checkTraining(backend, network, backend.fusions(), whole);
                checkTraining(backend, network, UNFUSED, whole);
            }
        }
    }

    @Test
    public void wideNetworksRunLikeTheReference() {
        try (Backend backend = open()) {
            for (NetworkCase network : NetworkCase.wide(random)) {
                checkTraining(backend, network, backend.fusions(), List.of(network.batch()));
                checkInference(backend, network, backend.fusions());
            }
        }
    }

    @Test
    public void everyOperationInfersLikeTheReference() {
        try (Backend backend = open()) {
            for (NetworkCase network : NetworkCase.operations(random)) {
                checkInference(backend, network, backend.fusions());
                checkInference(backend, network, UNFUSED);
            }
        }
    }

    @Test
    public void trainingAndInferenceShareOneModel() {
        try (Backend backend = open()) {
            for (NetworkCase network : NetworkCase.networks(random)) {
                Feed feed = Rig.feed(random, network, network.batch());
                long weightSeed = random.nextLong();
                compare(
                        network,
                        trainThenInfer(backend, network, backend.fusions(), weightSeed, feed, 0),
                        move -> trainThenInfer(reference(), network, UNFUSED, weightSeed, feed, move));
            }
        }
    }

    @Test
    public void microBatchesAddUpToTheBatch() {
        try (Backend backend = open()) {
            for (NetworkCase any : NetworkCase.all(random)) {
                int ghostBatch = 1 + random.nextInt(3);
                NetworkCase network = any.withBatch(2 + random.nextInt(9), ghostBatch);
                int microBatch = ghostBatch * (1 + random.nextInt(3)); // rarely divides the batch: the last is ragged
                checkTraining(backend, network, backend.fusions(), MicroBatches.split(network.batch(), microBatch));
            }
        }
    }

    @Test
    public void wholeNetworksTrainForSeveralUpdates() {
        try (Backend backend = open()) {
            for (NetworkCase network : NetworkCase.networks(random)) {
                for (UpdateRule rule : RULES_FOR_NETWORKS) {
                    Feed feed = Rig.feed(random, network, network.batch());
                    long weightSeed = random.nextLong();
                    compare(
                            network,
                            fiveUpdates(backend, network, backend.fusions(), rule, weightSeed, feed, 0),
                            move -> fiveUpdates(reference(), network, UNFUSED, rule, weightSeed, feed, move));
                }
            }
        }
    }

    @Test
    public void profilingIsARunThatSaysHowLongEachOperationTook() {
        try (Backend backend = open()) {
            NetworkCase network = NetworkCase.networks(random).get(0);
            Feed feed = Rig.feed(random, network, network.batch());
            try (Rig rig = new Rig(backend, network.training(backend.fusions()), seed)) {
                rig.executable.run(feed);
                float[] expected = Rig.read(rig.model.gradients());
                rig.model.gradients().clear();
                double loss = backend.metrics().read().loss();
                backend.metrics().clear();
                double[] seconds = new double[rig.program.ops().size()];
                rig.executable.profile(feed, seconds);
                assertEquals(
                        loss,
                        backend.metrics().read().loss(),
                        Math.max(1e-5, tolerance()) * Math.abs(loss),
                        "seed " + seed);
                backend.metrics().clear();
                float[] actual = Rig.read(rig.model.gradients());
                double allowed = Math.max(1e-4, 16 * tolerance()) * largest(expected); // algorithms may differ in order
                for (int i = 0; i < actual.length; i++) {
                    assertEquals(expected[i], actual[i], allowed, "seed " + seed + ", gradient " + i);
                }
                for (int op = 0; op < seconds.length; op++) {
                    double once = seconds[op];
                    assertTrue(once >= 0 && once < 60, rig.program.describe(op) + " took " + once + " s; seed " + seed);
                }
                double first = Arrays.stream(seconds).sum();
                assertTrue(first > 0, "seed " + seed);
                rig.executable.profile(feed, seconds);
                assertTrue(Arrays.stream(seconds).sum() > first, "seconds are added; seed " + seed);
                IllegalArgumentException wrong =
                        assertThrows(IllegalArgumentException.class, () -> rig.executable.profile(feed, new double[1]));
                assertTrue(String.valueOf(wrong.getMessage()).contains(seconds.length + " operations"));
            }
        }
    }

    private static double largest(float[] values) {
        double largest = 0;
        for (float value : values) {
            largest = Math.max(largest, Math.abs(value));
        }
        return largest;
    }

    @Test
    public void updatesFollowTheirRule() {
        ParameterPack.Builder builder = ParameterPack.builder();
        Role[] roles = {Role.WEIGHT, Role.BIAS, Role.NORM_SCALE, Role.WEIGHT, Role.NORM_SHIFT};
        for (int i = 0; i < roles.length; i++) {
            builder.add("p" + i, Shape.of(1 + random.nextInt(70)), roles[i], Initializer.constant(0));
        }
        ParameterPack pack = builder.build();
        try (Backend backend = open()) {
            for (UpdateRule rule : RULES) {
                long numbers = random.nextLong();
                Answer.compare(
                        "seed " + seed + ", " + rule,
                        update(backend, rule, pack, numbers, 0),
                        update(reference(), rule, pack, numbers, 0),
                        moved(move -> update(reference(), rule, pack, numbers, move)),
                        tolerance(),
                        24); // six updates in a row add four terms each, and terms may cancel
            }
        }
    }

    @Test
    public void gradientNormsAreThoseOfTheMicroBatches() {
        ParameterPack.Builder builder = ParameterPack.builder();
        for (int i = 0; i < 5; i++) {
            builder.add("p" + i, Shape.of(1 + random.nextInt(2000)), Role.WEIGHT, Initializer.constant(0));
        }
        builder.add("convolution", Shape.of(5, 3, 3, 2), Role.WEIGHT, Initializer.constant(0));
        ParameterPack pack = builder.build();
        try (Backend backend = open();
                ModelMemory model =
                        new ModelMemory(backend.allocate(pack), backend.allocate(pack), backend.allocate(0));
                GradientNorms norms = backend.gradientNorms(model)) {
            List<GradientNorms.Squares> expected = new ArrayList<>();
            List<GradientNorms.Reading> readings = new ArrayList<>();
            for (int update = 0; update < 12; update++) {
                int count = 1 + random.nextInt(2 + update);
                float[] sum = new float[Math.toIntExact(pack.elements())];
                List<Double> squares = new ArrayList<>();
                double batch = 0;
                for (int k = 0; k < count; k++) {
                    double own = 0;
                    batch = 0;
                    for (Parameter parameter : pack.parameters()) {
                        for (int i = (int) parameter.offset(); i < parameter.end(); i++) {
                            float before = sum[i];
                            sum[i] += (float) random.nextGaussian();
                            own += Math.pow((double) sum[i] - before, 2);
                            batch += (double) sum[i] * sum[i];
                        }
                    }
                    squares.add(own);
                    model.gradients().write(0, sum);
                    norms.ran(k, count);
                }
                readings.add(norms.take());
                expected.add(new GradientNorms.Squares(squares, batch));
                assertArrayEquals(sum, Rig.read(model.gradients()), "seed " + seed + ": gradients are only read");
                model.gradients().clear();
                if (random.nextBoolean()) {
                    readings.get(random.nextInt(readings.size())).squares();
                }
            }
            for (int update = 0; update < readings.size(); update++) {
                GradientNorms.Squares actual = readings.get(update).squares();
                String where = "seed " + seed + ", update " + update;
                List<Double> own = expected.get(update).microBatches();
                assertEquals(own.size(), actual.microBatches().size(), where);
                // Squares are not negative, so a sum's relative error is at most the roundings that one of its terms
                // goes through: the difference, the square, and a chain of fewer than 64 additions in float32.
                double bound = 64 * 0x1p-24;
                for (int k = 0; k < own.size(); k++) {
                    assertEquals(own.get(k), actual.microBatches().get(k), bound * own.get(k), where + ", " + k);
                }
                double batch = expected.get(update).batch();
                assertEquals(batch, actual.batch(), bound * batch, where);
            }
        }
    }

    @Test
    public void residentImagesAreTheStreamsBatches() {
        NetworkCase network = NetworkCase.operations(random).stream()
                .filter(candidate -> candidate.name().equals("dropout"))
                .findFirst()
                .orElseThrow();
        ImageShape shape = new ImageShape(network.channels(), network.height(), network.width());
        int samples = network.batch() + random.nextInt(20);
        byte[] pixels = new byte[samples * shape.pixels()];
        random.nextBytes(pixels);
        byte[] labels = new byte[samples];
        for (int i = 0; i < samples; i++) {
            labels[i] = (byte) random.nextInt(network.classes());
        }
        Dataset data = new InMemoryDataset("random", network.classes(), shape, pixels, labels);
        Augmentation augmentation =
                new Augmentation(random.nextBoolean(), random.nextInt(Math.min(shape.height(), shape.width())));
        try (Backend backend = open();
                BatchStream stream = new BatchStream(data, Normalization.of(data), augmentation, seed)) {
            Optional<ResidentImages> offered = backend.residentImages(stream.source());
            Assumptions.assumeTrue(offered.isPresent(), "this backend is fed by the host");
            try (ResidentImages images = offered.orElseThrow();
                    Rig rig = new Rig(backend, network.training(backend.fusions()), seed)) {
                for (int i = 0; i < 4; i++) {
                    long epoch = i == 0 ? 0 : random.nextInt(1000);
                    int position = random.nextInt(samples - network.batch() + 1);
                    String where = "seed " + seed + ", epoch " + epoch + ", position " + position;
                    Batch batch = stream.next(epoch, position, network.batch());
                    rig.executable.run(
                            new Feed(batch.images(), batch.labels(), batch.size(), batch.firstSample(), seed));
                    StepMetrics.Sums fed = backend.metrics().take().sums();
                    float[] expected = Rig.read(rig.model.gradients());
                    rig.model.gradients().clear();
                    images.run(rig.executable, epoch, position, network.batch());
                    assertEquals(fed, backend.metrics().take().sums(), where);
                    float[] actual = Rig.read(rig.model.gradients());
                    rig.model.gradients().clear();
                    // A device may add the same products in another order.
                    assertArrayEquals(expected, actual, 1e-4f, where);
                }
                assertThrows(
                        IllegalArgumentException.class,
                        () -> images.run(rig.executable, 0, samples - network.batch() + 1L, network.batch()),
                        "beyond the end of the epoch");
                assertThrows(
                        IllegalArgumentException.class,
                        () -> images.run(rig.executable, 0, 0, network.batch() - 1),
                        "not the program's micro-batch");
                updatesOnImagesAreThePartsOfThem(backend, network, images, samples);
            }
        }
    }

    /** One model is trained by the parts of a step, another by whole ones that nobody waits for. */
    private void updatesOnImagesAreThePartsOfThem(
            Backend backend, NetworkCase network, ResidentImages images, int samples) {
        Program program = network.training(backend.fusions());
        int batch = network.batch();
        try (Rig parts = new Rig(backend, program, seed);
                Rig whole = new Rig(backend, program, seed);
                UpdateKernel update =
                        backend.prepareUpdate(new UpdateRule.Momentum(), parts.model, program.parameters(), p -> true);
                UpdateKernel both = backend.prepareUpdate(
                        new UpdateRule.Momentum(), whole.model, program.parameters(), p -> true)) {
            List<StepMetrics.Reading> expected = new ArrayList<>();
            List<StepMetrics.Reading> actual = new ArrayList<>();
            for (int i = 1; i <= 5; i++) {
                long epoch = random.nextInt(3);
                int position = random.nextInt(samples - batch + 1);
                UpdateScalars numbers = new UpdateScalars(0.1 / i, 0.9, 1.0 / batch, 1e-3, i);
                images.run(parts.executable, epoch, position, batch);
                expected.add(backend.metrics().take());
                update.apply(numbers);
                actual.add(images.update(whole.executable, epoch, position, batch, both, numbers));
            }
            // A device that adds in another order each time may round some activations the other way. What a loss is
            // apart by, weights are by a tenth: updates are at most that part of a gradient.
            double apart = Math.max(1e-3, 4 * tolerance());
            for (int i = 0; i < expected.size(); i++) {
                StepMetrics.Sums sums = actual.get(i).sums();
                assertEquals(expected.get(i).sums().loss(), sums.loss(), apart, "seed " + seed + ", update " + i);
            }
            assertArrayEquals(
                    Rig.read(parts.model.weights()),
                    Rig.read(whole.model.weights()),
                    (float) apart / 10,
                    "seed " + seed);
            assertEquals(new StepMetrics.Sums(0, 0), backend.metrics().read(), "all sums were taken");
            UpdateScalars scalars = new UpdateScalars(0.1, 0.9, 1.0 / batch, 1e-3, 6);
            assertThrows(
                    IllegalArgumentException.class,
                    () -> images.update(whole.executable, 0, 0, batch, update, scalars),
                    "another model's update");
            float[] wrong = Rig.read(whole.model.weights());
            Arrays.fill(wrong, Float.NaN);
            whole.model.weights().write(0, wrong);
            StepMetrics.Reading bad = images.update(whole.executable, 0, 0, batch, both, scalars);
            float[] kept = Rig.read(parts.model.weights());
            images.update(parts.executable, 0, 0, batch, update, scalars);
            assertTrue(
                    Double.isNaN(bad.sums().loss()), "the loss is " + bad.sums().loss());
            assertArrayEquals(kept, Rig.read(parts.model.weights()), "updates after that are skipped");
            backend.metrics().clear();
        }
    }

    @Test
    public void whatBelongsToAnotherProgramIsRefused() {
        List<NetworkCase> networks = NetworkCase.operations(random);
        NetworkCase network = networks.get(random.nextInt(networks.size()));
        try (Backend backend = open();
                Backend stranger = new ReferenceBackend()) {
            Program program = network.training(backend.fusions());
            Program again = network.training(backend.fusions());
            Program other = networks.stream()
                    .map(candidate -> candidate.training(backend.fusions()))
                    .filter(candidate -> candidate.parameters().elements()
                            != program.parameters().elements())
                    .findFirst()
                    .orElseThrow();
            try (ModelMemory model = ModelMemory.allocate(backend, program, seed);
                    ModelMemory others = ModelMemory.allocate(backend, other, seed);
                    ModelMemory strangers = ModelMemory.allocate(stranger, program, seed);
                    LoweredProgram lowered = backend.lower(program);
                    LoweredProgram loweredAgain = backend.lower(again)) {
                WorkspacePlan plan = WorkspacePlanner.plan(program, lowered.requirements());
                WorkspacePlan planAgain = WorkspacePlanner.plan(again, loweredAgain.requirements());
                WorkspacePlan small = WorkspacePlanner.plan(program, new MemoryRequirements() {
                    @Override
                    public long bytes(Value value) {
                        return lowered.requirements().bytes(value) - 1;
                    }

                    @Override
                    public long scratchBytes(int opIndex) {
                        return lowered.requirements().scratchBytes(opIndex);
                    }

                    @Override
                    public boolean mayOverwrite(int opIndex, Value input) {
                        return false;
                    }
                });
                requireRefused(lowered, plan, others, "allocate the model for this program");
                requireRefused(lowered, planAgain, model, "another program");
                requireRefused(lowered, small, model, "needs");
                if (!backend.name().equals(stranger.name())) {
                    requireRefused(lowered, plan, strangers, "not allocated");
                }
                assertThrows(
                        IllegalArgumentException.class,
                        () -> backend.prepareUpdate(new UpdateRule.Sgd(), others, program.parameters(), p -> true));
                lowered.bind(plan, model).close();
            }
        }
    }

    private static void requireRefused(LoweredProgram lowered, WorkspacePlan plan, ModelMemory model, String reason) {
        for (boolean ahead : new boolean[] {false, true}) {
            try (Executable bound =
                    ahead ? lowered.bindAhead(plan, model, true).orElse(null) : lowered.bind(plan, model)) {
                assertNull(bound, "bound, where it should be refused for '" + reason + "'");
            } catch (IllegalArgumentException e) {
                assertTrue(String.valueOf(e.getMessage()).contains(reason), e.getMessage());
            }
        }
    }

    @Test
    public void whatWasClosedSaysSo() {
        NetworkCase network = NetworkCase.operations(random).get(0);
        Backend backend = open();
        try (backend) {
            Program program = network.training(backend.fusions());
            try (ModelMemory model = ModelMemory.allocate(backend, program, seed)) {
                LoweredProgram lowered = backend.lower(program);
                WorkspacePlan plan = WorkspacePlanner.plan(program, lowered.requirements());
                lowered.close();
                assertThrows(IllegalStateException.class, lowered::compile);
                assertThrows(IllegalStateException.class, () -> lowered.bind(plan, model));
                try {
                    assertTrue(lowered.bindAhead(plan, model, true).isEmpty(), "bound ahead");
                } catch (IllegalStateException e) {
                    assertTrue(String.valueOf(e.getMessage()).contains("closed"), e.getMessage());
                }
            }
        }
        Program program = network.training(backend.fusions());
        assertThrows(IllegalStateException.class, () -> backend.allocate(5));
        assertThrows(IllegalStateException.class, () -> backend.lower(program));
        assertThrows(IllegalStateException.class, () -> ModelMemory.allocate(backend, program, seed));
    }

    @Test
    public void memoryHoldsWhatIsWritten() {
        try (Backend backend = open();
                DeviceMemory memory = backend.allocate(41)) {
            assertEquals(41, memory.elements());
            float[] zeros = new float[41];
            assertArrayEquals(zeros, Rig.read(memory), "fresh memory must be zero");
            float[] values = {1, -2.5f, 3e-30f, Float.MAX_VALUE, 7};
            memory.write(36, values);
            memory.write(0, new float[] {9});
            float[] read = new float[5];
            memory.read(36, read);
            assertArrayEquals(values, read);
            float[] all = Rig.read(memory);
            assertEquals(9, all[0]);
            assertEquals(0, all[35]);
            memory.clear();
            assertArrayEquals(zeros, Rig.read(memory));
        }
    }

    @Test
    public void metricsAddUpUntilCleared() {
        try (Backend backend = open()) {
            NetworkCase network = NetworkCase.operations(random).get(0);
            try (Rig rig = new Rig(backend, network.training(backend.fusions()), seed)) {
                assertEquals(new StepMetrics.Sums(0, 0), backend.metrics().read());
                Feed feed = Rig.feed(random, network, network.batch());
                rig.executable.run(feed);
                StepMetrics.Sums once = backend.metrics().read();
                rig.executable.run(feed);
                rig.executable.run(feed);
                StepMetrics.Sums thrice = backend.metrics().read();
                String what = "seed " + seed + ": " + network;
                assertTrue(once.loss() > 0, what);
                assertEquals(3 * once.hits(), thrice.hits(), what);
                // Three equal numbers summed in float32 differ from the triple by at most a few roundings.
                assertEquals(3 * once.loss(), thrice.loss(), 8 * Math.max(tolerance(), 0x1p-24) * thrice.loss(), what);
                backend.metrics().clear();
                assertEquals(new StepMetrics.Sums(0, 0), backend.metrics().read());
            }
        }
    }

    @Test
    public void aReadingKeepsWhatRanBeforeItWasTaken() {
        try (Backend backend = open()) {
            NetworkCase network = NetworkCase.operations(random).get(0);
            try (Rig rig = new Rig(backend, network.training(backend.fusions()), seed)) {
                String what = "seed " + seed + ": " + network;
                StepMetrics metrics = backend.metrics();
                Feed feed = Rig.feed(random, network, network.batch());
                rig.executable.run(feed);
                StepMetrics.Sums first = metrics.read();
                StepMetrics.Reading once = metrics.take();
                assertEquals(new StepMetrics.Sums(0, 0), metrics.read(), what);
                rig.executable.run(feed);
                rig.executable.run(feed);
                StepMetrics.Reading twice = metrics.take();
                rig.executable.run(feed);
                StepMetrics.Reading last = metrics.take();
                // The same samples and weights; a device may add up in another order.
                assertEquals(first.loss(), last.sums().loss(), 8 * Math.max(tolerance(), 0x1p-24) * first.loss(), what);
                assertEquals(first.hits(), last.sums().hits(), what);
                assertTrue(once.isDone() && twice.isDone() && last.isDone(), what + ": earlier readings are done too");
                assertEquals(first, once.sums(), what);
                assertEquals(2 * first.hits(), twice.sums().hits(), what);
                rig.executable.run(feed);
                metrics.clear();
                assertEquals(new StepMetrics.Sums(0, 0), metrics.take().sums(), what);
                assertEquals(first, once.sums(), what + ": clearing leaves earlier readings alone");
            }
        }
    }

    @Test
    public void updatesAreSkippedOnceATakenLossIsNotFinite() {
        try (Backend backend = open()) {
            NetworkCase network = NetworkCase.operations(random).get(0);
            try (Rig rig = new Rig(backend, network.training(backend.fusions()), seed);
                    UpdateKernel update = backend.prepareUpdate(
                            new UpdateRule.Momentum(), rig.model, rig.program.parameters(), p -> true)) {
                String what = "seed " + seed + ": " + network;
                UpdateScalars scalars = new UpdateScalars(0.1, 0.9, 1.0 / network.batch(), 0.5, 1);
                Feed good = Rig.feed(random, network, network.batch());
                rig.executable.run(good);
                backend.metrics().take();
                update.apply(scalars);
                Feed bad = Rig.part(good, 0, network.batch());
                bad.images().put(random.nextInt(bad.images().capacity()), Float.NaN);
                rig.executable.run(bad);
                backend.metrics().read(); // an evaluation may meet what it likes
                backend.metrics().clear();
                rig.model.gradients().clear();
                float[] before = Rig.read(rig.model.weights());
                float[] velocity = Rig.read(update.state().get(0));
                // Weight decay moves every weight, so an update that is applied shows even without gradients.
                rig.executable.run(bad);
                StepMetrics.Reading reading = backend.metrics().take();
                boolean atOnce = reading.isDone();
                if (!atOnce) {
                    update.apply(scalars);
                    rig.executable.run(good);
                    backend.metrics().take();
                    update.apply(scalars);
                }
                assertFalse(Double.isFinite(reading.sums().loss()), what + ": loss of a sample with a NaN");
                assertArrayEquals(before, Rig.read(rig.model.weights()), what);
                assertArrayEquals(velocity, Rig.read(update.state().get(0)), what);
                backend.metrics().clear();
                rig.model.gradients().clear();
                update.apply(scalars);
                assertFalse(
                        Arrays.equals(before, Rig.read(rig.model.weights())),
                        what + ": after clear() updates count again");
            }
        }
    }

    @Test
    public void updatesAreSkippedOnceAGradientIsNotFinite() {
        try (Backend backend = open()) {
            NetworkCase network = NetworkCase.operations(random).get(0);
            for (UpdateRule rule : RULES) {
                try (Rig rig = new Rig(backend, network.training(backend.fusions()), seed);
                        UpdateKernel update = backend.prepareUpdate(
                                rule, rig.model, rig.program.parameters(), p -> p.role() == Role.WEIGHT)) {
                    boolean clips = random.nextBoolean();
                    float bad = random.nextBoolean() ? Float.NaN : Float.NEGATIVE_INFINITY;
                    String what = "seed " + seed + ": " + network + ", " + rule + ", a gradient of " + bad
                            + (clips ? ", clipped" : "");
                    double clipNorm = clips ? 0.5 : Double.POSITIVE_INFINITY;
                    // Weight decay moves weights, so an update that is applied shows even without gradients.
                    UpdateScalars scalars = new UpdateScalars(0.1, 0.9, 1.0 / network.batch(), 0.5, 1, clipNorm);
                    Feed feed = Rig.feed(random, network, network.batch());
                    rig.executable.run(feed);
                    assertTrue(Double.isFinite(backend.metrics().take().sums().loss()), what);
                    update.apply(scalars);
                    List<float[]> before = numbers(rig.model, update);
                    rig.executable.run(feed);
                    StepMetrics.Reading innocent = backend.metrics().take();
                    Parameter parameter = rig.program
                            .parameters()
                            .parameters()
                            .get(random.nextInt(
                                    rig.program.parameters().parameters().size()));
                    long broken = parameter.offset()
                            + random.nextInt(Math.toIntExact(parameter.shape().elements()));
                    rig.model.gradients().write(broken, new float[] {bad});
                    update.apply(scalars);
                    requireSame(what, before, numbers(rig.model, update));
                    assertArrayEquals(
                            new float[Math.toIntExact(rig.model.gradients().elements())],
                            Rig.read(rig.model.gradients()),
                            what + ": gradients are cleared all the same");
                    assertTrue(Double.isFinite(innocent.sums().loss()), what + ": an earlier reading keeps its sums");
                    // Whoever is a few updates ahead: sound gradients no longer count, and every reading says why.
                    for (int ahead = 0; ahead < 2; ahead++) {
                        rig.executable.run(feed);
                        StepMetrics.Reading reading = backend.metrics().take();
                        update.apply(scalars);
                        assertFalse(Double.isFinite(reading.sums().loss()), what + ": the next reading says so");
                        requireSame(what, before, numbers(rig.model, update));
                    }
                    assertFalse(Double.isFinite(backend.metrics().read().loss()), what + ": whoever asks is told");
                    backend.metrics().clear();
                    assertEquals(new StepMetrics.Sums(0, 0), backend.metrics().read(), what);
                    update.apply(scalars);
                    assertFalse(
                            Arrays.equals(before.get(0), Rig.read(rig.model.weights())),
                            what + ": after clear() updates count again");
                }
            }
        }
    }

    /** Weights, then optimizer state. */
    private static List<float[]> numbers(ModelMemory model, UpdateKernel update) {
        List<float[]> numbers = new ArrayList<>(List.of(Rig.read(model.weights())));
        update.state().forEach(state -> numbers.add(Rig.read(state)));
        return numbers;
    }

    private static void requireSame(String what, List<float[]> expected, List<float[]> actual) {
        for (int i = 0; i < expected.size(); i++) {
            assertArrayEquals(expected.get(i), actual.get(i), what + (i == 0 ? ": weights" : ": state " + (i - 1)));
        }
    }

    @Test
    public void programsStayValidWhileTheWorkspaceGrowsAndShrinks() {
        NetworkCase small = NetworkCase.networks(random).get(1).withBatch(3, 2);
        NetworkCase large = small.withBatch(24, 4);
        Feed smallFeed = Rig.feed(random, small, 3);
        Feed largeFeed = Rig.feed(random, large, 24);
        try (Backend backend = open();
                Rig first = new Rig(backend, small.training(backend.fusions()), 1)) {
            Workspace workspace = backend.workspace();
            assertTrue(workspace.capacityBytes() >= first.plan.totalBytes(), "bind must make room");
            checkRerun(backend, first, small, smallFeed);
            try (Rig second = new Rig(backend, large.training(backend.fusions()), 1)) {
                assertTrue(workspace.capacityBytes() >= second.plan.totalBytes(), "bind must make room");
                checkRerun(backend, first, small, smallFeed);
                checkRerun(backend, second, large, largeFeed);
                checkRerun(backend, first, small, smallFeed);
                long grown = workspace.capacityBytes();
                workspace.reserve(1);
                assertEquals(grown, workspace.capacityBytes(), "reserve never gives memory back");
                prepare(workspace, 2 * grown);
                assertEquals(grown, workspace.capacityBytes(), "memory made ready is not reserved yet");
                checkRerun(backend, second, large, largeFeed);
                workspace.shrink(0);
                assertEquals(0, workspace.capacityBytes());
                assertTrue(workspace.peakBytes() >= grown, "the peak outlives shrinking");
                Optional<Rig> ahead = Rig.ahead(backend, second.program, second.model);
                prepare(workspace, second.plan.totalBytes());
                workspace.reserve(second.plan.totalBytes());
                checkRerun(backend, second, large, largeFeed);
                checkRerun(backend, first, small, smallFeed);
                ahead.ifPresent(rig -> {
                    checkRerun(backend, rig, large, largeFeed);
                    checkRerun(backend, second, large, largeFeed);
                    rig.close();
                });
            }
        }
    }

    /** All of it, on another thread, where it is done in a training run. */
    private static void prepare(Workspace workspace, long bytes) {
        CompletableFuture.runAsync(() -> {
                    while (workspace.prepare(bytes)) {}
                })
                .join();
    }

    @Test
    public void keptValuesAreReadBackAsTheyWere() {
        try (Backend backend = open()) {
            // The last operation could overwrite the value in front of it, were that not kept.
            Tape tape = Tape.inference(3);
            Value images = tape.images(5, 3, 7);
            Value first = tape.keep(tape.scale(images, -2));
            Value second = tape.keep(tape.relu(first));
            Program program = tape.program(backend.fusions());
            NetworkCase sizes = new NetworkCase("kept", 3, 3, 5, 3, 7, 2, 0, (l, x) -> x);
            Feed feed = Rig.feed(random, sizes, 3);
            try (Rig rig = new Rig(backend, program, 1)) {
                rig.executable.run(feed);
                float[] scaled = new float[3 * 5 * 3 * 7];
                float[] active = new float[scaled.length];
                rig.executable.read(first, scaled);
                rig.executable.read(second, active);
                double bound = 2 * tolerance(); // one product, perhaps stored narrower
                for (int i = 0; i < scaled.length; i++) {
                    float x = feed.images().get(i);
                    assertEquals(-2 * x, scaled[i], bound * Math.abs(2 * x), "seed " + seed + ", element " + i);
                    assertEquals(Math.max(-2 * x, 0), active[i], bound * Math.abs(2 * x), "seed " + seed);
                }
            }
        }
    }

    @Test
    public void classesThatCannotBeCostNothing() {
        int samples = 6;
        int classes = 5;
        try (Backend backend = open()) {
            Tape tape = Tape.inference(samples);
            tape.softmaxCrossEntropy(tape.flatten(tape.images(classes, 1, 1)), tape.labels(), 0);
            NetworkCase sizes = new NetworkCase("bare", samples, samples, classes, 1, 1, classes, 0, (l, x) -> x);
            Feed feed = Rig.feed(random, sizes, samples);
            double loss = 0;
            for (int n = 0; n < samples; n++) {
                int label = feed.labels().get(n);
                double sum = 0;
                for (int k = 0; k < classes; k++) {
                    boolean possible = k == label || random.nextBoolean();
                    float logit = possible ? random.nextInt(9) - 4 : Float.NEGATIVE_INFINITY;
                    feed.images().put(n * classes + k, logit);
                    sum += Math.exp(logit);
                }
                loss += Math.log(sum) - feed.images().get(n * classes + label);
            }
            try (Rig rig = new Rig(backend, tape.program(backend.fusions()), 1)) {
                backend.metrics().clear();
                rig.executable.run(feed);
                assertEquals(loss, backend.metrics().read().loss(), 1e-4 * samples, "seed " + seed);
            }
        }
    }

    /** Runs once more from the same state and compares. */
    private void checkRerun(Backend backend, Rig rig, NetworkCase network, Feed feed) {
        rig.model.gradients().clear();
        try (ModelMemory fresh = ModelMemory.allocate(backend, rig.program, 1)) {
            rig.model.statistics().write(0, Rig.read(fresh.statistics()));
        }
        backend.metrics().clear();
        rig.executable.run(feed);
        compare(
                network,
                read(backend, rig, true),
                move -> train(reference(), network, UNFUSED, List.of(network.batch()), 1, feed, move));
    }

    private void checkTraining(Backend backend, NetworkCase network, Set<Fusion> fusions, List<Integer> microBatches) {
        Feed feed = Rig.feed(random, network, network.batch());
        long weightSeed = random.nextLong();
        compare(
                network,
                train(backend, network, fusions, microBatches, weightSeed, feed, 0),
                // Logits of the last micro-batch only, so the reference splits too; that its sums do not depend on
                // the split is checked where the reference itself is.
                move -> train(reference(), network, UNFUSED, microBatches, weightSeed, feed, move));
    }

    private void checkInference(Backend backend, NetworkCase network, Set<Fusion> fusions) {
        Feed feed = Rig.feed(random, network, network.batch());
        long weightSeed = random.nextLong();
        compare(
                network,
                infer(backend, network.inference(fusions), weightSeed, feed, 0),
                move -> infer(reference(), network.inference(UNFUSED), weightSeed, feed, move));
    }

    /** One run from inputs moved by random amounts that follow from {@code move}; 0 moves nothing. */
    private interface Run {
        Answer with(int move);
    }

    private void compare(NetworkCase network, Answer candidate, Run reference) {
        // Convolutions sum over channels and window, their weight gradients over samples and pixels.
        double longestSum = (double) network.batch() * network.height() * network.width() + 100;
        Answer.compare(
                "seed " + seed + ": " + network,
                candidate,
                reference.with(0),
                moved(reference),
                tolerance(),
                longestSum);
    }

    private static List<Answer> moved(Run run) {
        List<Answer> answers = new ArrayList<>();
        for (int move = 1; move <= MOVES; move++) {
            answers.add(run.with(move));
        }
        return answers;
    }

    private static ReferenceBackend reference() {
        return new ReferenceBackend(UNFUSED, true);
    }

    private Answer train(
            Backend backend,
            NetworkCase network,
            Set<Fusion> fusions,
            List<Integer> microBatches,
            long weightSeed,
            Feed feed,
            int move) {
        Feed fed = moved(feed, move);
        Program program = network.training(network.batch(), fusions);
        backend.metrics().clear();
        try (ModelMemory model = ModelMemory.allocate(backend, program, weightSeed)) {
            move(model, move);
            int first = 0;
            Answer answer = new Answer();
            for (int i = 0; i < microBatches.size(); i++) {
                int samples = microBatches.get(i);
                try (Rig rig = new Rig(backend, network.training(samples, fusions), model)) {
                    poison(backend, rig);
                    rig.executable.run(Rig.part(fed, first, samples));
                    first += samples;
                    if (i == microBatches.size() - 1) {
                        answer = read(backend, rig, true);
                    }
                }
            }
            return answer;
        }
    }

    private Answer infer(Backend backend, Program program, long weightSeed, Feed feed, int move) {
        backend.metrics().clear();
        try (ModelMemory model = ModelMemory.allocate(backend, program, weightSeed);
                Rig rig = new Rig(backend, program, model)) {
            move(model, move);
            poison(backend, rig);
            rig.executable.run(moved(feed, move));
            return read(backend, rig, false);
        }
    }

    private Answer fiveUpdates(
            Backend backend,
            NetworkCase network,
            Set<Fusion> fusions,
            UpdateRule rule,
            long weightSeed,
            Feed feed,
            int move) {
        Feed fed = moved(feed, move);
        Program program = network.training(fusions);
        backend.metrics().clear();
        try (ModelMemory model = ModelMemory.allocate(backend, program, weightSeed);
                Rig rig = new Rig(backend, program, model);
                UpdateKernel update =
                        backend.prepareUpdate(rule, model, program.parameters(), p -> p.role() == Role.WEIGHT)) {
            move(model, move);
            poison(backend, rig);
            double scale = 1.0 / network.batch();
            for (int i = 1; i <= 5; i++) {
                Feed next = new Feed(
                        fed.images(),
                        fed.labels(),
                        fed.samples(),
                        fed.firstSample() + (long) i * fed.samples(),
                        fed.seed());
                rig.executable.run(next);
                update.apply(new UpdateScalars(0.01 / i, 0.9, scale, 1e-3, i));
            }
            return read(backend, rig, true);
        }
    }

    /**
     * Inference sees what updates, training runs and writes from outside (a checkpoint, say) left in the packs: a
     * backend that caches weights in another layout must notice all three.
     */
    private Answer trainThenInfer(
            Backend backend, NetworkCase network, Set<Fusion> fusions, long weightSeed, Feed feed, int move) {
        Feed fed = moved(feed, move);
        Program training = network.training(fusions);
        try (ModelMemory model = ModelMemory.allocate(backend, training, weightSeed);
                Rig step = new Rig(backend, training, model);
                Rig check = new Rig(backend, network.inference(fusions), model);
                UpdateKernel update =
                        backend.prepareUpdate(new UpdateRule.Momentum(), model, training.parameters(), p -> true)) {
            move(model, move);
            Answer answer = new Answer();
            backend.metrics().clear();
            check.executable.run(fed);
            answer.append("before", read(backend, check, false));
            step.executable.run(fed);
            update.apply(new UpdateScalars(0.02, 0.9, 1.0 / network.batch(), 1e-3, 1));
            backend.metrics().clear();
            check.executable.run(fed);
            answer.append("after", read(backend, check, false));
            float[] weights = Rig.read(model.weights());
            for (int i = 0; i < weights.length; i++) {
                weights[i] *= 0.75f;
            }
            model.weights().write(0, weights);
            backend.metrics().clear();
            check.executable.run(fed);
            answer.append("written", read(backend, check, false));
            step.executable.run(fed);
            answer.append("trained", read(backend, step, true));
            return answer;
        }
    }

    private Answer update(Backend backend, UpdateRule rule, ParameterPack pack, long numbers, int move) {
        Random drawn = new Random(numbers);
        try (ModelMemory model = new ModelMemory(
                        backend.allocate(pack.elements()), backend.allocate(pack.elements()), backend.allocate(0));
                UpdateKernel kernel = backend.prepareUpdate(rule, model, pack, p -> p.role() == Role.WEIGHT)) {
            Answer answer = new Answer();
            assertEquals(rule.stateSlots(), kernel.state().size());
            write(model.weights(), pack, drawn);
            move(model.weights(), move);
            for (int i = 1; i <= 6; i++) {
                write(model.gradients(), pack, drawn);
                move(model.gradients(), move * 100 + i);
                // About ten long before it is scaled: some are clipped and some are not.
                double clipNorm = i % 2 == 0 ? Double.POSITIVE_INFINITY : 0.5 + 8 * drawn.nextDouble();
                kernel.apply(new UpdateScalars(
                        drawn.nextDouble(),
                        0.5 + drawn.nextDouble() / 2.5,
                        drawn.nextDouble(),
                        drawn.nextDouble(),
                        i,
                        clipNorm));
                answer.put("gradients-" + i + " cleared", pack, model.gradients());
                answer.put("weights-" + i, pack, model.weights());
                for (int slot = 0; slot < rule.stateSlots(); slot++) {
                    answer.put("state" + slot + "-" + i, pack, kernel.state().get(slot));
                }
            }
            return answer;
        }
    }

    private static void write(DeviceMemory memory, ParameterPack pack, Random drawn) {
        pack.parameters().forEach(p -> {
            float[] values = new float[(int) p.shape().elements()];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) drawn.nextGaussian();
            }
            memory.write(p.offset(), values);
        });
    }

    private static Answer read(Backend backend, Rig rig, boolean training) {
        Answer answer = new Answer();
        StepMetrics.Sums sums = backend.metrics().read();
        answer.put("loss", sums.loss());
        answer.put("hits", (double) sums.hits());
        answer.put("statistic", rig.program.statistics(), rig.model.statistics());
        answer.put("weight", rig.program.parameters(), rig.model.weights());
        if (training) {
            answer.put("gradient", rig.program.parameters(), rig.model.gradients());
        }
        for (Value value : rig.program.kept()) {
            float[] values = new float[Math.toIntExact(value.shape().elements())];
            Arrays.fill(values, Float.NaN); // an element that read() forgets stays NaN
            rig.executable.read(value, values);
            answer.put("kept " + value, values);
        }
        return answer;
    }

    /** Fills the arena with NaN by running a program that does nothing else. */
    private static void poison(Backend backend, Rig rig) {
        int elements = Math.toIntExact(rig.plan.totalBytes() / Float.BYTES + 1);
        Tape tape = Tape.inference(1);
        tape.keep(tape.scale(tape.images(1, 1, elements), 1));
        FloatBuffer images = ByteBuffer.allocateDirect(elements * Float.BYTES)
                .order(ByteOrder.nativeOrder())
                .asFloatBuffer();
        for (int i = 0; i < elements; i++) {
            images.put(i, Float.NaN);
        }
        IntBuffer labels =
                ByteBuffer.allocateDirect(0).order(ByteOrder.nativeOrder()).asIntBuffer();
        try (Rig filler = new Rig(backend, tape.program(UNFUSED), 0)) {
            filler.executable.run(new Feed(images, labels, 1, 0, 0));
            // Reading waits until the device is done.
            filler.executable.read(filler.program.kept().get(0), new float[elements]);
        }
    }

    private Feed moved(Feed feed, int move) {
        if (move == 0) {
            return feed;
        }
        Feed copy = Rig.part(feed, 0, feed.samples());
        Random drawn = new Random(move);
        for (int i = 0; i < copy.images().capacity(); i++) {
            copy.images().put(i, (float) nudge(copy.images().get(i), drawn));
        }
        return copy;
    }

    private void move(ModelMemory model, int move) {
        move(model.weights(), move);
        move(model.statistics(), move);
    }

    private void move(DeviceMemory memory, int move) {
        if (move == 0 || !(memory instanceof ReferenceMemory reference)) {
            return; // only the reference is ever moved
        }
        Random drawn = new Random(move);
        double[] values = reference.values();
        for (int i = 0; i < values.length; i++) {
            values[i] = nudge(values[i], drawn);
        }
    }

    private double nudge(double value, Random drawn) {
        return value * (1 + MOVED_ROUNDINGS * tolerance() * (2 * drawn.nextDouble() - 1));
    }
}
