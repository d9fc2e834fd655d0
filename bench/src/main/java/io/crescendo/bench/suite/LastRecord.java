package io.crescendo.bench.suite;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.crescendo.bench.Machine;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * An earlier record of the suite from the same kind of machine.
 *
 * @param name of its folder
 * @param measured what it holds
 */
record LastRecord(String name, List<Measured> measured) {
    /** The newest that holds at least one of these measurements. */
    static Optional<LastRecord> find(Path records, Machine machine, List<Measured> now) throws IOException {
        if (!Files.isDirectory(records)) {
            return Optional.empty();
        }
        List<Path> folders;
        try (Stream<Path> children = Files.list(records)) {
            // Names begin with the date.
            folders = children.sorted(
                            Comparator.comparing(path -> path.getFileName().toString(), Comparator.reverseOrder()))
                    .toList();
        }
        ObjectMapper mapper = new ObjectMapper();
        for (Path folder : folders) {
            Path results = folder.resolve("raw/suite.json");
            Path where = folder.resolve("raw/machine.json");
            if (!Files.isRegularFile(results)
                    || !Files.isRegularFile(where)
                    || !mapper.readValue(where.toFile(), Machine.class).isLike(machine)) {
                continue;
            }
            LastRecord record = new LastRecord(
                    folder.getFileName().toString(),
                    Arrays.asList(mapper.readValue(results.toFile(), Measured[].class)));
            if (now.stream().anyMatch(one -> record.speed(one).isPresent())) {
                return Optional.of(record);
            }
        }
        return Optional.empty();
    }

    /** How many times as fast a measurement is as it was, if it was recorded. */
    Optional<Double> speed(Measured now) {
        return measured.stream().filter(now::repeats).findFirst().map(now::speedOver);
    }
}
