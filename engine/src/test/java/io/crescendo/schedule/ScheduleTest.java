package io.crescendo.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;

class ScheduleTest {
    private static final long N = 1000;

    private static double at(Schedule schedule, double epoch) {
        return schedule.at(Progress.atEpoch(epoch, N));
    }

    @Test
    void valuesFollowTheirFormulas() {
        Schedule staircase = Schedule.staircase(0.1, 0.2, 4.5, 6);
        assertEquals(0.1, at(staircase, 4.499));
        assertEquals(0.1 * 0.2, at(staircase, 4.5));
        assertEquals(0.004, at(staircase, 6), 1e-17);
        assertEquals(0.25, at(Schedule.exponential(1, 0.5), 2), 1e-15);
        assertEquals(0.55, at(Schedule.linear(1, 0.1, 10), 5), 1e-15);
        assertEquals(0.25, at(Schedule.polynomial(1, 0, 2, 10), 5), 1e-15);
        assertEquals(0.5, at(Schedule.cosine(1, 0, 10), 5), 1e-15);
        assertEquals(1, at(Schedule.cosine(1, 0, 10), 0));
        assertEquals(0.2, at(Schedule.cosine(1, 0.2, 10), 12));
        assertEquals(0.3, at(Schedule.constant(0.1).times(3), 7), 1e-15);
    }

    @Test
    void aWarmUpRisesToItsTargetWithoutMovingTheTargetsEpochs() {
        Schedule schedule = Schedule.warmUp(0.1, 5, Schedule.staircase(3.2, 0.1, 30));
        assertEquals(0.1, at(schedule, 0));
        assertEquals(0.1 + 3.1 / 2, at(schedule, 2.5), 1e-15);
        assertEquals(3.2, at(schedule, 5));
        assertEquals(3.2, at(schedule, 29.999));
        assertEquals(0.32, at(schedule, 30), 1e-15);
        assertEquals(List.of(5.0, 30.0), schedule.boundaries());
    }

    @Test
    void thenStartsTheNextSchedulesClockAtZero() {
        Schedule schedule =
                Schedule.constant(0.1).then(4, Schedule.linear(0.1, 0, 10)).then(9, Schedule.constant(7));
        assertEquals(0.1, at(schedule, 3.999));
        assertEquals(0.1, at(schedule, 4));
        assertEquals(0.06, at(schedule, 8), 1e-15);
        assertEquals(7, at(schedule, 9));
        assertEquals(List.of(4.0, 9.0), schedule.boundaries());
    }

    @RepeatedTest(50)
    void whereAScheduleSaysThatItIsHeldItsValueStays() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        Schedule schedule = RandomPlans.learningRate(random, 10);
        for (int i = 0; i < 200; i++) {
            Progress now = new Progress(random.nextInt((int) (12 * N)), 0, N);
            double held = schedule.heldUntil(now);
            assertTrue(held >= now.epochs(), () -> "seed " + seed);
            // A schedule on a shifted clock may switch a sample before the epoch it reports.
            for (long s = now.samples(); s < 12 * N && s < held * N - 2; s += 1 + random.nextInt(100)) {
                assertEquals(schedule.at(now), schedule.at(new Progress(s, 0, N)), "seed " + seed);
            }
        }
        List<Double> boundaries = schedule.boundaries();
        assertEquals(boundaries.stream().sorted().distinct().toList(), boundaries, "increasing, seed " + seed);
    }

    @RepeatedTest(50)
    void theMomentOfAnEpochIsTheFirstAtOrAfterIt() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        long samplesPerEpoch = 1 + random.nextLong(1L << (1 + random.nextInt(40)));
        double epoch = random.nextBoolean() ? random.nextInt(1000) / 10.0 : 100 * random.nextDouble();
        Progress moment = Progress.atEpoch(epoch, samplesPerEpoch);
        assertTrue(moment.epochs() >= epoch, () -> "seed " + seed);
        assertTrue(
                moment.samples() == 0 || new Progress(moment.samples() - 1, 0, samplesPerEpoch).epochs() < epoch,
                () -> "seed " + seed);
    }

    @Test
    void progressDerivesItsEpochsFromSamples() {
        Progress progress = Progress.start(100).afterUpdate(70).afterUpdate(55);
        assertEquals(new Progress(125, 2, 100), progress);
        assertEquals(1.25, progress.epochs());
        assertEquals(1, progress.epoch());
        assertEquals(25, progress.samplesIntoEpoch());
        assertEquals(75, progress.samplesLeftInEpoch());
        assertEquals(new Progress(200, 2, 100), progress.atNextEpoch());
        assertThrows(IllegalArgumentException.class, () -> progress.afterUpdate(0));
        assertThrows(IllegalArgumentException.class, () -> Progress.start(0));
        assertThrows(IllegalArgumentException.class, () -> new Progress(-1, 0, 5));
        assertThrows(IllegalArgumentException.class, () -> Progress.atEpoch(Double.NaN, 5));
    }
}
