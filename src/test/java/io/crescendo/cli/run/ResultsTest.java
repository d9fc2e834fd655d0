package io.crescendo.cli.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.metrics.RunSummary;
import java.util.List;
import org.junit.jupiter.api.Test;

class ResultsTest {
    private static final List<RunSummary> RUNS = List.of(
            new RunSummary("decaying", 1, 15, 3750, 0.19, 0.33, 0.878, 3000, 40, 11_916_800),
            new RunSummary("decaying", 2, 15, 3750, 0.21, 0.35, 0.882, 5000, 60, 11_916_800));

    @Test
    void summaryHasExactlyTheseColumns() {
        List<String> lines = SummaryFile.text(RUNS).lines().toList();
        assertEquals(
                "schedule,seed,epochs,updates,train_loss,test_loss,test_accuracy,images_per_second,seconds,"
                        + "peak_workspace_bytes",
                lines.get(0));
        assertEquals("decaying,1,15.0,3750,0.19,0.33,0.878,3000.0,40.0,11916800", lines.get(1));
        assertEquals(3, lines.size());
    }

    @Test
    void severalSeedsGetAMean() {
        String text = ResultTable.text(RUNS);
        // Standard deviation of 87.8 and 88.2 with one degree of freedom: 0.2·√2.
        assertTrue(text.contains("mean") && text.contains("88.00 ± 0.28 %") && text.contains("4,000"), text);
        String one = ResultTable.text(RUNS.subList(0, 1));
        assertTrue(one.lines().noneMatch(line -> line.contains("mean")), one);
        assertTrue(one.lines().anyMatch(line -> line.matches("schedule +decaying")), one);
    }

    @Test
    void durationsAreReadable() {
        assertEquals("0:07", Duration.text(7.4));
        assertEquals("59:59", Duration.text(3599));
        assertEquals("1:02:03", Duration.text(3723));
        assertEquals("?", Duration.text(Double.NaN));
    }
}
