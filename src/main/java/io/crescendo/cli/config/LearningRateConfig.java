package io.crescendo.cli.config;

import io.crescendo.schedule.Schedule;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The learning rate ε over the epochs e of a run.
 *
 * <pre>
 * constant      initial
 * staircase     initial · factor^k, k of the epochs (or fractions of the run) passed
 * exponential   initial · factor^e
 * linear        initial to last over the run
 * polynomial    last + (initial − last) · (1 − e/E)^power
 * cosine        last + (initial − last) · (1 + cos(π e/E)) / 2
 * </pre>
 *
 * @param schedule one of the names above
 * @param initial ε at epoch 0 by these formulas, in whose place a warm-up begins lower
 * @param last for linear, polynomial and cosine, ε at the end; 0 if absent
 * @param factor for staircase and exponential
 * @param epochs for staircase, where it steps
 * @param fractions for staircase, where it steps, as shares of the run; instead of epochs
 * @param power for polynomial
 * @param warmUp a straight line first, to what the formula gives at its end, or null
 */
public record LearningRateConfig(
        String schedule,
        double initial,
        @Nullable Double last,
        @Nullable Double factor,
        @Nullable List<Double> epochs,
        @Nullable List<Double> fractions,
        @Nullable Double power,
        @Nullable WarmUpConfig warmUp) {
    static final List<String> NAMES = List.of("constant", "staircase", "exponential", "linear", "polynomial", "cosine");

    void validate(double runEpochs) {
        if (schedule == null) {
            throw new InvalidKeyException("learningRate.schedule", "is missing; give one of " + NAMES);
        }
        if (!NAMES.contains(schedule)) {
            throw new InvalidKeyException(
                    "learningRate.schedule",
                    "is '" + schedule + "', which is unknown" + Suggestion.didYouMean(schedule, NAMES) + " Known: "
                            + String.join(", ", NAMES));
        }
        RunConfig.finite("learningRate.initial", initial);
        if (!(initial > 0)) {
            throw new InvalidKeyException("learningRate.initial", "must be positive, but is " + initial);
        }
        boolean stairs = schedule.equals("staircase");
        boolean falling = schedule.equals("linear") || schedule.equals("polynomial") || schedule.equals("cosine");
        only(stairs || schedule.equals("exponential"), "factor", factor, true);
        only(stairs, "epochs", epochs, stairs && fractions == null);
        only(stairs, "fractions", fractions, stairs && epochs == null);
        only(falling, "last", last, false);
        only(schedule.equals("polynomial"), "power", power, true);
        if (epochs != null && fractions != null) {
            throw new InvalidKeyException("learningRate.fractions", "and learningRate.epochs are both given; keep one");
        }
        if (fractions != null && fractions.stream().anyMatch(f -> !(f > 0 && f < 1))) {
            throw new InvalidKeyException("learningRate.fractions", "must lie between 0 and 1, but are " + fractions);
        }
        if (warmUp != null) {
            warmUp.validate(initial, runEpochs);
        }
        try {
            toSchedule(runEpochs);
        } catch (IllegalArgumentException e) {
            throw new InvalidKeyException("learningRate", "is not possible: " + e.getMessage());
        }
    }

    private void only(boolean allowed, String key, @Nullable Object value, boolean required) {
        if (!allowed && value != null) {
            throw new InvalidKeyException("learningRate." + key, "has no meaning for schedule '" + schedule + "'");
        }
        if (allowed && required && value == null) {
            throw new InvalidKeyException("learningRate." + key, "is missing; schedule '" + schedule + "' needs it");
        }
    }

    /** The schedule for a run of this length. */
    Schedule toSchedule(double runEpochs) {
        double end = last == null ? 0 : last;
        Schedule schedule = switch (this.schedule) {
            case "constant" -> Schedule.constant(initial);
            case "staircase" -> Schedule.staircase(initial, given(factor), steps(runEpochs));
            case "exponential" -> Schedule.exponential(initial, given(factor));
            case "linear" -> Schedule.linear(initial, end, runEpochs);
            case "polynomial" -> Schedule.polynomial(initial, end, given(power), runEpochs);
            case "cosine" -> Schedule.cosine(initial, end, runEpochs);
            default -> throw new IllegalArgumentException("unknown schedule '" + this.schedule + "'");
        };
        return warmUp == null ? schedule : Schedule.warmUp(warmUp.initial(), warmUp.epochs(), schedule);
    }

    /** The same shape over a run that is so many times as long. */
    LearningRateConfig stretched(double factor) {
        // A staircase's factor is per step, an exponential's per epoch: f^e over E epochs is (f^(1/s))^(s·e) over s·E.
        boolean perEpoch = "exponential".equals(schedule) && this.factor != null; // not yet validated
        return new LearningRateConfig(
                schedule,
                initial,
                last,
                perEpoch ? Double.valueOf(Math.pow(given(this.factor), 1 / factor)) : this.factor,
                epochs == null
                        ? null
                        : epochs.stream().map(e -> tidy(e * factor)).toList(),
                fractions,
                power,
                warmUp == null ? null : warmUp.stretched(factor));
    }

    private double[] steps(double runEpochs) {
        return epochs != null
                ? epochs.stream().mapToDouble(Double::doubleValue).toArray()
                : Objects.requireNonNull(fractions).stream()
                        .mapToDouble(f -> tidy(f * runEpochs))
                        .toArray();
    }

    /** 0.7 of 20 epochs is 14 of them, not 13.999999999999998: a step belongs to the epoch's first update. */
    private static double tidy(double epoch) {
        return Math.round(epoch * 1e9) / 1e9;
    }

    private static double given(@Nullable Double value) {
        return Objects.requireNonNull(value); // validate() saw to it
    }
}
