package io.crescendo.bench.soak;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SoakTest {
    /** More sizes than programs are kept, so that some are released and prepared again; a few in micro-batches. */
    @Test
    void aFewChangesGiveWhatAFreshProcessGives(@TempDir Path out) throws IOException, InterruptedException {
        long seed = new Random().nextInt();
        SoakOptions options = new SoakOptions(Map.of(
                "changes",
                "30",
                "batches",
                "20",
                "largest",
                "40",
                "ghostBatch",
                "4",
                "budgetKiB",
                "1536",
                "fresh",
                "1",
                "seed",
                Long.toString(seed)));
        ByteArrayOutputStream log = new ByteArrayOutputStream();
        List<String> faults = new Soak(options, out, new PrintStream(log, true, StandardCharsets.UTF_8)).run();
        String said = "seed " + seed + ":\n" + log.toString(StandardCharsets.UTF_8);
        assertEquals(List.of(), faults, said);
        List<String> rows = Files.readAllLines(out.resolve("raw/changes.csv"));
        assertEquals(31, rows.size(), said);
        assertTrue(rows.stream().skip(1).anyMatch(row -> !row.split(",", -1)[2].equals("1")), said);
        assertEquals(2, Files.readAllLines(out.resolve("raw/fresh.csv")).size(), said);
    }

    @Test
    void everyChangeIsAChange() {
        SoakOptions options = new SoakOptions(Map.of("changes", "500", "seed", "5"));
        List<Integer> sequence = options.sequence();
        assertEquals(500, sequence.size());
        assertEquals(40, new HashSet<>(sequence).size());
        for (int i = 1; i < sequence.size(); i++) {
            assertTrue(!sequence.get(i).equals(sequence.get(i - 1)), "change " + i);
        }
    }

    @Test
    void anUnknownOptionIsNamed() {
        IllegalArgumentException fault =
                assertThrows(IllegalArgumentException.class, () -> new SoakOptions(Map.of("batch", "5")));
        String message = String.valueOf(fault.getMessage());
        assertTrue(message.contains("'batch'") && message.contains("batches"), message);
    }
}
