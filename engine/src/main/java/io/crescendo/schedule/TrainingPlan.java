package io.crescendo.schedule;

import java.util.List;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * The batch, learning rate and momentum of a whole training run, and the count of its parameter updates.
 *
 * <p>A plan is stated by three schedules. Conversions return a new plan with the same noise scale g = εN/(B(1−m)) at
 * every moment but other ways to reach it. Growth, scale, momentum and quantum are independent choices, so the order of
 * calls does not matter; {@link #growBatchInstead}, {@link #hybrid} and {@link #decaying} are answers to one question,
 * the last call counts. The learning rate carries whatever a whole or capped batch cannot.
 *
 * <pre>{@code
 * TrainingPlan plan = TrainingPlan.of(Schedule.staircase(0.1, 0.2, 60, 120, 160), batch(128), momentum(0.9))
 *         .growBatchInstead(5120)
 *         .forEpochs(200, 50_000);
 * plan.at(Progress.atEpoch(160, 50_000)); // Phase[batch=5120, learningRate=0.032, momentum=0.9]
 * plan.updates();                         // 29040
 * }</pre>
 *
 * What cannot be is refused with an {@link IllegalArgumentException} that says what to change: a batch larger than the
 * training set, a momentum outside [0, 1), a learning rate that is not positive. What is merely unwise is listed by
 * {@link #warnings()}. Methods that need the length of the run throw {@link IllegalStateException} before
 * {@link #forEpochs}.
 *
 * <p>Source: Smith et al. 2018, arXiv 1711.00489.
 */
public final class TrainingPlan {
    /** Whole epochs at whose start a plan is checked on construction; later ones are checked when they come. */
    private static final long CHECKED_EPOCHS = 10_000;

    private final Schedule learningRate;
    private final Schedule batch;
    private final Schedule momentum;
    private final Conversion conversion;
    private final RaggedEpoch ragged;
    private final @Nullable Horizon horizon;

    /** How long training lasts; samples is the first sample at or after the last epoch's end. */
    private record Horizon(double epochs, long samplesPerEpoch, long samples) {}

    private TrainingPlan(
            Schedule learningRate,
            Schedule batch,
            Schedule momentum,
            Conversion conversion,
            RaggedEpoch ragged,
            @Nullable Horizon horizon) {
        this.learningRate = learningRate;
        this.batch = batch;
        this.momentum = momentum;
        this.conversion = conversion;
        this.ragged = ragged;
        this.horizon = horizon;
        if (horizon != null) {
            check(horizon);
        }
    }

    /** The plan that follows three schedules as they are. A batch that is not whole is rounded down. */
    public static TrainingPlan of(Schedule learningRate, Schedule batch, Schedule momentum) {
        return new TrainingPlan(learningRate, batch, momentum, Conversion.NONE, RaggedEpoch.DROP, null);
    }

    /** A constant batch, in samples per parameter update. */
    public static Schedule batch(long batch) {
        if (batch < 1) {
            throw new IllegalArgumentException("batch " + batch + " must be at least 1 sample");
        }
        return Schedule.constant((double) batch);
    }

    /** A constant momentum coefficient in [0, 1). */
    public static Schedule momentum(double momentum) {
        return Schedule.constant(requireMomentum(momentum));
    }

    // ---- Length and policy

    /**
     * This plan for so many epochs, which may be fractional, of a training set of so many samples. Training then ends
     * with the first update that reaches the last epoch's end. From here on every conversion is checked at once, so
     * that a plan that passes through batches larger than the training set is better given its length last.
     */
    public TrainingPlan forEpochs(double epochs, long samplesPerEpoch) {
        if (!(epochs > 0) || Double.isInfinite(epochs)) {
            throw new IllegalArgumentException("epochs " + epochs + " must be positive and finite");
        }
        long samples = Progress.atEpoch(epochs, samplesPerEpoch).samples();
        return with(conversion, ragged, new Horizon(epochs, samplesPerEpoch, samples));
    }

    /** This plan with a policy for the ragged ends of epochs; a new plan drops them. */
    public TrainingPlan ragged(RaggedEpoch policy) {
        return with(conversion, policy, horizon);
    }

    // ---- Conversions

    /**
     * The same noise scale, reached by growing the batch wherever the learning rate would decay, until the batch is
     * {@code cap}; from there on the learning rate decays. While the learning rate rises, as in a warm-up, the batch
     * stays at its base.
     *
     * @param cap the largest batch, in samples; what the device's memory or a tenth of the training set allows
     */
    public TrainingPlan growBatchInstead(long cap) {
        return with(conversion.withGrowth(Conversion.ALL_DECAYS, requireCap("growBatchInstead", cap)), ragged, horizon);
    }

    private static long requireCap(String method, long cap) {
        if (cap < 1) {
            throw new IllegalArgumentException(method + ": cap " + cap + " must be at least 1 sample");
        }
        return cap;
    }

    /** {@link #growBatchInstead(long)} up to a tenth of the training set, where B much smaller than N still holds. */
    public TrainingPlan growBatchInstead() {
        return with(conversion.withGrowth(Conversion.ALL_DECAYS, Conversion.TENTH), ragged, horizon);
    }

    /**
     * The first {@code steps} decays become growth of the batch, the later ones stay decays of the learning rate. A cap
     * given to {@link #growBatchInstead(long)} before remains.
     *
     * @throws IllegalArgumentException if the learning rate has fewer decays; a smooth schedule has none
     */
    public TrainingPlan hybrid(int steps) {
        return growingAt(steps, conversion.cap());
    }

    /**
     * {@link #hybrid(int)} with a cap. Only these decays are checked: batches that growth at all of them would lead to
     * may be larger than the training set.
     *
     * @param cap the largest batch, in samples
     */
    public TrainingPlan hybrid(int steps, long cap) {
        return growingAt(steps, requireCap("hybrid", cap));
    }

    private TrainingPlan growingAt(int steps, long cap) {
        List<Double> decays = Conversion.decays(learningRate);
        if (steps < 0 || steps > decays.size()) {
            throw new IllegalArgumentException("the first " + steps
                    + " decays of the learning rate are to become growth of the batch, but it has " + decays.size()
                    + (decays.isEmpty() ? "" : ", at epochs " + decays)
                    + "; a smooth schedule has none, and its batch grows all along or not at all");
        }
        double through = steps == 0 ? Conversion.NO_GROWTH : decays.get(steps - 1);
        return with(conversion.withGrowth(through, cap), ragged, horizon);
    }

    /** The plan without growth: what falls is the learning rate. Scale and momentum remain as converted. */
    public TrainingPlan decaying() {
        return with(conversion.withGrowth(Conversion.NO_GROWTH, Conversion.NO_CAP), ragged, horizon);
    }

    /** The learning rate times k and the batch times k (B ∝ ε). */
    public TrainingPlan scaleLearningRate(double k) {
        if (!(k > 0) || Double.isInfinite(k)) {
            throw new IllegalArgumentException("scaleLearningRate: factor " + k + " must be positive and finite");
        }
        return with(conversion.withScale(conversion.scale() * k), ragged, horizon);
    }

    /**
     * The momentum coefficient m and the batch times (1 − stated m)/(1 − m) (B ∝ 1/(1−m)). The velocity starts at zero,
     * so the first B/(N(1−m)) epochs are slow, and so are those after each change: high momentum costs some accuracy.
     */
    public TrainingPlan withMomentum(double m) {
        return with(conversion.withMomentum(requireMomentum(m)), ragged, horizon);
    }

    /**
     * Grown batches are multiples of {@code quantum}, rounded down, and the learning rate carries the remainder. By
     * default every whole batch is allowed where the learning rate falls in steps, and multiples of the first batch
     * where it falls smoothly.
     */
    public TrainingPlan quantum(long quantum) {
        if (quantum < 1) {
            throw new IllegalArgumentException("quantum " + quantum + " must be at least 1 sample");
        }
        return with(conversion.withQuantum(quantum), ragged, horizon);
    }

    // ---- One moment

    /** The settings of an update that begins now. */
    public Phase at(Progress progress) {
        if (horizon != null && progress.samplesPerEpoch() != horizon.samplesPerEpoch) {
            throw new IllegalArgumentException("this plan is for " + horizon.samplesPerEpoch
                    + " samples per epoch, but the progress counts " + progress.samplesPerEpoch()
                    + "; state the training set's size with forEpochs(epochs, samplesPerEpoch)");
        }
        Phase stated;
        Phase phase;
        try {
            stated = stated(progress);
            phase = conversion.convert(progress, learningRate, stated);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("at epoch " + epochText(progress) + ": " + e.getMessage(), e);
        }
        if (phase.batch() > progress.samplesPerEpoch()) {
            throw tooLarge(progress, stated, phase.batch());
        }
        return phase;
    }

    /**
     * The batch that the run begins with, however large: the stated one as scale and momentum change it, before growth.
     */
    public long firstBatch(long samplesPerEpoch) {
        return conversion.base(stated(Progress.start(samplesPerEpoch)));
    }

    private Phase stated(Progress progress) {
        double statedBatch = batch.at(progress);
        if (!(statedBatch >= 1) || statedBatch > 0x1p53) {
            throw new IllegalArgumentException("batch " + statedBatch + " must be at least 1 sample");
        }
        // A schedule such as 128·5³ may miss its whole number by rounding.
        return new Phase(
                (long) Math.floor(statedBatch * (1 + 1e-12)), learningRate.at(progress), momentum.at(progress));
    }

    private IllegalArgumentException tooLarge(Progress progress, Phase stated, long size) {
        long samples = progress.samplesPerEpoch();
        long base = conversion.base(stated);
        String enlargement = size > base ? "" : conversion.enlargement(stated);
        String advice;
        if (size > base) {
            advice = "use a smaller batch or cap its growth, at " + Math.max(base, samples / 10)
                    + " samples for example";
        } else {
            advice = enlargement.isEmpty() ? "use a smaller batch" : "change that less, or start from a smaller batch";
        }
        return new IllegalArgumentException("batch " + size + " at epoch " + epochText(progress) + enlargement
                + " is larger than the training set of " + samples + " samples; " + advice);
    }

    /** g at this moment, equal to the stated schedules' g. */
    public NoiseScale noiseScale(Progress progress) {
        return at(progress).noiseScale(progress.samplesPerEpoch());
    }

    // ---- Walking through the run

    /** The beginning of this plan's run. */
    public Progress start() {
        return Progress.start(samplesPerEpoch());
    }

    /** Whether no update is left: the epochs are over, or what is left of the last one is dropped. */
    public boolean finished(Progress progress) {
        return settle(progress).samples() >= horizon().samples;
    }

    /**
     * The next update: its phase, and its samples, which an epoch's end may cut under {@link RaggedEpoch#KEEP}. This is
     * the one place that decides the size of an update.
     *
     * @throws IllegalArgumentException if no update is left; ask {@link #finished} first
     */
    public PlannedUpdate nextUpdate(Progress progress) {
        Progress settled = settle(progress);
        if (settled.samples() >= horizon().samples) {
            throw new IllegalArgumentException("no update is left after epoch " + epochText(progress) + " of "
                    + horizon().epochs + "; ask finished(progress) first");
        }
        Phase phase = at(settled);
        return new PlannedUpdate(phase, Math.min(phase.batch(), settled.samplesLeftInEpoch()));
    }

    /**
     * The moment after an update of so many samples, with a dropped rest of the epoch skipped.
     *
     * @throws IllegalArgumentException if so many are not left in the epoch
     */
    public Progress advance(Progress progress, long samplesUsed) {
        Progress settled = settle(progress);
        if (samplesUsed > settled.samplesLeftInEpoch()) {
            throw new IllegalArgumentException(
                    "an update of " + samplesUsed + " samples would straddle the end of epoch "
                            + settled.epoch() + ", which has " + settled.samplesLeftInEpoch()
                            + " left; use nextUpdate(progress).samples()");
        }
        return settle(settled.afterUpdate(samplesUsed));
    }

    /** Under DROP, the next epoch's beginning if less than a batch is left of this one. */
    private Progress settle(Progress progress) {
        if (ragged == RaggedEpoch.KEEP
                || progress.samplesIntoEpoch() == 0
                || progress.samples() >= horizon().samples
                || progress.samplesLeftInEpoch() >= at(progress).batch()) {
            return progress;
        }
        return progress.atNextEpoch();
    }

    // ---- The whole run

    /** The parameter updates of the whole run, exactly as the trainer will perform them. */
    public long updates() {
        long[] total = {0};
        PlanWalk.walk(this, stretch -> total[0] += stretch.updates());
        return total[0];
    }

    /** {@link #updates()} under the given policy. */
    public long updates(RaggedEpoch policy) {
        return ragged(policy).updates();
    }

    /**
     * The fractional count ∫ dS/B over all samples S, as if updates could straddle epochs: between DROP's and KEEP's.
     */
    public double exactUpdates() {
        return PlanWalk.exactUpdates(this);
    }

    /** The phases of the run with their updates. */
    public PlanTable table() {
        return PlanTable.of(this);
    }

    /** {@link #table()} under the given policy. */
    public PlanTable table(RaggedEpoch policy) {
        return ragged(policy).table();
    }

    /**
     * The sizes of update that the run will visit, in order of their first visit, sizes cut by ragged ends included.
     */
    public List<Long> distinctBatches() {
        return batchUses().stream().map(BatchUse::samples).toList();
    }

    /** The same sizes with how often and how long each is needed: what to prepare next and what to forget. */
    public List<BatchUse> batchUses() {
        return PlanWalk.batchUses(this);
    }

    /** What is allowed but unwise about this plan, one sentence each; empty if nothing is. */
    public List<String> warnings() {
        return PlanWarnings.of(table(), conversion, Conversion.decays(learningRate), epochs());
    }

    /** The highest momentum of any update. */
    public double highestMomentum() {
        double[] highest = {0};
        // Between boundaries, which no stretch contains, schedules are monotone.
        PlanWalk.walk(this, stretch -> {
            double ends =
                    Math.max(at(stretch.first()).momentum(), at(stretch.last()).momentum());
            highest[0] = Math.max(highest[0], ends);
        });
        return highest[0];
    }

    // ---- What the plan was told

    public double epochs() {
        return horizon().epochs;
    }

    public long samplesPerEpoch() {
        return horizon().samplesPerEpoch;
    }

    public RaggedEpoch raggedEpoch() {
        return ragged;
    }

    /** The sample at or after which the run ends. */
    long endSample() {
        return horizon().samples;
    }

    /** The epochs at which any of the three schedules jumps or changes its formula, increasing. */
    List<Double> boundaries() {
        TreeSet<Double> all = new TreeSet<>(learningRate.boundaries());
        all.addAll(batch.boundaries());
        all.addAll(momentum.boundaries());
        return List.copyOf(all);
    }

    /** The epoch up to which the batch stays what it is now, boundaries aside. */
    double batchHeldUntil(Progress progress) {
        double held = batch.heldUntil(progress);
        if (conversion.grows()) {
            held = Math.min(held, learningRate.heldUntil(progress));
        }
        if (conversion.momentum() != null) {
            held = Math.min(held, momentum.heldUntil(progress));
        }
        return held;
    }

    /** Whether the stated learning rate falls in steps somewhere. */
    boolean hasDecays() {
        return !Conversion.decays(learningRate).isEmpty();
    }

    private TrainingPlan with(Conversion newConversion, RaggedEpoch newRagged, @Nullable Horizon newHorizon) {
        return new TrainingPlan(learningRate, batch, momentum, newConversion, newRagged, newHorizon);
    }

    private Horizon horizon() {
        if (horizon == null) {
            throw new IllegalStateException(
                    "this plan has no length yet; call forEpochs(epochs, samplesPerEpoch) on it first");
        }
        return horizon;
    }

    /** Looks at every epoch's start and every boundary, so that a bad plan fails here and not after hours. */
    private void check(Horizon length) {
        long samplesPerEpoch = length.samplesPerEpoch;
        Phase first = at(Progress.start(samplesPerEpoch));
        if (conversion.grows()) {
            Phase stated = stated(Progress.start(samplesPerEpoch));
            if (first.batch() < conversion.base(stated)) {
                String enlargement = conversion.enlargement(stated);
                throw new IllegalArgumentException("the cap of " + conversion.capFor(samplesPerEpoch)
                        + " samples is below the first batch of " + conversion.base(stated)
                        + enlargement + "; raise the cap, "
                        + (enlargement.isEmpty() ? "" : "change that less, ") + "or start from a smaller batch");
            }
        }
        // In the order of time, so that the message names the first bad moment.
        TreeSet<Long> moments = new TreeSet<>();
        for (double epoch : boundaries()) {
            if (epoch < length.epochs) {
                moments.add(Progress.atEpoch(epoch, samplesPerEpoch).samples());
            }
        }
        for (long epoch = 1; epoch < Math.min(length.epochs, CHECKED_EPOCHS); epoch++) {
            moments.add(epoch * samplesPerEpoch);
        }
        for (long samples : moments.headSet(length.samples)) {
            at(new Progress(samples, 0, samplesPerEpoch));
        }
    }

    private static double requireMomentum(double momentum) {
        if (!(momentum >= 0 && momentum < 1)) {
            throw new IllegalArgumentException(
                    "momentum " + momentum + " is outside [0, 1); use 0 for none, 0.9 is common");
        }
        return momentum;
    }

    private static String epochText(Progress progress) {
        return PlanTable.number(progress.epochs());
    }
}
