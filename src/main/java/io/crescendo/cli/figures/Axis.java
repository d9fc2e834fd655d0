package io.crescendo.cli.figures;

import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * The range of one axis, from the curves drawn on it.
 *
 * @param low the axis begins here
 * @param high the curves end here
 * @param logarithmic whether equal distances are equal factors
 */
record Axis(double low, double high, boolean logarithmic) {
    private static final int TICKS = 6;

    static Axis of(Panel panel, boolean horizontal) {
        double low = Double.POSITIVE_INFINITY;
        double high = Double.NEGATIVE_INFINITY;
        for (Curve curve : panel.curves()) {
            for (Curve.Point point : curve.points()) {
                low = Math.min(low, horizontal ? point.x() : point.y());
                high = Math.max(high, horizontal ? point.x() : point.y());
            }
        }
        if (horizontal ? panel.logX() : panel.logY()) {
            return new Axis(low / 1.15, high * 1.15, true);
        }
        if (horizontal) {
            return new Axis(0, high, false);
        }
        if (panel.points()) {
            return new Axis(0, high > 0 ? high * 1.06 : 1, false);
        }
        double margin = high > low ? (high - low) * 0.06 : Math.max(Math.abs(high) * 0.1, 1e-9);
        return new Axis(low >= 0 ? Math.max(0, low - margin) : low - margin, high + margin, false);
    }

    /** How far along the axis a value lies: 0 at low, 1 at high. */
    double share(double value) {
        return logarithmic ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    }

    /** The value that lies so far along the axis. */
    double at(double share) {
        return logarithmic ? low * Math.pow(high / low, share) : low + share * (high - low);
    }

    /** Round values within the range, two at least. */
    List<Double> ticks() {
        List<Double> ticks = logarithmic ? ticksPerDecade() : List.of();
        return ticks.size() < 2 ? evenTicks() : ticks; // less than a decade may lie between two of its ticks
    }

    private List<Double> ticksPerDecade() {
        List<Double> ticks = new ArrayList<>();
        double[] steps = high / low > 300 ? new double[] {1} : new double[] {1, 2, 5};
        for (int power = (int) Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
            for (double step : steps) {
                // By way of text: 2e-4 is nearer to what is meant than 2 * pow(10, -4).
                double tick = Double.parseDouble(step + "e" + power);
                if (tick >= low && tick <= high) {
                    ticks.add(tick);
                }
            }
        }
        return ticks;
    }

    private List<Double> evenTicks() {
        List<Double> ticks = new ArrayList<>();
        double rough = (high - low) / TICKS;
        double power = Math.pow(10, Math.floor(Math.log10(rough)));
        double step = power * (rough / power > 5 ? 10 : rough / power > 2 ? 5 : rough / power > 1 ? 2 : 1);
        for (long multiple = (long) Math.ceil(low / step - 1e-9); multiple * step <= high * (1 + 1e-9); multiple++) {
            ticks.add(multiple * step);
        }
        return ticks;
    }

    static String label(double tick) {
        return Math.abs(tick) >= 1000
                ? String.format(Locale.ROOT, "%,.0f", tick)
                : new BigDecimal(String.format(Locale.ROOT, "%.4g", tick))
                        .stripTrailingZeros()
                        .toPlainString();
    }
}
