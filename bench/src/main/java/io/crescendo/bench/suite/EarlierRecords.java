package io.crescendo.bench.suite;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.crescendo.bench.Machine;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** What records from the same kind of machine hold, the newest first. */
final class EarlierRecords {
    private final List<Earlier> records;

    private EarlierRecords(List<Earlier> records) {
        this.records = records;
    }

    /** One record; {@code sameDevice} is about measurements elsewhere than on the processor. */
    private record Earlier(String name, List<Measured> measured, boolean sameDevice) {
        Optional<Measured> find(Measured now) {
            return measured.stream()
                    .filter(now::repeats)
                    .filter(then -> sameDevice || isOnProcessor(then))
                    .findFirst();
        }

        private static boolean isOnProcessor(Measured measured) {
            return measured.params().getOrDefault("device", "cpu").equals("cpu");
        }
    }

    /**
     * How a measurement compares with the newest record of the same.
     *
     * @param record its name
     * @param speed above 1 is faster than it was
     */
    record Comparison(String record, double speed) {}

    /** No records. */
    static EarlierRecords none() {
        return new EarlierRecords(List.of());
    }

    /**
     * Reads every record that has a {@code raw/suite.json}.
     *
     * @param folder of records; may be absent
     * @param machine that measures now: others' records are left out
     * @param device what a backend says of its device now, name first
     */
    static EarlierRecords read(Path folder, Machine machine, String device) throws IOException {
        if (!Files.isDirectory(folder)) {
            return none();
        }
        List<Path> children;
        try (Stream<Path> all = Files.list(folder)) {
            // Names begin with the date.
            children = all.sorted(
                            Comparator.comparing(path -> path.getFileName().toString(), Comparator.reverseOrder()))
                    .toList();
        }
        ObjectMapper mapper = new ObjectMapper();
        List<Earlier> records = new ArrayList<>();
        for (Path child : children) {
            Path results = child.resolve("raw/suite.json");
            Path where = child.resolve("raw/machine.json");
            Path config = child.resolve("config.json");
            if (Files.isRegularFile(results)
                    && Files.isRegularFile(where)
                    && mapper.readValue(where.toFile(), Machine.class).isLike(machine)) {
                String then = Files.isRegularFile(config)
                        ? mapper.readTree(config.toFile()).path("device").asText()
                        : "";
                records.add(new Earlier(
                        child.getFileName().toString(),
                        Arrays.asList(mapper.readValue(results.toFile(), Measured[].class)),
                        name(then).equals(name(device))));
            }
        }
        return new EarlierRecords(List.copyOf(records));
    }

    /** "NVIDIA H200, 132 multiprocessors, …" is called "NVIDIA H200". */
    private static String name(String device) {
        return device.split(",", 2)[0];
    }

    /** Against the newest record that holds the same measurement. */
    Optional<Comparison> of(Measured now) {
        for (Earlier record : records) {
            Optional<Measured> then = record.find(now);
            if (then.isPresent()) {
                return Optional.of(new Comparison(record.name, now.speedOver(then.get())));
            }
        }
        return Optional.empty();
    }
}
