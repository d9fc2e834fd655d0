package io.crescendo.bench.soak;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;

/**
 * What a soak runs.
 *
 * @param network a name {@link io.crescendo.models.Models} knows
 * @param device the backend
 * @param threads processor threads, 0 for all
 * @param changes how often the batch changes
 * @param batches how many different batches they choose from
 * @param largest the largest batch
 * @param ghostBatch samples per batch-norm statistic
 * @param budgetKiB what the workspace may hold; larger batches run in micro-batches
 * @param fresh how many of the batches are repeated in processes of their own
 * @param seed draws the batches and their order
 */
public record SoakOptions(
        String network,
        String device,
        int threads,
        int changes,
        int batches,
        int largest,
        int ghostBatch,
        long budgetKiB,
        int fresh,
        long seed) {
    private static final Set<String> NAMES = new TreeSet<>(List.of(
            "network",
            "device",
            "threads",
            "changes",
            "batches",
            "largest",
            "ghostBatch",
            "budgetKiB",
            "fresh",
            "seed"));

    /**
     * Takes the options given by name and the usual values for the others.
     *
     * @throws IllegalArgumentException naming an unknown name or a value that is no number
     */
    public SoakOptions(Map<String, String> given) {
        this(
                given.getOrDefault("network", "fashion-cnn"),
                given.getOrDefault("device", "cpu"),
                number(given, "threads", 0),
                number(given, "changes", 1000),
                number(given, "batches", 40),
                number(given, "largest", 256),
                number(given, "ghostBatch", 16),
                number(given, "budgetKiB", 65_536),
                number(given, "fresh", 40),
                number(given, "seed", 1));
        given.keySet().stream()
                .filter(name -> !NAMES.contains(name))
                .findFirst()
                .ifPresent(name -> {
                    throw new IllegalArgumentException("unknown option '" + name + "'; known are " + NAMES);
                });
    }

    private static int number(Map<String, String> given, String name, int usual) {
        String value = given.getOrDefault(name, Integer.toString(usual));
        try {
            return Integer.parseInt(value);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(name + "=" + value + ": expected a whole number", e);
        }
    }

    /** The batch after each change: the seed draws the batches, evenly by their logarithm, and then the order. */
    List<Integer> sequence() {
        Random random = new Random(seed);
        Set<Integer> distinct = new TreeSet<>();
        while (distinct.size() < Math.min(batches, largest)) {
            distinct.add((int) Math.exp(random.nextDouble() * Math.log(largest + 1.0)));
        }
        List<Integer> choice = List.copyOf(distinct);
        List<Integer> sequence = new ArrayList<>();
        while (sequence.size() < changes) {
            int batch = choice.get(random.nextInt(choice.size()));
            if (sequence.isEmpty() || batch != sequence.get(sequence.size() - 1)) {
                sequence.add(batch);
            }
        }
        return sequence;
    }

    /** As {@link #SoakOptions(Map)} reads them. */
    List<String> arguments() {
        Map<String, Object> values = new HashMap<>(Map.of(
                "network", network, "device", device, "threads", threads, "changes", changes, "batches", batches));
        values.putAll(Map.of(
                "largest", largest, "ghostBatch", ghostBatch, "budgetKiB", budgetKiB, "fresh", fresh, "seed", seed));
        return NAMES.stream().map(name -> name + "=" + values.get(name)).toList();
    }
}
