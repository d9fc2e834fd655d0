package io.crescendo.cli.run;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;

/** Tables and amounts for people. */
final class Columns {
    /** Of a common terminal. */
    private static final int COLUMNS = 80;

    private static final String GAP = "  ";

    private Columns() {}

    /**
     * Aligned columns, the first to the left, the others to the right; no line break at the end. To fit a terminal, a
     * column with one value in all lines is said once, below the table, and the only line of a table that is too wide
     * is given as names and values.
     *
     * @param lines header first
     */
    static String text(List<List<String>> lines) {
        if (lines.size() == 2 && width(lines) > COLUMNS) {
            return text(pairs(lines.get(0), lines.get(1)), true);
        }
        return text(lines, false);
    }

    /** Name and value under each other. */
    private static List<List<String>> pairs(List<String> names, List<String> values) {
        List<List<String>> pairs = new ArrayList<>();
        for (int i = 0; i < names.size(); i++) {
            pairs.add(List.of(names.get(i), values.get(i)));
        }
        return pairs;
    }

    private static int width(List<List<String>> lines) {
        int width = 0;
        for (int column = 0; column < lines.get(0).size(); column++) {
            width += GAP.length() + widest(lines, column);
        }
        return width - GAP.length();
    }

    private static int widest(List<List<String>> lines, int column) {
        return lines.stream().mapToInt(line -> line.get(column).length()).max().orElse(0);
    }

    private static String text(List<List<String>> lines, boolean whole) {
        List<Integer> shown = new ArrayList<>();
        List<String> common = new ArrayList<>();
        for (int column = 0; column < lines.get(0).size(); column++) {
            int at = column;
            Set<String> values =
                    lines.stream().skip(1).map(line -> line.get(at)).collect(Collectors.toSet());
            if (!whole && column > 0 && lines.size() > 2 && values.size() == 1) {
                common.add(lines.get(0).get(at) + " " + values.iterator().next());
            } else {
                shown.add(column);
            }
        }
        StringBuilder text = new StringBuilder();
        for (List<String> line : lines) {
            for (int column : shown) {
                String cell = line.get(column);
                String padding = " ".repeat(widest(lines, column) - cell.length());
                text.append(column == 0 ? cell + padding : GAP + padding + cell);
            }
            text.append('\n');
        }
        return common.isEmpty()
                ? text.substring(0, text.length() - 1)
                : text.append("all: ").append(String.join(", ", common)).toString();
    }

    /** The sizes of micro-batches as a sum, equal neighbours together: {@code 4 x 3296 + 3200}. */
    static String sum(List<Integer> sizes) {
        List<String> terms = new ArrayList<>();
        int from = 0;
        for (int at = 1; at <= sizes.size(); at++) {
            if (at == sizes.size() || !sizes.get(at).equals(sizes.get(from))) {
                terms.add((at - from == 1 ? "" : at - from + " x ") + sizes.get(from));
                from = at;
            }
        }
        return String.join(" + ", terms);
    }

    /** Rounded up, and without separators: a workspace's size is enough when given back as a memory budget. */
    static String mebibytes(long bytes) {
        return String.format(Locale.ROOT, "%.1f MiB", Math.ceil(bytes * 10.0 / (1 << 20)) / 10);
    }
}
