package io.crescendo.schedule;

import java.util.Random;

/** Random but valid plans of all shapes, small enough to be walked through update by update. */
final class RandomPlans {
    private RandomPlans() {}

    /** A learning rate that stays positive over the given epochs. */
    static Schedule learningRate(Random random, double epochs) {
        double initial = 0.01 + random.nextDouble();
        double part = epochs * (0.2 + 0.6 * random.nextDouble());
        Schedule base = switch (random.nextInt(9)) {
            case 0 -> Schedule.constant(initial);
            case 1 -> Schedule.staircase(initial, 0.1 + 0.8 * random.nextDouble(), increasing(random, epochs));
            case 2 -> Schedule.exponential(initial, 0.5 + 0.5 * random.nextDouble());
            case 3 -> Schedule.linear(initial, initial * 0.05, epochs);
            case 4 -> Schedule.cosine(initial, 0, epochs + 1);
            case 5 -> Schedule.polynomial(initial, initial / 100, 0.5 + 2 * random.nextDouble(), part);
            case 6 -> Schedule.constant(initial).then(part, Schedule.linear(initial, initial / 9, epochs));
            case 7 ->
                Schedule.staircase(initial, 0.5, part / 3, part / 2)
                        .then(part, Schedule.staircase(initial / 8, 0.3, increasing(random, epochs)));
            default -> progress -> initial / (1 + progress.epochs());
        };
        return random.nextInt(3) == 0 ? Schedule.warmUp(initial / 20, part / 4, base) : base;
    }

    /** Whole, half and arbitrary epochs. */
    static double[] increasing(Random random, double epochs) {
        double[] boundaries = new double[1 + random.nextInt(3)];
        double epoch = 0;
        for (int i = 0; i < boundaries.length; i++) {
            double step = epochs / 3 * random.nextDouble() + 0.01;
            epoch += random.nextInt(3) == 0 ? step : Math.ceil(step) / (1 + random.nextInt(2));
            boundaries[i] = epoch;
        }
        return boundaries;
    }

    /** A stated plan with a length, not yet converted. */
    static TrainingPlan stated(Random random) {
        double epochs = random.nextInt(3) == 0 ? 1 + 9 * random.nextDouble() : 1 + random.nextInt(10);
        long samples = 100L + random.nextInt(3000);
        long batch = 1L + random.nextInt((int) (samples / 40) + 1);
        Schedule momentum = random.nextInt(4) == 0
                ? Schedule.linear(0.5, 0.9, epochs / 2)
                : Schedule.constant(0.9 * random.nextDouble());
        Schedule batches = random.nextInt(4) == 0
                ? Schedule.staircase((double) batch, 1 + random.nextInt(3), increasing(random, epochs))
                : Schedule.constant((double) batch);
        // Three growths by at most 3 of at most N/40 stay below N.
        return TrainingPlan.of(learningRate(random, epochs), batches, momentum)
                .ragged(random.nextBoolean() ? RaggedEpoch.DROP : RaggedEpoch.KEEP)
                .forEpochs(epochs, samples);
    }

    /** Random conversions, capped by the training set. */
    static TrainingPlan converted(Random random, TrainingPlan stated) {
        TrainingPlan plan = stated;
        long first = plan.at(plan.start()).batch();
        long room = plan.samplesPerEpoch() - first;
        if (random.nextInt(4) > 0) {
            plan = plan.growBatchInstead(first + (long) (random.nextDouble() * room / (1 + random.nextInt(10))));
            if (random.nextInt(3) == 0 && plan.hasDecays()) {
                plan = plan.hybrid(1);
            }
        }
        if (random.nextInt(3) == 0) {
            plan = plan.quantum(1L + random.nextInt(50));
        }
        if (random.nextInt(3) == 0) {
            plan = plan.scaleLearningRate(0.3 + 0.6 * random.nextDouble());
        }
        if (random.nextInt(3) == 0) {
            // Never a higher one than stated: the first batch would rise, perhaps above the cap.
            double most = Math.min(0.1, stated.at(stated.start()).momentum());
            plan = plan.withMomentum(most * random.nextDouble());
        }
        return plan;
    }
}
