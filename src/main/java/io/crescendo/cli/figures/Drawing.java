package io.crescendo.cli.figures;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jetbrains.letsPlot.commons.encoding.UnsupportedRGBEncoder;
import org.jetbrains.letsPlot.core.util.PlotSvgExportCommon;

/** Draws panels side by side as SVG with Lets-Plot, whose plots are described by nested maps. */
final class Drawing {
    /** Okabe and Ito's colours, distinct for every kind of colour vision; black for schedules of a user's own. */
    private static final Map<String, String> COLOURS =
            Map.of("decaying", "#0072B2", "hybrid", "#D55E00", "increasing", "#009E73");

    private static final String OTHER_COLOUR = "#000000";
    private static final double PANEL_WIDTH = 520;
    private static final double HEIGHT = 400;

    /** Labels closer than this share of the y axis would overlap. */
    private static final double LABEL_DISTANCE = 0.065;

    /** Share of the x axis that is kept free to the right of the curves for their labels. */
    private static final double LABEL_ROOM = 0.26;

    private static final Pattern RANDOM_ID = Pattern.compile("(id=\"|url\\(#|#)([a-zA-Z]\\w{6})(?=[\" );])");
    private static final Pattern SCOPED_RULE = Pattern.compile("(?m)^#\\w+ (?=\\.)");

    private Drawing() {}

    /** The panels as one drawing; equal input gives equal text. */
    static String svg(String prefix, String title, List<Panel> panels) {
        List<Object> figures = new ArrayList<>();
        panels.forEach(panel -> figures.add(plot(panel)));
        Map<String, Object> grid = map(
                "kind", "subplots",
                "layout", map("name", "grid", "ncol", panels.size(), "nrow", 1),
                "figures", figures,
                "ggtitle", map("text", title),
                "ggsize", map("width", PANEL_WIDTH * panels.size(), "height", HEIGHT));
        String svg =
                PlotSvgExportCommon.INSTANCE.buildSvgImageFromRawSpecs(grid, null, new UnsupportedRGBEncoder(), false);
        return stable(prefix, svg);
    }

    private static Map<String, Object> plot(Panel panel) {
        Extent x = Extent.of(panel, true);
        Extent y = Extent.of(panel, false);
        List<Object> layers = new ArrayList<>();
        for (Curve curve : panel.curves()) {
            layers.add(layer("line", curve.points(), curve.schedule(), Map.of("size", 1.1, "alpha", 0.9)));
        }
        labels(panel, y).forEach((schedule, point) -> {
            Map<String, Object> text = layer("text", List.of(point), schedule, Map.of("hjust", 0, "size", 6));
            text.put("label", " " + schedule);
            layers.add(text);
        });
        return map(
                "kind", "plot",
                "data", map(),
                "mapping", map(),
                "layers", layers,
                "scales",
                        List.of(
                                axis("x", panel.xLabel(), panel.logX(), x.low, x.labelled(panel.logX())),
                                axis("y", panel.yLabel(), panel.logY(), y.low, y.high)),
                "theme", map("name", "light", "tooltip", "blank"));
    }

    private static Map<String, Object> layer(
            String geometry, List<Curve.Point> points, String schedule, Map<String, Object> style) {
        Map<String, Object> layer = map(
                "geom", geometry,
                "data",
                        map(
                                "x", points.stream().map(Curve.Point::x).toList(),
                                "y", points.stream().map(Curve.Point::y).toList()),
                "mapping", map("x", "x", "y", "y"),
                "color", COLOURS.getOrDefault(schedule, OTHER_COLOUR),
                "tooltips", "none");
        layer.putAll(style);
        return layer;
    }

    private static Map<String, Object> axis(String aesthetic, String name, boolean log, double low, double high) {
        Map<String, Object> axis =
                map("aesthetic", aesthetic, "name", name, "limits", List.of(low, high), "expand", List.of(0.02, 0.0));
        if (log) {
            axis.put("trans", "log10");
            List<Double> ticks = Extent.ticks(low, high);
            if (ticks.size() >= 2) {
                axis.put("breaks", ticks);
            }
        }
        return axis;
    }

    /** One label per schedule at the mean of its curves' ends, moved apart where they would overlap. */
    private static Map<String, Curve.Point> labels(Panel panel, Extent y) {
        Map<String, List<Curve.Point>> ends = new TreeMap<>();
        for (Curve curve : panel.curves()) {
            ends.computeIfAbsent(curve.schedule(), s -> new ArrayList<>()).add(curve.last());
        }
        List<Map.Entry<String, Curve.Point>> places = new ArrayList<>();
        ends.forEach((schedule, points) -> places.add(Map.entry(
                schedule,
                new Curve.Point(
                        points.stream().mapToDouble(Curve.Point::x).max().orElse(0),
                        points.stream()
                                .mapToDouble(p -> y.share(p.y(), panel.logY()))
                                .average()
                                .orElse(0)))));
        places.sort(Comparator.comparingDouble(entry -> entry.getValue().y()));
        double top = 0.97 - LABEL_DISTANCE * (places.size() - 1);
        double lowest = 0.03;
        Map<String, Curve.Point> labels = new LinkedHashMap<>();
        for (Map.Entry<String, Curve.Point> place : places) {
            double share = Math.max(Math.min(place.getValue().y(), top), lowest);
            labels.put(place.getKey(), new Curve.Point(place.getValue().x(), y.value(share, panel.logY())));
            lowest = share + LABEL_DISTANCE;
            top += LABEL_DISTANCE;
        }
        return labels;
    }

    /**
     * Without what differs from call to call, and with rules that simple SVG readers understand: the library draws
     * random ids and scopes its style sheet by them.
     */
    private static String stable(String prefix, String svg) {
        String plain = SCOPED_RULE.matcher(svg).replaceAll("");
        Map<String, String> names = new LinkedHashMap<>();
        Matcher ids = RANDOM_ID.matcher(plain);
        StringBuilder text = new StringBuilder();
        while (ids.find()) {
            if (ids.group(1).equals("#") && !names.containsKey(ids.group(2))) {
                continue; // a colour, not an id
            }
            String name = names.computeIfAbsent(ids.group(2), id -> prefix + "-" + names.size());
            ids.appendReplacement(text, Matcher.quoteReplacement(ids.group(1) + name));
        }
        ids.appendTail(text);
        return text.toString();
    }

    private static Map<String, Object> map(Object... keysAndValues) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < keysAndValues.length; i += 2) {
            map.put((String) keysAndValues[i], keysAndValues[i + 1]);
        }
        return map;
    }

    /** The range of one axis. */
    private record Extent(double low, double high) {
        static Extent of(Panel panel, boolean horizontal) {
            double low = Double.POSITIVE_INFINITY;
            double high = Double.NEGATIVE_INFINITY;
            for (Curve curve : panel.curves()) {
                for (Curve.Point point : curve.points()) {
                    low = Math.min(low, horizontal ? point.x() : point.y());
                    high = Math.max(high, horizontal ? point.x() : point.y());
                }
            }
            boolean log = horizontal ? panel.logX() : panel.logY();
            if (log) {
                return new Extent(low / 1.15, high * 1.15);
            }
            if (horizontal) {
                return new Extent(0, high);
            }
            double margin = high > low ? (high - low) * 0.06 : Math.max(Math.abs(high) * 0.1, 1e-9);
            return new Extent(low >= 0 ? Math.max(0, low - margin) : low - margin, high + margin);
        }

        double labelled(boolean log) {
            return value(1 + LABEL_ROOM, log);
        }

        double share(double value, boolean log) {
            return log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
        }

        double value(double share, boolean log) {
            return log ? low * Math.pow(high / low, share) : low + share * (high - low);
        }

        /** 1, 2, 5 times powers of ten; powers only where the range is wide. */
        static List<Double> ticks(double low, double high) {
            List<Double> ticks = new ArrayList<>();
            double[] steps = high / low > 300 ? new double[] {1} : new double[] {1, 2, 5};
            for (int power = (int) Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
                for (double step : steps) {
                    double tick = Double.parseDouble(step + "e" + power);
                    if (tick >= low && tick <= high) {
                        ticks.add(tick);
                    }
                }
            }
            return ticks;
        }
    }
}
