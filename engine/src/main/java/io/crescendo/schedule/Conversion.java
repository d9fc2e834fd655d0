package io.crescendo.schedule;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * How a plan departs from the schedules it was stated with, at an unchanged noise scale.
 *
 * <p>Let ε, B, m be the stated values at some moment and P the highest learning rate so far. The converted batch is
 *
 * <pre>
 *   B' = ⌊ B · k · (1 − m)/(1 − m') · G ⌋ ,  at most the cap         k the scale, m' the new momentum
 *   G  = P / max(ε, L)                       G = 1 without growth    L the learning rate where growth ends
 *   ε' = ε/(B (1 − m)) · B' (1 − m')         whatever the whole, capped batch could not take
 * </pre>
 *
 * so B' depends on choices and ε' only on B': g cannot drift. P is a running maximum: while the learning rate warms up,
 * P = ε and G = 1, the rise stays a rise of the learning rate. Rounding is downwards, so that ε' never exceeds k·P.
 *
 * @param scale k, multiplies the learning rate and the batch
 * @param momentum m', or null to keep the stated momentum
 * @param growThroughEpoch growth makes up for every decay up to and including this epoch: {@link #NO_GROWTH},
 *     {@link #ALL_DECAYS} or the epoch of a decay
 * @param cap the largest batch; {@link #TENTH} for a tenth of the training set
 * @param quantum a grown batch is a multiple of this; {@link #AUTOMATIC}: 1 where the learning rate stands still
 *     between decays, and otherwise the batch before growth, so that a moving learning rate visits few batches
 */
record Conversion(double scale, @Nullable Double momentum, double growThroughEpoch, long cap, long quantum) {
    static final double NO_GROWTH = -1;
    static final double ALL_DECAYS = Double.POSITIVE_INFINITY;
    static final long NO_CAP = Long.MAX_VALUE;
    static final long TENTH = 0;
    static final long AUTOMATIC = 0;
    static final Conversion NONE = new Conversion(1, null, NO_GROWTH, NO_CAP, AUTOMATIC);

    /** Relative distance at which a computed batch is taken for the whole number it misses by rounding alone. */
    private static final double ROUNDING = 1e-12;

    /** A drop this small between neighbouring instants is a kink, not a decay. */
    private static final double SMALLEST_DECAY = 1e-6;

    /** Samples per epoch of the clock on which decays are looked for: so fine that a moving schedule hardly moves. */
    private static final long FINE_CLOCK = 1L << 40;

    boolean grows() {
        return growThroughEpoch != NO_GROWTH;
    }

    Conversion withScale(double newScale) {
        return new Conversion(newScale, momentum, growThroughEpoch, cap, quantum);
    }

    Conversion withMomentum(double newMomentum) {
        return new Conversion(scale, newMomentum, growThroughEpoch, cap, quantum);
    }

    Conversion withGrowth(double throughEpoch, long newCap) {
        return new Conversion(scale, momentum, throughEpoch, newCap, quantum);
    }

    Conversion withQuantum(long newQuantum) {
        return new Conversion(scale, momentum, growThroughEpoch, cap, newQuantum);
    }

    long capFor(long samplesPerEpoch) {
        return cap == TENTH ? Math.max(1, samplesPerEpoch / 10) : cap;
    }

    /** The converted phase. */
    Phase convert(Progress progress, Schedule learningRate, Phase stated) {
        double idealBase = stated.batch() * scale * inertia(stated);
        double rate = stated.learningRate();
        double floor = rate;
        double peak = rate;
        if (grows()) {
            if (growThroughEpoch != ALL_DECAYS) {
                floor = Math.max(rate, levelAfter(growThroughEpoch, progress.samplesPerEpoch(), learningRate));
            }
            // Where a warm-up is still below the level, there is nothing to make up for.
            peak = Math.max(floor, peak(learningRate, progress));
        }
        double ideal = idealBase * (peak / floor);
        long base = base(stated);
        long batch = base;
        if (peak > floor) {
            long step = quantum;
            if (step == AUTOMATIC) {
                step = learningRate.heldUntil(progress) > progress.epochs() ? 1 : base;
            }
            long most = Math.min(wholeBelow(ideal), capFor(progress.samplesPerEpoch()));
            batch = Math.max(base, most / step * step);
        }
        if (grows()) {
            batch = Math.min(batch, capFor(progress.samplesPerEpoch()));
        }
        // When the batch takes all of the change, say the learning rate as it was stated, free of rounding.
        double newRate = Math.abs(batch - ideal) <= ROUNDING * ideal
                ? scale * peak * (rate / floor)
                : rate / stated.batch() * batch / inertia(stated);
        return new Phase(batch, newRate, newMomentum(stated));
    }

    /** The batch before growth: the stated one as scale and momentum change it. */
    long base(Phase stated) {
        return Math.max(1, wholeBelow(stated.batch() * scale * inertia(stated)));
    }

    /** What makes {@link #base} larger than the stated batch, in brackets; empty if nothing does. */
    String enlargement(Phase stated) {
        if (base(stated) <= stated.batch()) {
            return "";
        }
        List<String> causes = new ArrayList<>();
        if (scale > 1) {
            causes.add("the learning rate was scaled by " + scale);
        }
        if (newMomentum(stated) > stated.momentum()) {
            causes.add("momentum was raised from " + stated.momentum() + " to " + newMomentum(stated));
        }
        return " (" + stated.batch() + " before " + String.join(" and ", causes) + ")";
    }

    private double newMomentum(Phase stated) {
        return momentum == null ? stated.momentum() : momentum;
    }

    private double inertia(Phase stated) {
        return (1 - stated.momentum()) / (1 - newMomentum(stated));
    }

    /** The epochs at which a learning rate falls at once. */
    static List<Double> decays(Schedule learningRate) {
        List<Double> decays = new ArrayList<>();
        for (double epoch : learningRate.boundaries()) {
            long at = Progress.atEpoch(epoch, FINE_CLOCK).samples();
            if (at < 2) {
                continue;
            }
            // Two instants to either side: a schedule that runs on a shifted clock may switch one sample off.
            double before = learningRate.at(new Progress(at - 2, 0, FINE_CLOCK));
            double after = learningRate.at(new Progress(at + 2, 0, FINE_CLOCK));
            if (after < before * (1 - SMALLEST_DECAY)) {
                decays.add(epoch);
            }
        }
        return decays;
    }

    private static double levelAfter(double epoch, long samplesPerEpoch, Schedule learningRate) {
        long samples = Progress.atEpoch(epoch, samplesPerEpoch).samples();
        // As in decays(), a shifted clock may switch one sample late; between jumps one sample is no matter.
        return Math.min(
                learningRate.at(new Progress(samples, 0, samplesPerEpoch)),
                learningRate.at(new Progress(samples + 1, 0, samplesPerEpoch)));
    }

    /** The highest learning rate so far; schedules are monotone between boundaries, so their ends suffice. */
    private static double peak(Schedule learningRate, Progress now) {
        double peak = Math.max(learningRate.at(Progress.start(now.samplesPerEpoch())), learningRate.at(now));
        for (double epoch : learningRate.boundaries()) {
            if (epoch > now.epochs()) {
                break;
            }
            Progress boundary = Progress.atEpoch(epoch, now.samplesPerEpoch());
            peak = Math.max(peak, learningRate.at(boundary));
            if (boundary.samples() > 0) {
                peak = Math.max(peak, learningRate.at(new Progress(boundary.samples() - 1, 0, now.samplesPerEpoch())));
            }
        }
        return peak;
    }

    private static long wholeBelow(double batch) {
        return (long) Math.floor(batch * (1 + ROUNDING));
    }
}
