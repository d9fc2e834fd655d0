package io.crescendo.schedule;

import java.util.List;

/**
 * A hyper-parameter as a pure function of progress.
 *
 * <p>Any lambda is a schedule. The schedules made by the factories below also know their own shape, through
 * {@link #boundaries()} and {@link #heldUntil(Progress)}; that is what lets a plan tell decays apart and count updates
 * by division instead of one by one.
 *
 * <pre>{@code
 * Schedule steps = Schedule.staircase(0.1, 1.0 / 5, 60, 120, 160);
 * Schedule imageNet = Schedule.warmUp(0.1, 5, Schedule.staircase(3.2, 0.1, 30, 60, 80));
 * Schedule half = Schedule.cosine(0.1, 0, 100).times(0.5);
 * Schedule chained = Schedule.constant(0.1).then(50, Schedule.linear(0.1, 0.001, 50));
 * Schedule own = progress -> 0.1 / Math.sqrt(1 + progress.epochs());
 * }</pre>
 *
 * Below, e is {@link Progress#epochs()}.
 */
@FunctionalInterface
public interface Schedule {
    /** The value for the update that begins at this progress. */
    double at(Progress progress);

    /**
     * The epochs at which the value jumps or its formula changes, increasing. Between two neighbours, the schedule must
     * be monotone; the change counts from the first update at or after the boundary.
     */
    default List<Double> boundaries() {
        return List.of();
    }

    /**
     * The epoch up to which the value is known to stay what it is at this progress; {@code progress.epochs()} when it
     * moves or nothing is known, infinity when it never changes again.
     */
    default double heldUntil(Progress progress) {
        return progress.epochs();
    }

    /**
     * This schedule up to an epoch, then another one <em>whose own clock starts at zero there</em>: {@code a.then(50,
     * linear(0.1, 0, 50))} falls from epoch 50 to 100.
     */
    default Schedule then(double epoch, Schedule next) {
        return new StandardSchedules.Sequence(this, epoch, next);
    }

    /** This schedule multiplied by a positive factor. */
    default Schedule times(double factor) {
        return new StandardSchedules.Scaled(this, factor);
    }

    /** The same value always. */
    static Schedule constant(double value) {
        return new StandardSchedules.Constant(value);
    }

    /**
     * initial · factor<sup>k</sup>, where k counts the epochs in the list that have been reached: {@code staircase(0.1,
     * 0.2, 60, 120, 160)} is 0.1, 0.02, 0.004, 0.0008.
     */
    static Schedule staircase(double initial, double factor, double... epochs) {
        return StandardSchedules.Staircase.of(initial, factor, epochs);
    }

    /** initial · factor<sup>e</sup>, moving at every update. */
    static Schedule exponential(double initial, double factorPerEpoch) {
        return new StandardSchedules.Exponential(initial, factorPerEpoch);
    }

    /** last + (initial − last) · (1 − e/epochs)<sup>power</sup>; from {@code epochs} on, last. */
    static Schedule polynomial(double initial, double last, double power, double epochs) {
        return new StandardSchedules.Polynomial(initial, last, power, epochs);
    }

    /** The straight line from initial to last; from {@code epochs} on, last. */
    static Schedule linear(double initial, double last, double epochs) {
        return polynomial(initial, last, 1, epochs);
    }

    /**
     * last + (initial − last) · (1 + cos(π e/epochs)) / 2; from {@code epochs} on, last. Source: Loshchilov and Hutter
     * 2017, arXiv 1608.03983, without restarts.
     */
    static Schedule cosine(double initial, double last, double epochs) {
        return new StandardSchedules.Cosine(initial, last, epochs);
    }

    /**
     * The straight line from initial to the value that {@code target} has at {@code epochs}, then target itself, on the
     * same clock: a staircase keeps its epochs. Source: Goyal et al. 2017, arXiv 1706.02677.
     *
     * @param initial positive for a learning rate: the very first update uses it
     */
    static Schedule warmUp(double initial, double epochs, Schedule target) {
        return new StandardSchedules.WarmUp(initial, epochs, target);
    }
}
