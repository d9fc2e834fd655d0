package io.crescendo.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.cli.Run;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class ProfileCommandTest {
    @Test
    void sharesAddUpToTheWholeStep() {
        Run run = Run.of("profile", "--batch", "8", "--seconds", "0.1", "--device", "cpu");
        assertEquals(0, run.status(), run.err());
        List<String> lines = run.out().lines().toList();
        int from = indexOf(lines, "operation ");
        int to = indexOf(lines, "update");
        Set<String> operations = new HashSet<>();
        double shares = 0;
        for (String line : lines.subList(from + 1, to + 1)) {
            operations.add(line.split(" ", 2)[0]);
            shares += Double.parseDouble(line.replaceFirst(".* ([0-9.]+) %.*", "$1"));
        }
        assertEquals(100, shares, 0.06 * (to - from), "each share is rounded to 0.1 %: " + run.out());
        assertTrue(run.out().contains("images/s"), run.out());
        assertTrue(operations.contains("Conv2dWeightGradient"), run.out());
        // Which are the longest differs from run to run.
        List<String> longest = lines.subList(indexOf(lines, "longest operations") + 1, lines.size());
        assertEquals(10, longest.size(), run.out());
        longest.forEach(line -> assertTrue(operations.contains(line.split(" ", 2)[0]), line));
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
