package io.crescendo.cli.figures;

import java.util.List;

/**
 * One line of a panel.
 *
 * @param schedule decides colour and label; any other name than a schedule's gets a colour in its turn
 * @param points in order of x
 */
public record Curve(String schedule, List<Point> points) {
    /** Where the line passes. */
    public record Point(double x, double y) {}

    public Curve {
        points = List.copyOf(points);
    }

    Point last() {
        return points.get(points.size() - 1);
    }
}
