package io.crescendo.schedule;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** The three schedules that the paper compares, each made from one plan whose learning rate decays. */
public enum PlanVariant {
    /** The learning rate decays, the batch stays. */
    DECAYING,
    /**
     * The first decay becomes growth of the batch, the later ones remain. A smooth schedule has no first decay: its
     * batch grows to the geometric mean of the first batch and the cap, half the way by factors.
     */
    HYBRID,
    /** The batch grows up to the cap in place of every decay. */
    INCREASING;

    /**
     * This variant of a plan that has a length.
     *
     * @param cap the largest batch that growth may reach, in samples
     * @throws IllegalArgumentException if the cap is below the first batch of a plan whose batch is to grow
     */
    public TrainingPlan of(TrainingPlan base, long cap) {
        TrainingPlan decaying = base.decaying();
        return switch (this) {
            case DECAYING -> decaying;
            case HYBRID ->
                decaying.hasDecays() ? decaying.hybrid(1, cap) : decaying.growBatchInstead(halfWay(decaying, cap));
            case INCREASING -> decaying.growBatchInstead(cap);
        };
    }

    /** The name in files and on the command line: decaying, hybrid, increasing. */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }

    /**
     * The variant with this label.
     *
     * @throws IllegalArgumentException if there is none
     */
    public static PlanVariant named(String label) {
        return Arrays.stream(values())
                .filter(variant -> variant.label().equals(label))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("unknown schedule '" + label + "'; known are "
                        + Arrays.stream(values()).map(PlanVariant::label).collect(Collectors.joining(", "))));
    }

    private static long halfWay(TrainingPlan plan, long cap) {
        long first = plan.at(plan.start()).batch();
        return Math.max(first, Math.round(Math.sqrt((double) first * cap)));
    }
}
