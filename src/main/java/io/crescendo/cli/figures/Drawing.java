package io.crescendo.cli.figures;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jetbrains.letsPlot.commons.encoding.UnsupportedRGBEncoder;
import org.jetbrains.letsPlot.core.util.PlotSvgExportCommon;

/** Draws panels side by side as SVG with Lets-Plot, whose plots are described by nested maps. */
final class Drawing {
    /** Okabe and Ito's colours, distinct for every kind of colour vision. */
    private static final Map<String, String> COLOURS =
            Map.of("decaying", "#0072B2", "hybrid", "#D55E00", "increasing", "#009E73");

    /** For schedules of a user's own and everything else that is compared, in order of appearance. */
    private static final List<String> OTHER_COLOURS =
            List.of("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00");

    private static final double PANEL_WIDTH = 520;
    private static final double HEIGHT = 400;

    /** Share of the x axis that is kept free to the right of the curves for their labels. */
    private static final double LABEL_ROOM = 0.26;

    private static final Map<String, Object> LABEL_STYLE =
            Map.of("hjust", "left", "size", 6, "fill", "white", "alpha", 0.75, "label_size", 0, "label_padding", 0.15);

    private static final String FONTS = "sans-serif";
    private static final Pattern FONT_FAMILY = Pattern.compile("font-family:[^;\"]*");
    private static final Pattern RANDOM_ID = Pattern.compile("(id=\"|url\\(#|#)([a-zA-Z]\\w{6})(?=[\" );])");
    private static final Pattern SCOPED_RULE = Pattern.compile("(?m)^#\\w+ (?=\\.)");

    private Drawing() {}

    /** The panels as one drawing; equal input gives equal text. */
    static String svg(String prefix, List<Panel> panels) {
        List<Object> figures = new ArrayList<>();
        panels.forEach(panel -> figures.add(plot(panel)));
        Map<String, Object> grid = map(
                "kind",
                "subplots",
                "layout",
                map("name", "grid", "ncol", panels.size(), "nrow", 1),
                "figures",
                figures,
                "ggsize",
                map("width", PANEL_WIDTH * panels.size(), "height", HEIGHT));
        String svg =
                PlotSvgExportCommon.INSTANCE.buildSvgImageFromRawSpecs(grid, null, new UnsupportedRGBEncoder(), false);
        return stable(prefix, svg);
    }

    private static Map<String, Object> plot(Panel panel) {
        Axis x = Axis.of(panel, true);
        Axis y = Axis.of(panel, false);
        List<String> schedules =
                panel.curves().stream().map(Curve::schedule).distinct().toList();
        List<Object> layers = new ArrayList<>();
        for (Curve curve : panel.curves()) {
            // The earlier the wider: where curves lie on each other, all of them can be seen.
            double width = 0.9 + 0.45 * (schedules.size() - 1 - schedules.indexOf(curve.schedule()));
            layers.add(layer("line", curve.points(), colour(curve.schedule(), schedules), Map.of("size", width)));
            if (panel.points()) {
                layers.add(
                        layer("point", curve.points(), colour(curve.schedule(), schedules), Map.of("size", 3 + width)));
            }
        }
        EndLabels.place(panel, x, y).forEach((schedule, point) -> {
            Map<String, Object> label = layer("label", List.of(point), colour(schedule, schedules), LABEL_STYLE);
            label.put("label", schedule);
            layers.add(label);
        });
        return map(
                "kind", "plot",
                "data", map(),
                "mapping", map(),
                "layers", layers,
                "ggtitle", map("text", panel.title()),
                "scales", List.of(scale("x", panel.xLabel(), x), scale("y", panel.yLabel(), y)),
                "coord",
                        map(
                                "name", "cartesian",
                                "xlim", List.of(x.low(), x.at(1 + LABEL_ROOM)),
                                "ylim", List.of(y.low(), y.high())),
                "theme", map("name", "light", "tooltip", "blank", "plot_title", map("size", 17, "blank", false)));
    }

    private static String colour(String name, List<String> drawn) {
        int other = drawn.stream().filter(n -> !COLOURS.containsKey(n)).toList().indexOf(name);
        List<String> free = new ArrayList<>(OTHER_COLOURS);
        free.removeAll(drawn.stream().map(n -> COLOURS.getOrDefault(n, "")).toList());
        return COLOURS.getOrDefault(name, free.get(Math.floorMod(other, free.size())));
    }

    private static Map<String, Object> layer(
            String geometry, List<Curve.Point> points, String colour, Map<String, Object> style) {
        Map<String, Object> layer = map(
                "geom",
                geometry,
                "data",
                map(
                        "x", points.stream().map(Curve.Point::x).toList(),
                        "y", points.stream().map(Curve.Point::y).toList()),
                "mapping",
                map("x", "x", "y", "y"),
                "color",
                colour,
                "tooltips",
                "none");
        layer.putAll(style);
        return layer;
    }

    private static Map<String, Object> scale(String aesthetic, String name, Axis axis) {
        List<Double> ticks = axis.ticks();
        Map<String, Object> scale = map(
                "aesthetic",
                aesthetic,
                "name",
                name,
                "breaks",
                ticks,
                "labels",
                ticks.stream().map(Axis::label).toList(),
                "expand",
                List.of(0.02, 0.0));
        if (axis.logarithmic()) {
            scale.put("trans", "log10");
        }
        return scale;
    }

    /**
     * Without what differs from call to call, and with rules that simple SVG readers understand: the library draws
     * random ids and scopes its style sheet by them.
     */
    private static String stable(String prefix, String svg) {
        String plain = SCOPED_RULE.matcher(svg).replaceAll("");
        plain = FONT_FAMILY.matcher(plain).replaceAll("font-family: " + FONTS);
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
}
