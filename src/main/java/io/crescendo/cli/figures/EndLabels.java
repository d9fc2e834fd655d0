package io.crescendo.cli.figures;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Where the names of curves stand: at their ends, moved up or down as little as keeps them apart. */
final class EndLabels {
    /** Labels closer than this share of the y axis would overlap. */
    private static final double HEIGHT = 0.065;

    /** Labels further apart than this share of the x axis cannot overlap. */
    private static final double WIDTH = 0.22;

    private EndLabels() {}

    /** Position of a label in shares of the axes. */
    private record Place(String schedule, double x, double y) {}

    /** One label per schedule, at the mean height of its curves' ends. */
    static Map<String, Curve.Point> place(Panel panel, Axis x, Axis y) {
        Map<String, List<Curve.Point>> ends = new TreeMap<>();
        for (Curve curve : panel.curves()) {
            ends.computeIfAbsent(curve.schedule(), s -> new ArrayList<>()).add(curve.last());
        }
        // A curve that goes on beyond another's end, as phases of one batch do, would run through its label.
        double lift = panel.points() ? HEIGHT : 0;
        List<Place> places = new ArrayList<>();
        ends.forEach((schedule, points) -> places.add(new Place(
                schedule,
                points.stream().mapToDouble(p -> x.share(p.x())).max().orElse(0) + 0.01,
                points.stream().mapToDouble(p -> y.share(p.y())).average().orElse(0) + lift)));
        places.sort(Comparator.comparingDouble(Place::x));
        Map<String, Curve.Point> labels = new LinkedHashMap<>();
        List<Place> column = new ArrayList<>();
        for (Place place : places) {
            if (!column.isEmpty() && place.x() - column.get(column.size() - 1).x() > WIDTH) {
                spread(column, x, y, labels);
                column.clear();
            }
            column.add(place);
        }
        spread(column, x, y, labels);
        return labels;
    }

    /**
     * Heights at least {@link #HEIGHT} apart with the least sum of squared moves: subtract i·HEIGHT from the i-th, make
     * the sequence monotone by averaging neighbours that are not (isotonic regression), and add it again.
     */
    private static void spread(List<Place> column, Axis x, Axis y, Map<String, Curve.Point> labels) {
        List<Place> byHeight = new ArrayList<>(column);
        byHeight.sort(Comparator.comparingDouble(Place::y));
        List<double[]> blocks = new ArrayList<>(); // {sum, count}
        for (int i = 0; i < byHeight.size(); i++) {
            blocks.add(new double[] {byHeight.get(i).y() - i * HEIGHT, 1});
            for (int last = blocks.size() - 1;
                    last > 0 && mean(blocks.get(last - 1)) > mean(blocks.get(last));
                    last = blocks.size() - 1) {
                double[] merged = blocks.remove(last);
                blocks.get(last - 1)[0] += merged[0];
                blocks.get(last - 1)[1] += merged[1];
            }
        }
        double top = 0.97 - (byHeight.size() - 1) * HEIGHT;
        int i = 0;
        for (double[] block : blocks) {
            for (int member = 0; member < block[1]; member++, i++) {
                double share = Math.min(Math.max(mean(block), 0.03), top) + i * HEIGHT;
                Place place = byHeight.get(i);
                labels.put(place.schedule(), new Curve.Point(x.at(place.x()), y.at(share)));
            }
        }
    }

    private static double mean(double[] block) {
        return block[0] / block[1];
    }
}
