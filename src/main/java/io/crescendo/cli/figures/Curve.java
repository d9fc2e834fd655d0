package io.crescendo.cli.figures;

import java.util.List;

/**
 * One line of a panel.
 *
 * @param schedule decides colour and label
 * @param points in order of x
 */
record Curve(String schedule, List<Point> points) {
    record Point(double x, double y) {}

    Curve {
        points = List.copyOf(points);
    }

    Point last() {
        return points.get(points.size() - 1);
    }
}
