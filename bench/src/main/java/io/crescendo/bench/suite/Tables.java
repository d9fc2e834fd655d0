package io.crescendo.bench.suite;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** Results as Markdown. */
final class Tables {
    /** Steps this much slower than the straight line are named. */
    static final double CLIFF = 1.2;

    private final List<Measured> all;
    private final Notes notes;
    private final EarlierRecords earlier;
    private final boolean compares;

    Tables(List<Measured> all, EarlierRecords earlier) {
        this.all = all;
        this.notes = new Notes(all);
        this.earlier = earlier;
        this.compares = all.stream().anyMatch(one -> earlier.of(one).isPresent());
    }

    String text() {
        StringBuilder text = new StringBuilder();
        if (!all.stream().allMatch(m -> m.is(Sweep.NAME))) {
            text.append("| benchmark | parameters | median | unit | lowest - highest | that is |")
                    .append(compares ? " speed over the last record |" : "")
                    .append("\n|---|---|---:|---|---:|---|")
                    .append(compares ? "---:|" : "")
                    .append('\n');
        }
        for (Measured measured : all) {
            if (measured.is(Sweep.NAME)) {
                continue;
            }
            text.append(String.format(
                    Locale.ROOT,
                    "| %s | %s | %s | %s | %s - %s | %s |",
                    measured.benchmark().replace("Benchmark.", "."),
                    brief(measured.params()),
                    Notes.number(measured.median()),
                    measured.unit(),
                    Notes.number(measured.low()),
                    Notes.number(measured.high()),
                    notes.of(measured)));
            text.append(speed(measured)).append('\n');
        }
        sweep(text);
        Map<String, Integer> counts = new TreeMap<>();
        all.forEach(one -> earlier.of(one).ifPresent(found -> counts.merge(found.record(), 1, Integer::sum)));
        if (!counts.isEmpty()) {
            text.append("\nSpeed over the newest record that has the same row: ")
                    .append(counts.entrySet().stream()
                            .map(e -> e.getKey() + " (" + e.getValue() + (e.getValue() == 1 ? " row)" : " rows)"))
                            .collect(Collectors.joining(", ")))
                    .append('\n');
        }
        return text.toString();
    }

    /** A cell more, if there is any record to compare with. */
    private String speed(Measured measured) {
        return compares
                ? " "
                        + earlier.of(measured)
                                .map(found -> String.format(Locale.ROOT, "%.2f", found.speed()))
                                .orElse("-")
                        + " |"
                : "";
    }

    private void sweep(StringBuilder text) {
        List<Measured> points = all.stream().filter(m -> m.is(Sweep.NAME)).toList();
        if (points.isEmpty()) {
            return;
        }
        Sweep.Line line = Sweep.Line.through(points);
        Measured first = points.get(0);
        text.append(String.format(
                Locale.ROOT,
                "%nA step of %s at %d batches from %s to %s: %.3f ms + %.4f ms per sample (%s images/s)%n%n",
                first.param("network"),
                points.size(),
                first.param("batch"),
                points.get(points.size() - 1).param("batch"),
                line.fixedMillis(),
                line.millisPerSample(),
                Notes.number(1e3 / line.millisPerSample())));
        text.append("| batch | median ms | fastest ms | median over the line |")
                .append(compares ? " speed over the last record |" : "")
                .append("\n|---:|---:|---:|---:|")
                .append(compares ? "---:|" : "")
                .append('\n');
        List<String> cliffs = new ArrayList<>();
        for (Measured point : points) {
            double over = point.median() / line.at(Double.parseDouble(point.param("batch")));
            text.append(String.format(
                    Locale.ROOT,
                    "| %s | %.3f | %.3f | %.2f |%s%n",
                    point.param("batch"),
                    point.median(),
                    point.low(),
                    over,
                    speed(point)));
            if (over > CLIFF) {
                cliffs.add(point.param("batch"));
            }
        }
        text.append(String.format(
                Locale.ROOT,
                "%nMore than %.0f %% above the line: %s%n",
                100 * (CLIFF - 1),
                cliffs.isEmpty() ? "none" : String.join(", ", cliffs)));
    }

    /** Parameters without those that say nothing because they are as usual. */
    static String brief(Map<String, String> params) {
        Map<String, String> usual =
                new LinkedHashMap<>(Map.of("device", "cpu", "threads", "0", "precision", "fp32", "ghostBatch", "0"));
        if (params.containsKey("side")) {
            usual.remove("ghostBatch"); // what the norm's benchmark is about
        }
        return params.entrySet().stream()
                .filter(p -> !Objects.equals(usual.get(p.getKey()), p.getValue()))
                .map(p -> p.getKey() + "=" + p.getValue())
                .collect(Collectors.joining(" "));
    }
}
