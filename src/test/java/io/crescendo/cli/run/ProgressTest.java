package io.crescendo.cli.run;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.train.Steps;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import org.junit.jupiter.api.Test;

class ProgressTest {
    /** 100 images in 0.05 s. */
    private static final UpdateRecord UPDATE =
            new UpdateRecord(1234, 8000, 1.5, 100, 100, 1, 0.1, 0.9, 1, 0.4321, 0.9, 50_000_000, 1);

    @Test
    void linesSayWhereTheRunStands() {
        StringWriter out = new StringWriter();
        try (PlainView view = new PlainView(new PrintWriter(out), "increasing", 3, 0)) {
            view.updated(UPDATE);
            assertEquals("", out.toString(), "no line per update");
            view.evaluated(new EvaluationRecord(1234, 1.5, 100, 0.5, 0.875));
        }
        for (String text : List.of(
                "increasing", "epoch  1.5/3", "1,234 updates", "100", "0.4321", "87.50 %", "2,000 images/s", " left")) {
            assertTrue(out.toString().contains(text), () -> text + " in " + out);
        }
    }

    @Test
    void aShortRunGoesByPartsOfAnEpoch() {
        StringWriter out = new StringWriter();
        try (PlainView view = new PlainView(new PrintWriter(out), "increasing", 0.05, 0)) {
            view.updated(new UpdateRecord(3, 200, 0.025, 100, 100, 1, 0.1, 0.9, 1, 0.4321, 0.9, 50_000_000, 1));
            view.evaluated(new EvaluationRecord(3, 0.025, 100, 0.5, 0.875));
        }
        assertTrue(out.toString().contains("epoch 0.025/0.05"), out::toString);
    }

    @Test
    void theBarSaysOnceWhenMemoryWasRefused() {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (BarView view = new BarView(new PrintStream(out, true, UTF_8), "increasing", 3, 0)) {
            view.updated(UPDATE);
            view.memoryRefused(new Steps.Refusal(640, 12L << 20, 9L << 20));
            view.updated(UPDATE);
        }
        List<String> refusals = out.toString(UTF_8)
                .lines() // a carriage return ends one too
                .map(String::strip)
                .filter(line -> line.contains("refused"))
                .toList();
        assertEquals(
                List.of("batch 640: the device refused 12.0 MiB; going on in smaller pieces within 9.0 MiB"), refusals);
    }

    @Test
    void theBarStaysWhereTheLineIsShort() {
        Standing standing = new Standing(15, 0);
        standing.updated(new UpdateRecord(1234, 1, 7.5, 160, 160, 1, 0.1, 0.9, 1, 0.4321, 0.9, 26_000_000, 1));
        standing.evaluated(new EvaluationRecord(1, 1, 100, 0.5, 0.875));
        assertEquals(
                "increasing |██  | ep 7.5/15 upd 1234 B 160 loss 0.432 acc 87.5% 6154/s 0:00 left",
                BarView.line("increasing", 0.5, standing, 80));
        String hundred = BarView.line("increasing", 0.5, standing, 100);
        assertTrue(hundred.contains("|██████      |") && hundred.contains("acc 87.5%"), hundred);
        String wide = BarView.line("increasing", 0.5, standing, 140);
        assertTrue(wide.contains(" 50% |██████      |") && wide.contains("accuracy 87.50 %"), wide);
        for (int width = 1; width < 150; width++) {
            String line = BarView.line("increasing", 0.5, standing, width);
            assertTrue(line.length() <= width, line);
        }
    }

    @Test
    void theNarrowFormFitsEightyColumns() {
        Standing standing = new Standing(200, 0);
        standing.updated(new UpdateRecord(78000, 1, 123.4, 16000, 1, 1, 0.1, 0.9, 1, 0.4321, 0.9, 500_000_000, 1));
        standing.evaluated(new EvaluationRecord(1, 1, 100, 0.5, 0.875));
        // Beside it stand the schedule in ten columns and the percentage in six.
        assertTrue(standing.shortestText().length() <= 80 - 16, standing.shortestText());
    }
}
