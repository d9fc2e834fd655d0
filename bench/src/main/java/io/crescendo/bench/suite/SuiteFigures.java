package io.crescendo.bench.suite;

import io.crescendo.bench.UpdateBenchmark;
import io.crescendo.cli.figures.Curve;
import io.crescendo.cli.figures.Figure;
import io.crescendo.cli.figures.Panel;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Function;

/** Figures of what was measured; those for which nothing was are left out. */
final class SuiteFigures {
    /** Parameters whose values speak for themselves. */
    private static final Set<String> NAMES = Set.of("network", "optimizer", "device", "precision");

    private SuiteFigures() {}

    static List<Figure> of(List<Measured> all) {
        Notes notes = new Notes(all);
        List<Measured> steps =
                all.stream().filter(m -> m.is("TrainingStepBenchmark")).toList();
        List<Figure> figures = new ArrayList<>();
        add(
                figures,
                "throughput",
                "Training throughput against batch, and its share of the machine's matrix product.",
                panel(
                        "Throughput",
                        "batch",
                        "images/s",
                        true,
                        curves(steps, "batch", SuiteFigures::network, Notes::imagesPerSecond)),
                panel(
                        "Share of the ceiling",
                        "batch",
                        "% of the matrix product",
                        false,
                        curves(steps, "batch", SuiteFigures::network, notes::percentOfProduct)));
        add(
                figures,
                "memory",
                "Workspace of a training step against batch.",
                panel(
                        "Workspace",
                        "batch",
                        "MB",
                        true,
                        curves(steps, "batch", SuiteFigures::network, m -> extra(m, "workspaceMegabytes"))));
        add(
                figures,
                "update",
                "Bandwidth of the parameter update against the number of parameters, bytes read plus written.",
                panel("Update", "parameters", "GB/s", true, updates(all)));
        add(
                figures,
                "ghost-norm",
                "Time of batch norm with ReLU, forward and backward, against the ghost batch.",
                panel(
                        "Ghost batch norm",
                        "ghost batch",
                        "us, norm alone",
                        false,
                        curves(all, "ghostBatch", m -> "batch " + m.param("batch"), notes::normMicros)));
        add(
                figures,
                "reduction",
                "Throughput of one batch taken in several micro-batches.",
                panel(
                        "Gradient accumulation",
                        "micro-batches",
                        "images/s",
                        true,
                        curves(
                                all.stream()
                                        .filter(m -> m.is("GradientReductionBenchmark"))
                                        .toList(),
                                "microBatches",
                                SuiteFigures::network,
                                Notes::imagesPerSecond)));
        List<Measured> sweep = all.stream().filter(m -> m.is(Sweep.NAME)).toList();
        if (!sweep.isEmpty()) {
            Sweep.Line line = Sweep.Line.through(sweep);
            Function<Measured, OptionalDouble> fitted =
                    m -> OptionalDouble.of(line.at(Double.parseDouble(m.param("batch"))));
            List<Curve> times = new ArrayList<>(curves(sweep, "batch", m -> "line", fitted));
            times.addAll(curves(sweep, "batch", m -> "measured", m -> OptionalDouble.of(m.median())));
            List<Curve> rates = new ArrayList<>(curves(
                    sweep,
                    "batch",
                    m -> "line",
                    m -> OptionalDouble.of(1e3
                            * Double.parseDouble(m.param("batch"))
                            / fitted.apply(m).orElseThrow())));
            rates.addAll(curves(
                    sweep,
                    "batch",
                    m -> "measured",
                    m -> OptionalDouble.of(1e3 * Double.parseDouble(m.param("batch")) / m.median())));
            add(
                    figures,
                    "sweep",
                    "Time and throughput of a step at every kind of batch, beside a straight line through the times.",
                    panel("Time of a step", "batch", "ms", true, false, times),
                    panel("Throughput", "batch", "images/s", false, false, rates));
        }
        return figures;
    }

    private static void add(List<Figure> figures, String name, String caption, Panel... panels) {
        List<Panel> drawn =
                List.of(panels).stream().filter(p -> !p.curves().isEmpty()).toList();
        if (!drawn.isEmpty()) {
            figures.add(Figure.of(name, caption, drawn));
        }
    }

    private static Panel panel(String title, String x, String y, boolean logY, List<Curve> curves) {
        return panel(title, x, y, logY, true, curves);
    }

    private static Panel panel(String title, String x, String y, boolean logY, boolean points, List<Curve> curves) {
        return new Panel(title, x + " (logarithmic)", y, true, logY, points, curves);
    }

    private static String network(Measured measured) {
        return measured.param("network");
    }

    private static OptionalDouble extra(Measured measured, String name) {
        Double value = measured.extras().get(name);
        return value == null ? OptionalDouble.empty() : OptionalDouble.of(value);
    }

    /**
     * One curve for what differs, or of this name if nothing does; a parameter of 0, the whole batch, is drawn at the
     * batch.
     */
    static List<Curve> curves(
            List<Measured> all, String x, Function<Measured, String> name, Function<Measured, OptionalDouble> y) {
        List<Measured> rows = all.stream().filter(m -> y.apply(m).orElse(0) > 0).toList();
        Map<String, TreeMap<Double, Double>> points = new TreeMap<>();
        for (Measured row : rows) {
            String at = row.param(x).equals("0") ? row.param("batch") : row.param(x);
            points.computeIfAbsent(distinct(row, rows, x).orElse(name.apply(row)), n -> new TreeMap<>())
                    .put(Double.parseDouble(at), y.apply(row).orElseThrow());
        }
        return drawn(points);
    }

    /** What tells a row from others at the same x: every parameter that differs among them, if any does. */
    private static Optional<String> distinct(Measured row, List<Measured> rows, String x) {
        return row.params().entrySet().stream()
                .filter(p -> !p.getKey().equals(x))
                .filter(p ->
                        rows.stream().anyMatch(other -> !other.param(p.getKey()).equals(p.getValue())))
                .map(p -> NAMES.contains(p.getKey()) ? p.getValue() : p.getKey() + "=" + p.getValue())
                .reduce((first, second) -> first + " " + second);
    }

    private static List<Curve> updates(List<Measured> all) {
        Notes notes = new Notes(all);
        List<Measured> rows = all.stream()
                .filter(m -> m.is("UpdateBenchmark") && Notes.bytesPerSecond(m).isPresent())
                .toList();
        Map<String, TreeMap<Double, Double>> points = new TreeMap<>();
        for (Measured row : rows) {
            double count = UpdateBenchmark.parameters(row.param("network"));
            points.computeIfAbsent(distinct(row, rows, "network").orElse(row.param("optimizer")), n -> new TreeMap<>())
                    .put(count, Notes.bytesPerSecond(row).orElseThrow() / 1e9);
            if (row.param("optimizer").equals("momentum")) {
                notes.copyLike(row)
                        .ifPresent(
                                copy -> points.computeIfAbsent("copy, as large as with momentum", n -> new TreeMap<>())
                                        .put(count, copy.bytesPerSecond() / 1e9));
            }
        }
        return drawn(points);
    }

    private static List<Curve> drawn(Map<String, ? extends Map<Double, Double>> points) {
        List<Curve> curves = new ArrayList<>();
        points.forEach((name, values) -> curves.add(new Curve(
                name,
                values.entrySet().stream()
                        .map(e -> new Curve.Point(e.getKey(), e.getValue()))
                        .toList())));
        return curves;
    }
}
