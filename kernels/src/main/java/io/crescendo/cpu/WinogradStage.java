package io.crescendo.cpu;

import static io.crescendo.cpu.WinogradTransforms.OUTPUTS;
import static io.crescendo.cpu.WinogradTransforms.TAPS;
import static io.crescendo.cpu.WinogradTransforms.TILE;

import java.util.Collections;
import java.util.List;
import java.util.stream.Stream;

/**
 * The arrays that transforms work on, one set per thread, shared by all steps of a binding.
 *
 * <p>The compiler turns loops over Java arrays into vector instructions, but not loops over native addresses, which
 * might overlap. So rows are copied into these arrays, transformed, and copied out; they are small enough to stay in
 * the cache meanwhile.
 */
final class WinogradStage {
    private final List<Arrays> byThread;
    private int stripFloats;
    private int filters;

    /** What one thread needs. */
    static final class Arrays {
        /** Rows 4j to 4j + 3 of an image, or to 4j + 5 for patches. */
        float[][] rows = {};
        /** Columns 4j to 4j + 3 of a row, or to 4j + 5 for patches. */
        float[][] columns = {};
        /** What has gone through one axis, OUTPUTS times TILE rows at most. */
        float[][] half = {};
        /** What has gone through both axes. */
        float[][] full = {};
        /** Rows of an image as they lie. */
        float[] plane = {};
        /** What is added to them. */
        float[] addend = {};

        /** Filters as they lie in the pack, 9 taps each. */
        float[] packed = {};
        /** One array per tap. */
        float[][] taps = {};
        /** The same arrays for filters turned by 180°. */
        float[][] turnedTaps = {};
        /** Filters that have gone through one axis. */
        float[][] halfFilters = {};
        /** Filters that have gone through both. */
        float[][] points = {};
    }

    WinogradStage(int threads) {
        byThread = Stream.generate(Arrays::new).limit(threads).toList();
    }

    /** Makes room for this many floats of rows and this many filters at a time; while binding, never while running. */
    void reserve(int newStripFloats, int newFilters) {
        if (newStripFloats > stripFloats) {
            stripFloats = newStripFloats;
            for (Arrays arrays : byThread) {
                arrays.rows = new float[TILE][stripFloats];
                arrays.columns = new float[TILE][stripFloats];
                arrays.half = new float[OUTPUTS * TILE][stripFloats];
                arrays.full = new float[TILE][stripFloats];
                arrays.plane = new float[OUTPUTS * stripFloats];
                arrays.addend = new float[OUTPUTS * stripFloats];
            }
        }
        if (newFilters > filters) {
            filters = newFilters;
            for (Arrays arrays : byThread) {
                arrays.packed = new float[TAPS * TAPS * filters];
                arrays.taps = new float[TAPS * TAPS][filters];
                arrays.turnedTaps = arrays.taps.clone();
                Collections.reverse(java.util.Arrays.asList(arrays.turnedTaps));
                arrays.halfFilters = new float[TILE * TAPS][filters];
                arrays.points = new float[TILE * TILE][filters];
            }
        }
    }

    List<Arrays> threads() {
        return byThread;
    }
}
