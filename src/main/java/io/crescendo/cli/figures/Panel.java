package io.crescendo.cli.figures;

import java.util.List;

/**
 * One pair of axes.
 *
 * @param title above the axes
 * @param xLabel what runs to the right, with its unit
 * @param yLabel what runs upwards, with its unit
 * @param logX whether x is drawn by its logarithm
 * @param logY whether y is drawn by its logarithm
 * @param points whether every point of a curve is marked, and a linear y begins at zero: amounts, few of them, that are
 *     compared by their ratio
 * @param curves at least one, each with at least one point
 */
public record Panel(
        String title, String xLabel, String yLabel, boolean logX, boolean logY, boolean points, List<Curve> curves) {
    /** A panel of lines without marks. */
    public Panel(String title, String xLabel, String yLabel, boolean logX, boolean logY, List<Curve> curves) {
        this(title, xLabel, yLabel, logX, logY, false, curves);
    }

    public Panel {
        curves = List.copyOf(curves);
    }
}
