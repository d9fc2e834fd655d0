package io.crescendo.bench.suite;

import io.crescendo.backend.Backend;
import io.crescendo.backend.Feed;
import io.crescendo.bench.Device;
import io.crescendo.bench.FixedBatch;
import io.crescendo.bench.ReferenceCheck;
import io.crescendo.bench.TrainingStep;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import java.io.IOException;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * The time of a step at many batches: it should be a straight line, without a cliff at any power of two or odd size.
 *
 * <p>The line is a + c·batch, fitted by least squares of relative errors, so that small batches count as much as large
 * ones; a is what a step costs however small it is.
 */
public final class Sweep {
    static final String NAME = "Sweep.step";
    static final int LARGEST = 4096;
    static final int ROUNDS = 3;

    private Sweep() {}

    /**
     * What is swept.
     *
     * @param largest batch
     */
    record Setting(String network, String device, String precision, int threads, int ghostBatch, int largest) {
        static final Set<String> NAMES = Set.of("network", "device", "precision", "threads", "ghostBatch", "largest");

        /**
         * Takes one value of each parameter, or the usual one.
         *
         * @throws IllegalArgumentException naming a parameter, its value and what it may be
         */
        static Setting of(Map<String, List<String>> params) {
            String network = one(params, "network", "fashion-cnn");
            ParamValues.network(network);
            return new Setting(
                    network,
                    one(params, "device", "cpu"),
                    one(params, "precision", "fp32"),
                    number(params, "threads", 0, 0),
                    number(params, "ghostBatch", 0, 0),
                    number(params, "largest", LARGEST, 2)); // no line goes through fewer than two batches
        }

        private static int number(Map<String, List<String>> params, String name, int otherwise, int least) {
            return ParamValues.wholeNumber(name, one(params, name, Integer.toString(otherwise)), least);
        }

        private static String one(Map<String, List<String>> params, String name, String otherwise) {
            List<String> values = params.getOrDefault(name, List.of(otherwise));
            if (values.size() != 1) {
                throw new IllegalArgumentException("--param " + name + "=" + String.join(",", values)
                        + ": the sweep takes one value; run part sweep by itself, once for each");
            }
            return values.get(0);
        }
    }

    /**
     * A straight line.
     *
     * @param fixedMillis a
     * @param millisPerSample c
     */
    public record Line(double fixedMillis, double millisPerSample) {
        double at(double batch) {
            return fixedMillis + millisPerSample * batch;
        }

        /** The line with the least sum of ((a + c·batch − t) / t)². */
        static Line through(List<Measured> points) {
            double ww = 0;
            double wb = 0;
            double bb = 0;
            double w1 = 0;
            double b1 = 0;
            for (Measured point : points) {
                double weight = 1 / point.median();
                double batch = Double.parseDouble(point.param("batch")) * weight;
                ww += weight * weight;
                wb += weight * batch;
                bb += batch * batch;
                w1 += weight;
                b1 += batch;
            }
            double determinant = ww * bb - wb * wb;
            return new Line((w1 * bb - b1 * wb) / determinant, (ww * b1 - wb * w1) / determinant);
        }
    }

    /** Powers of two up to the largest batch, their neighbours, and odd sizes in between. */
    static List<Integer> batches(int largest) {
        TreeSet<Integer> batches = new TreeSet<>(List.of(3, 5, 6, 7, 9, 10, 11, 13));
        for (int power = 1; power <= largest; power *= 2) {
            batches.addAll(List.of(power, power + 1, power * 5 / 4 | 1, power * 3 / 2, power * 7 / 4 | 1));
            batches.add(Math.max(1, power - 1));
        }
        return batches.headSet(largest, true).stream().toList();
    }

    /**
     * Measures all batches in rounds, so that a disturbance of some seconds does not fall on one of them; the first
     * round is finished in any case, the others if there is time.
     *
     * <p>Before anything is timed, the step is compared with the reference backend's, and at every batch ten updates
     * must lower the loss.
     *
     * @param minutes in all
     * @param keeper gets all batches after every round
     */
    static List<Measured> measure(Setting of, double minutes, PrintStream progress, JmhRuns.Keeper keeper)
            throws IOException {
        Network network = TrainingStep.network(of.network);
        List<Integer> batches = batches(of.largest);
        List<List<Double>> millis = new ArrayList<>();
        batches.forEach(batch -> millis.add(new ArrayList<>()));
        double budget = 60e9 * minutes / ROUNDS / batches.size();
        long end = System.nanoTime() + (long) (60e9 * minutes);
        List<Measured> measured = List.of();
        try (Backend backend = Device.open(of.device, of.threads, of.precision)) {
            ReferenceCheck.step(backend, of.precision, network, 4, 2);
            FixedBatch largest = FixedBatch.noise(network, batches.get(batches.size() - 1), 7);
            long took = 0;
            for (int round = 0; round < ROUNDS && (round == 0 || System.nanoTime() + took <= end); round++) {
                progress.printf(Locale.ROOT, "sweep, round %d of %d%n", round + 1, ROUNDS);
                long start = System.nanoTime();
                for (int i = 0; i < batches.size(); i++) {
                    int batch = batches.get(i);
                    try (TrainingStep step = new TrainingStep(
                            backend, network, batch, of.ghostBatch, Optimizer.momentum(TrainingStep.WEIGHT_DECAY))) {
                        Feed feed = largest.part(0, batch);
                        if (round == 0) {
                            step.assertLearns(feed);
                        }
                        millis.get(i).addAll(time(step, feed, (long) budget));
                    }
                }
                took = System.nanoTime() - start;
                measured = measured(of, batches, millis);
                keeper.keep(measured);
            }
        }
        return measured;
    }

    private static List<Measured> measured(Setting of, List<Integer> batches, List<List<Double>> millis) {
        List<Measured> measured = new ArrayList<>();
        for (int i = 0; i < batches.size(); i++) {
            measured.add(Measured.of(
                    Part.SWEEP.label(),
                    NAME,
                    Map.of(
                            "network",
                            of.network,
                            "batch",
                            Integer.toString(batches.get(i)),
                            "ghostBatch",
                            Integer.toString(of.ghostBatch),
                            "device",
                            of.device,
                            "precision",
                            of.precision,
                            "threads",
                            Integer.toString(of.threads)),
                    "ms/op",
                    millis.get(i),
                    Map.of()));
        }
        return measured;
    }

    /** At least three steps, then as many as fit; the first two are not counted. */
    private static List<Double> time(TrainingStep step, Feed feed, long nanos) {
        long until = System.nanoTime() + nanos;
        step.run(feed);
        step.run(feed);
        List<Double> millis = new ArrayList<>();
        do {
            long start = System.nanoTime();
            step.run(feed);
            millis.add((System.nanoTime() - start) / 1e6);
        } while (millis.size() < 3 || (System.nanoTime() < until && millis.size() < 100));
        return millis;
    }
}
