package io.crescendo.bench.suite;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Collectors;

/** Results as Markdown. */
final class Tables {
    /** Steps this much slower than the straight line are named. */
    static final double CLIFF = 1.2;

    private final List<Measured> all;
    private final Notes notes;
    private final Optional<LastRecord> last;

    Tables(List<Measured> all, Optional<LastRecord> last) {
        this.all = all;
        this.notes = new Notes(all);
        this.last = last;
    }

    String text() {
        StringBuilder text = new StringBuilder();
        text.append("| benchmark | parameters | median | unit | lowest - highest | that is |");
        last.ifPresent(
                record -> text.append(" speed over ").append(record.name()).append(" |"));
        text.append("\n|---|---|---:|---|---:|---|")
                .append(last.isPresent() ? "---:|" : "")
                .append('\n');
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
            last.ifPresent(record -> text.append(' ')
                    .append(record.speed(measured)
                            .map(s -> String.format(Locale.ROOT, "%.2f", s))
                            .orElse("-"))
                    .append(" |"));
            text.append('\n');
        }
        sweep(text);
        return text.toString();
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
        text.append("| batch | median ms | fastest ms | median over the line |\n|---:|---:|---:|---:|\n");
        List<String> cliffs = new ArrayList<>();
        for (Measured point : points) {
            double over = point.median() / line.at(Double.parseDouble(point.param("batch")));
            text.append(String.format(
                    Locale.ROOT,
                    "| %s | %.3f | %.3f | %.2f |%n",
                    point.param("batch"),
                    point.median(),
                    point.low(),
                    over));
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
