package io.crescendo.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.cli.Run;
import java.util.List;
import org.junit.jupiter.api.Test;

class ProfileCommandTest {
    @Test
    void sharesAddUpToTheWholeStep() {
        Run run = Run.of("profile", "--batch", "8", "--seconds", "0.1", "--device", "cpu");
        assertEquals(0, run.status(), run.err());
        List<String> lines = run.out().lines().toList();
        int from = indexOf(lines, "operation ");
        int to = indexOf(lines, "update");
        double shares = 0;
        for (String line : lines.subList(from + 1, to + 1)) {
            shares += Double.parseDouble(line.replaceFirst(".* ([0-9.]+) %.*", "$1"));
        }
        assertEquals(100, shares, 0.06 * (to - from), "each share is rounded to 0.1 %: " + run.out());
        for (String text : List.of("images/s", "Conv2dWeightGradient", "longest operations", "conv1.weight")) {
            assertTrue(run.out().contains(text), run.out());
        }
        assertTrue(lines.stream().allMatch(line -> line.length() <= 100), run.out());
    }

    private static int indexOf(List<String> lines, String start) {
        for (int i = 0; i < lines.size(); i++) {
            if (lines.get(i).startsWith(start)) {
                return i;
            }
        }
        throw new AssertionError("no line starts with '" + start + "' in " + lines);
    }
}
