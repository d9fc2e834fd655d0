package io.crescendo.bench.peers;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import io.crescendo.bench.Machine;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Interleaved rounds of every engine on every network and batch; a table of medians, and everything raw as JSON.
 *
 * <p>Writes {@code machine.json}, {@code results.json} (arguments, ceilings, every sample) and {@code table.md}. An
 * engine that fails is reported with its last words and left out of the table.
 */
public final class Comparison {
    private static final Gson JSON =
            new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create();

    /** All engines start from the same numbers; float32 and other orders of summation leave this much. */
    private static final double LOSS_TOLERANCE = 1e-3;

    private Comparison() {}

    private record Results(List<String> command, Ceilings ceilings, List<Sample> samples, List<String> failures) {}

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
        Files.createDirectories(arguments.folder());
        Machine machine = Machine.here();
        Files.writeString(arguments.folder().resolve("machine.json"), JSON.toJson(machine) + "\n");
        Child child = new Child(arguments, Path.of(System.getProperty("peers.natives", "bench/peers/target/natives")));
        String threads = Integer.toString(arguments.threads());
        Ceilings ceilings = child.run(Ceilings.class, Ceilings.class, "ceilings", List.of(threads));
        List<Sample> samples = new ArrayList<>();
        Map<String, String> failures = new LinkedHashMap<>();
        for (int round = 1; round <= arguments.rounds(); round++) {
            for (String each : arguments.cases()) {
                String network = each.substring(0, each.lastIndexOf(':'));
                String batch = each.substring(each.lastIndexOf(':') + 1);
                // Another engine goes first in each round, so that none always finds the machine cool, or warm.
                List<String> engines = new ArrayList<>(arguments.engines());
                Collections.rotate(engines, 1 - round);
                for (String engine : engines) {
                    if (failures.containsKey(engine + " " + each)) {
                        continue;
                    }
                    try {
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
                        System.err.printf(
                                Locale.ROOT,
                                "round %d  %-14s %-17s batch %5s %8.1f images/s%n",
                                round,
                                engine,
                                network,
                                batch,
                                sample.imagesPerSecond());
                        samples.add(sample);
                    } catch (IOException e) {
                        System.err.println(e.getMessage());
                        failures.put(engine + " " + each, String.valueOf(e.getMessage()));
                    }
                    // After each sample: a run that is interrupted keeps what it measured.
                    Files.writeString(
                            arguments.folder().resolve("results.json"),
                            JSON.toJson(new Results(List.of(args), ceilings, samples, List.copyOf(failures.values())))
                                    + "\n");
                }
            }
        }
        requireSameLosses(samples);
        String table = new Table(arguments, machine, ceilings, samples).text();
        Files.writeString(arguments.folder().resolve("table.md"), table);
        System.out.print(table);
    }

    /** Engines that compute something else are not compared. */
    private static void requireSameLosses(List<Sample> samples) {
        Map<String, Sample> first = new LinkedHashMap<>();
        for (Sample sample : samples) {
            Sample other = first.putIfAbsent(sample.network() + " " + sample.batch(), sample);
            for (int i = 0; other != null && i < sample.firstLosses().size(); i++) {
                double mine = sample.firstLosses().get(i);
                double theirs = other.firstLosses().get(i);
                if (!(Math.abs(mine - theirs) <= LOSS_TOLERANCE * Math.abs(theirs))) {
                    throw new IllegalStateException(sample.engine() + " and " + other.engine() + " disagree on "
                            + sample.network() + ", batch " + sample.batch() + ": loss " + mine + " and " + theirs
                            + " after " + i + " updates; what computes something else cannot be compared");
                }
            }
        }
    }
}
