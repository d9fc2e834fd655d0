package io.crescendo.bench.peers;

import io.crescendo.bench.Machine;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Interleaved rounds of every engine on every network and batch, or on every ladder of batches; a table of medians, and
 * everything raw as JSON.
 *
 * <p>Leaves a record's {@code config.json}, {@code raw/} and {@code figures/}, up to date after every sample. An engine
 * that fails, takes too long or computes something else is reported and left out of the table.
 */
public final class Comparison {
    /** All engines start from the same numbers; float32 and other orders of summation leave this much. */
    private static final double LOSS_TOLERANCE = 1e-3;

    /** Of a first loss after a hundred updates at the batch before, which let the engines' rounding grow. */
    private static final double LATER_LOSS_TOLERANCE = 1e-2;

    private final Arguments arguments;
    private final Child child;
    private final Machine machine = Machine.here();
    private final Map<String, String> failures = new LinkedHashMap<>();

    /** By network and batch: what the first engine found, and its name. */
    private final Map<String, Losses> losses = new LinkedHashMap<>();

    private record Losses(String engine, List<Double> values) {}

    private record Results(Ceilings ceilings, List<Sample> samples, List<String> failures) {}

    private record Growth(List<GrowthSample> samples, List<String> failures) {}

    private Comparison(Arguments arguments) {
        this.arguments = arguments;
        child = new Child(arguments, Path.of(System.getProperty("peers.natives", "bench/peers/target/natives")));
    }

    /** See {@link Arguments#USAGE}. */
    public static void main(String[] args) throws IOException {
        Arguments arguments;
        try {
            arguments = Arguments.parse(args);
        } catch (IllegalArgumentException e) {
            System.err.println(e.getMessage());
            System.exit(2);
            return;
        }
        Comparison comparison = new Comparison(arguments);
        Folder folder = new Folder(arguments, List.of(args));
        folder.begin(comparison.machine);
        System.out.print(arguments.growth().isEmpty() ? comparison.steps(folder) : comparison.growth(folder));
        if (!comparison.failures.isEmpty()) {
            System.err.println(comparison.failures.size() + " left out:");
            comparison.failures.values().forEach(System.err::println);
            System.exit(1);
        }
    }

    /** One sample; empty lists mean that it came to nothing. */
    private interface Measure {
        void of(String engine, String each, int round) throws IOException;
    }

    private void rounds(List<String> cases, Measure measure) {
        for (int round = 1; round <= arguments.rounds(); round++) {
            for (String each : cases) {
                // Another engine goes first in each round, so that none always finds the machine cool, or warm.
                List<String> engines = new ArrayList<>(arguments.engines());
                Collections.rotate(engines, 1 - round);
                for (String engine : engines) {
                    if (failures.containsKey(engine + " " + each)) {
                        continue;
                    }
                    try {
                        measure.of(engine, each, round);
                    } catch (IOException | DifferentLossException e) {
                        System.err.println(e.getMessage());
                        failures.put(engine + " " + each, String.valueOf(e.getMessage()));
                    }
                }
            }
        }
    }

    private String steps(Folder folder) throws IOException {
        String threads = Integer.toString(arguments.threads());
        Ceilings ceilings = child.run(Ceilings.class, Ceilings.class, "ceilings", List.of(threads));
        List<Sample> samples = new ArrayList<>();
        rounds(arguments.cases(), (engine, each, round) -> {
            if (!arguments.measures(engine, each)) {
                return;
            }
            String network = Arguments.network(each);
            String batch = Arguments.batches(each);
            Sample sample = child.run(
                    Sample.class,
                    Sample.class,
                    engine,
                    List.of(
                            engine,
                            network,
                            batch,
                            Integer.toString(round),
                            threads,
                            Double.toString(arguments.seconds())));
            requireSameLosses(engine, each, sample.firstLosses(), LOSS_TOLERANCE);
            System.err.printf(
                    Locale.ROOT,
                    "round %d  %-14s %-17s batch %5s %8.1f images/s%n",
                    round,
                    engine,
                    network,
                    batch,
                    sample.imagesPerSecond());
            samples.add(sample);
            folder.keep(new Results(ceilings, samples, said()), table(ceilings, samples));
        });
        folder.keep(new Results(ceilings, samples, said()), table(ceilings, samples));
        folder.draw(samples);
        return table(ceilings, samples);
    }

    private String table(Ceilings ceilings, List<Sample> samples) {
        return new Table(arguments, machine, ceilings, samples).text();
    }

    private String growth(Folder folder) throws IOException {
        List<GrowthSample> samples = new ArrayList<>();
        rounds(arguments.growth(), (engine, each, round) -> {
            GrowthSample sample = child.run(
                    GrowthSample.class,
                    GrowthSample.class,
                    engine,
                    List.of(
                            engine,
                            Arguments.network(each),
                            Arguments.batches(each),
                            Integer.toString(round),
                            Integer.toString(arguments.threads())));
            double tolerance = LOSS_TOLERANCE;
            for (GrowthSample.Stage stage : sample.stages()) {
                String what = each + ", at batch " + stage.batch();
                requireSameLosses(engine, what, List.of(stage.firstLoss()), tolerance);
                tolerance = LATER_LOSS_TOLERANCE;
                System.err.printf(
                        Locale.ROOT,
                        "round %d  %-24s %-17s batch %5d  first %9.1f ms, then %9.1f ms%n",
                        round,
                        engine,
                        sample.network(),
                        stage.batch(),
                        stage.firstMillis(),
                        stage.steadyMillis());
            }
            samples.add(sample);
            folder.keep(new Growth(samples, said()), new GrowthTable(arguments, machine, samples).text());
        });
        String table = new GrowthTable(arguments, machine, samples).text();
        folder.keep(new Growth(samples, said()), table);
        return table;
    }

    private List<String> said() {
        return List.copyOf(failures.values());
    }

    private static final class DifferentLossException extends RuntimeException {
        private static final long serialVersionUID = 1;

        DifferentLossException(String message) {
            super(message);
        }
    }

    /** Engines that compute something else are not compared. */
    private void requireSameLosses(String engine, String what, List<Double> mine, double tolerance) {
        Losses first = losses.putIfAbsent(what, new Losses(engine, mine));
        for (int i = 0; first != null && i < mine.size(); i++) {
            double theirs = first.values.get(i);
            if (!(Math.abs(mine.get(i) - theirs) <= tolerance * Math.abs(theirs))) {
                throw new DifferentLossException(engine + " and " + first.engine + " disagree on " + what + ": loss "
                        + mine.get(i) + " and " + theirs + " after " + i
                        + " updates; what computes something else cannot be compared");
            }
        }
    }
}
