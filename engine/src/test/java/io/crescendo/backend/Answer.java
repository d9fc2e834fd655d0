package io.crescendo.backend;

import static org.junit.jupiter.api.Assertions.fail;

import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Everything that a check reads from a backend: named arrays, and how far two backends' arrays may lie apart.
 *
 * <p>Bound of an array = {@link #FACTOR} · u · √L · scale + {@link #SPREADS} · spread. u is the unit roundoff of the
 * candidate's arithmetic and L the longest sum: rounding errors of a sum grow like u·√L. The factor covers the dozen
 * operations in a row that the small networks have. The scale is the array's largest element, but at least
 * {@link #FLOOR} of the largest in its pack: a gradient that is zero only because large terms cancel (a bias in front
 * of a normalisation) still carries their rounding. The spread is what the reference itself changes by when all weights
 * and pixels move by a few roundings: it covers ill-conditioned draws, such as a ReLU whose input lies within rounding
 * of zero. It counts more than once because a handful of moves rarely finds the farthest, and a candidate rounds in
 * every operation.
 */
public final class Answer {
    private static final double FACTOR = 32;
    private static final double FLOOR = 0.03;
    private static final double SPREADS = 2;
    private static final String GAPS = " gaps";

    private final Map<String, double[]> arrays = new LinkedHashMap<>();

    /** Adds one array; the word before the first space of its name is its pack. */
    public void put(String name, double... values) {
        arrays.put(name, values);
    }

    /** Adds one array. */
    public void put(String name, float[] values) {
        double[] wide = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            wide[i] = values[i];
        }
        arrays.put(name, wide);
    }

    /** Adds every tensor of a pack, and the gaps between them as one array more. */
    public void put(String kind, ParameterPack pack, DeviceMemory memory) {
        float[] all = new float[Math.toIntExact(memory.elements())];
        Arrays.fill(all, Float.NaN); // an element that read() forgets stays NaN
        memory.read(0, all);
        for (Parameter parameter : pack.parameters()) {
            int start = (int) parameter.offset();
            put(kind + " " + parameter.name(), Arrays.copyOfRange(all, start, (int) parameter.end()));
            Arrays.fill(all, start, (int) parameter.end(), 0);
        }
        put(kind + GAPS, all);
    }

    /** Adds everything of another answer, its packs named after the moment it was taken. */
    public void append(String moment, Answer other) {
        other.arrays.forEach((name, values) -> arrays.put(moment + "-" + name, values));
    }

    /** Fails with the first element that lies too far from the reference. */
    public static void compare(
            String what, Answer candidate, Answer reference, List<Answer> moved, double roundoff, double longestSum) {
        for (Map.Entry<String, double[]> entry : reference.arrays.entrySet()) {
            String name = entry.getKey();
            double[] expected = entry.getValue();
            double[] actual = candidate.arrays.get(name);
            if (actual == null || actual.length != expected.length) {
                fail(what + ": " + name + " is missing or has another length");
                return;
            }
            double scale = Math.max(largest(expected), FLOOR * reference.largestInPack(name));
            double spread = 0;
            for (Answer other : moved) {
                double[] values = other.arrays.get(name);
                for (int i = 0; i < expected.length && values != null; i++) {
                    spread = Math.max(spread, Math.abs(values[i] - expected[i]));
                }
            }
            // Nothing may ever write between two parameters.
            double bound =
                    name.endsWith(GAPS) ? 0 : FACTOR * roundoff * Math.sqrt(longestSum) * scale + SPREADS * spread;
            for (int i = 0; i < expected.length; i++) {
                if (!(Math.abs(actual[i] - expected[i]) <= bound)) { // NaN fails too
                    fail(what + ": " + name + "[" + i + "] is " + actual[i] + ", the reference says " + expected[i]
                            + "; they differ by " + Math.abs(actual[i] - expected[i]) + ", allowed is " + bound
                            + " (largest element " + scale + ", spread " + spread + ")");
                }
            }
        }
    }

    private double largestInPack(String name) {
        String pack = name.substring(0, (name + " ").indexOf(' '));
        return arrays.entrySet().stream()
                .filter(e -> (e.getKey() + " ").startsWith(pack + " "))
                .mapToDouble(e -> largest(e.getValue()))
                .max()
                .orElse(0);
    }

    private static double largest(double[] values) {
        double most = 0;
        for (double value : values) {
            most = Math.max(most, Math.abs(value));
        }
        return most;
    }
}
