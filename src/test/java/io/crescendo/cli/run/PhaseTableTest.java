package io.crescendo.cli.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.cli.report.Report;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PhaseTableTest {
    private static final String HEAD = "{'type':'run','schedule':'increasing','seed':1}\n";

    @TempDir
    Path folder;

    private RunLog log(String lines) throws IOException {
        Files.writeString(folder.resolve(MetricsFile.NAME), (HEAD + lines).replace('\'', '"'));
        return RunLog.below(folder).get(0);
    }

    private static String cell(RunLog log, int phase, String column) {
        List<List<String>> cells = PhaseTable.cells(List.of(log));
        return cells.get(1 + phase).get(cells.get(0).indexOf(column));
    }

    @Test
    void aBatchIsTheSumOfItsPieces() {
        assertEquals("800", Columns.sum(List.of(800)));
        assertEquals("352 + 32", Columns.sum(List.of(352, 32)));
        assertEquals("4 x 3296 + 3200", Columns.sum(List.of(3296, 3296, 3296, 3296, 3200)));
        assertEquals("2 x 400", Columns.sum(List.of(400, 400)));
    }

    @Test
    void unequalPiecesAreReadBackAlsoFromEarlierRuns() throws IOException {
        String phase = "{'type':'phase','update':0,'batch':384,'microBatch':256,'microBatches':2";
        RunLog log = log(phase + "}\n" + phase + ",'sizes':[200,184]}\n");
        assertEquals("384 = 256 + 128", cell(log, 0, "batch"));
        assertEquals("384 = 200 + 184", cell(log, 1, "batch"));
    }

    @Test
    void theNoiseScaleOfARaggedEndIsNotThePhases() throws IOException {
        RunLog log = log("""
                {'type':'phase','update':0,'batch':8,'sizes':[8],'noiseScale':10}
                {'type':'update','update':1,'batch':8,'noiseScale':10}
                {'type':'update','update':2,'batch':2,'noiseScale':40}
                {'type':'phase','update':2,'batch':4,'sizes':[4],'noiseScale':20}
                {'type':'update','update':3,'batch':4,'noiseScale':20}
                """);
        assertEquals("10", cell(log, 0, "noise scale"));
        assertEquals("20", cell(log, 1, "noise scale"));
        assertEquals("2", cell(log, 0, "updates"));
    }

    @Test
    void theFirstUpdateOfAPhaseIsComparedWithItsMedian() throws IOException {
        StringBuilder lines = new StringBuilder();
        long update = 0;
        for (long[] nanos :
                new long[][] {{9_000_000, 4_000_000, 2_000_000, 4_000_000}, {30_000_000, 8_000_000, 8_000_000}, {1, 2}
                }) {
            lines.append("{'type':'phase','update':" + update + ",'batch':8,'sizes':[8]}\n");
            for (long took : nanos) {
                update++;
                lines.append("{'type':'update','update':" + update + ",'batch':8,'timing':{'nanos':" + took + "}}\n");
            }
        }
        RunLog log = log(lines.toString());
        assertEquals("+5.0 ms", cell(log, 0, "first update"));
        assertEquals("+22 ms = 5.50 updates", cell(log, 1, "first update"));
        assertEquals("-", cell(log, 2, "first update"));
    }

    @Test
    void recomputationRefusedMemoryAndResumptionsAreShown() throws IOException {
        RunLog log = log("""
                {'type':'phase','update':0,'batch':800,'microBatch':400,'sizes':[400,400],'recomputation':'activations'}
                {'type':'memoryRefused','update':5,'batch':800,'requestedBytes':4194304,'budgetBytes':2097152}
                {'type':'resumed','update':7,'device':'a card','options':{'device':'cuda','precision':'bf16'}}
                """);
        assertEquals("800 = 2 x 400, recomputing activations", cell(log, 0, "batch"));
        Report report = new Report("r", null, List.of(log), List.of(), Map.of(), null);
        String html = Files.readString(report.write(folder));
        assertTrue(
                html.contains(
                        "<li>increasing, seed 1: after update 5: batch 800: the device refused 4.0 MiB; going on"),
                html);
        assertTrue(html.contains("<li>increasing, seed 1: after update 7: resumed on a card (device cuda, bf16"), html);
    }
}
