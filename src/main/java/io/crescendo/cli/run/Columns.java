package io.crescendo.cli.run;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;

/** Tables and amounts for people. */
final class Columns {
    private Columns() {}

    /**
     * Aligned columns, the first to the left, the others to the right; no line break at the end. To fit a terminal, a
     * column with one value in all lines is said once, below the table.
     *
     * @param lines header first
     */
    static String text(List<List<String>> lines) {
        List<Integer> shown = new ArrayList<>();
        List<String> common = new ArrayList<>();
        for (int column = 0; column < lines.get(0).size(); column++) {
            int at = column;
            Set<String> values =
                    lines.stream().skip(1).map(line -> line.get(at)).collect(Collectors.toSet());
            if (column > 0 && lines.size() > 2 && values.size() == 1) {
                common.add(lines.get(0).get(at) + " " + values.iterator().next());
            } else {
                shown.add(column);
            }
        }
        StringBuilder text = new StringBuilder();
        for (List<String> line : lines) {
            for (int column : shown) {
                int width = lines.stream()
                        .mapToInt(other -> other.get(column).length())
                        .max()
                        .orElse(0);
                String cell = line.get(column);
                String padding = " ".repeat(width - cell.length());
                text.append(column == 0 ? cell + padding : "  " + padding + cell);
            }
            text.append('\n');
        }
        return common.isEmpty()
                ? text.substring(0, text.length() - 1)
                : text.append("all: ").append(String.join(", ", common)).toString();
    }

    static String mebibytes(long bytes) {
        return String.format(Locale.ROOT, "%,.1f MiB", bytes / (double) (1 << 20));
    }
}
