package io.crescendo.bench.records;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RecordsTest {
    private static final String COMPLETE = """
            # Fashion batches
            ## Claim
            One thing is faster.
            ## Command
            ```
            bench/run --part step
            ```
            ## Machine
            Two cores.
            ## Versions
            JDK 17
            ## Seeds
            1, 2, 3
            ## Numbers
            | batch | images/s |
            |---|---:|
            | 32 | 7,059 |
            ## Figures
            ![throughput](figures/throughput.svg)
            ## What failed
            Nothing.
            """;

    @TempDir
    Path scratch;

    /** The repository: tests run in the module's folder, or wherever an editor starts them. */
    private static Path root() {
        for (Path folder = Path.of("").toAbsolutePath(); folder != null; folder = folder.getParent()) {
            if (Files.isDirectory(folder.resolve("bench/records"))) {
                return folder;
            }
        }
        throw new IllegalStateException("no folder above " + Path.of("").toAbsolutePath() + " holds bench/records");
    }

    @Test
    void everyRecordIsComplete() throws IOException {
        List<String> faults = new ArrayList<>();
        List<Path> records = RecordFolder.all(root().resolve("bench/records"));
        assertFalse(records.isEmpty(), "no record at all: looked in the wrong folder?");
        for (Path record : records) {
            faults.addAll(RecordFolder.faults(record));
        }
        assertEquals(List.of(), faults);
    }

    @Test
    void everyResultInTheReadmeHasARecord() throws IOException {
        assertEquals(List.of(), ResultsTable.faults(root().resolve("README.md"), root().resolve("bench/records")));
    }

    @Test
    void aReadmeWithoutResultsIsAFault() throws IOException {
        Path readme = scratch.resolve("README.md");
        Files.writeString(readme, "# X\n\n## Result\n\n| a | b |\n|---|---|\n| 1 | 2 |\n");
        assertTrue(ResultsTable.faults(readme, scratch).toString().contains("'Results'"));
    }

    @Test
    void aCompleteRecordHasNoFaults() throws IOException {
        assertEquals(List.of(), RecordFolder.faults(record("2026-01-31_fashion-batches", UnaryOperator.identity())));
    }

    @Test
    void whatIsMissingIsNamed() throws IOException {
        Path record = record("2026-01-31_fashion-batches", UnaryOperator.identity());
        Files.delete(record.resolve("config.json"));
        Files.delete(record.resolve("raw/suite.json"));
        Files.writeString(record.resolve("figures/other.svg"), "<svg/>");
        assertFaults(record, "config.yaml", "raw/", "other.svg");
    }

    @Test
    void theTextIsChecked() throws IOException {
        assertFaults(record("2026-01-31_a", t -> t.replace("## Seeds\n1, 2, 3\n", "")), "sections");
        assertFaults(record("2026-01-31_b", t -> t.replace("1, 2, 3", "")), "'Seeds' is empty");
        assertFaults(record("2026-01-31_c", t -> t.replace("```", "")), "code block");
        assertFaults(record("2026-01-31_d", t -> t.replace("7,059", "many").replace("32", "some")), "no table");
        assertFaults(record("2026-01-31_e", t -> t.replace("throughput.svg", "none.svg")), "none.svg", "not shown");
        assertFaults(record("2026-01-31_f", t -> t.replace("Two cores.", "TODO")), "placeholder");
        assertFaults(record("2026-02-30_g", UnaryOperator.identity()), "no date");
        assertFaults(record("fashion", UnaryOperator.identity()), "YYYY-MM-DD_name");
    }

    @Test
    void aRecordWithoutFiguresSaysWhy() throws IOException {
        UnaryOperator<String> reason = t -> t.replace("![throughput](figures/throughput.svg)", "None: one number.");
        Path record = record("2026-01-31_h", reason);
        assertFaults(record, "not shown");
        Files.delete(record.resolve("figures/throughput.svg"));
        assertEquals(List.of(), RecordFolder.faults(record));
    }

    @Test
    void quotedNumbersMustBeRecorded() throws IOException {
        record("2026-01-31_fashion-batches", UnaryOperator.identity());
        String link = "[2026-01-31](bench/records/2026-01-31_fashion-batches/)";
        assertEquals(List.of(), results("| FashionCnn, float32, batch 32 | 7059 images/s | " + link + " |"));
        assertEquals(
                List.of(), results("| batch 32 | 7,059 | [r](bench/records/2026-01-31_fashion-batches/README.md) |"));
        assertTrue(results("| batch 32 | 7060 | " + link + " |").toString().contains("7060"));
        assertTrue(results("| batch 32 | 7059 | |").toString().contains("no link"));
        assertTrue(results("| batch 32 | 7059 | [r](bench/records/2026-01-30_other) |")
                .toString()
                .contains("no record 2026-01-30_other"));
    }

    @Test
    void numbersAreReadAsPeopleReadThem() {
        assertEquals(
                Set.of("7059", "1.92", "16", "4", "95"),
                ResultsTable.numbers("WRN-16-4, float32, H200: 7,059 images/s, 1.92x (95%)"));
    }

    private List<String> results(String row) throws IOException {
        Path readme = scratch.resolve("README.md");
        Files.writeString(
                readme,
                "# X\n\n| other | 5 |\n|---|---|\n| 1 | 2 |\n\n## Results\n\n| a | b | record |\n" + "|---|---:|---|\n"
                        + row + "\n\n## Next\n\n| 9 | 9 |\n|---|---|\n| 9 | 9 |\n");
        return ResultsTable.faults(readme, scratch.resolve("records"));
    }

    private Path record(String name, UnaryOperator<String> change) throws IOException {
        Path record = scratch.resolve("records").resolve(name);
        Files.createDirectories(record.resolve("raw"));
        Files.createDirectories(record.resolve("figures"));
        Files.writeString(record.resolve("README.md"), change.apply(COMPLETE));
        Files.writeString(record.resolve("config.json"), "{}\n");
        Files.writeString(record.resolve("raw/suite.json"), "[]\n");
        Files.writeString(record.resolve("figures/throughput.svg"), "<svg/>");
        return record;
    }

    private static void assertFaults(Path record, String... parts) throws IOException {
        String faults = String.join("\n", RecordFolder.faults(record));
        for (String part : parts) {
            assertTrue(faults.contains(part), "expected a fault with '" + part + "', got:\n" + faults);
        }
    }
}
