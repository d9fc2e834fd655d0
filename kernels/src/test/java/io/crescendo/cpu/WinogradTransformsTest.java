package io.crescendo.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

class WinogradTransformsTest {
    private static final int SIGNALS = 37;

    private final long seed = new Random().nextLong();
    private final Random random = new Random(seed);

    private float[][] random(int rows) {
        float[][] drawn = new float[rows][SIGNALS];
        for (float[] row : drawn) {
            for (int i = 0; i < SIGNALS; i++) {
                row[i] = (float) random.nextGaussian();
            }
        }
        return drawn;
    }

    private static double dot(float[][] a, float[][] b) {
        double sum = 0;
        for (int row = 0; row < a.length; row++) {
            for (int i = 0; i < SIGNALS; i++) {
                sum += (double) a[row][i] * b[row][i];
            }
        }
        return sum;
    }

    @Test
    void sixProductsMakeFourOutputsOfThreeTaps() {
        float[][] inputs = random(6);
        float[][] taps = random(3);
        float[][] t = new float[6][SIGNALS];
        float[][] u = new float[6][SIGNALS];
        float[][] y = new float[4][SIGNALS];
        WinogradTransforms.input(inputs, t, SIGNALS);
        WinogradTransforms.filter(taps, 0, 1, u, 0, 1, SIGNALS);
        for (int point = 0; point < 6; point++) {
            for (int i = 0; i < SIGNALS; i++) {
                t[point][i] *= u[point][i];
            }
        }
        WinogradTransforms.output(t, 0, y, 0, 1, SIGNALS);
        for (int output = 0; output < 4; output++) {
            for (int i = 0; i < SIGNALS; i++) {
                double expected = 0;
                for (int tap = 0; tap < 3; tap++) {
                    expected += (double) inputs[output + tap][i] * taps[tap][i];
                }
                // Terms grow to about 8 * 8 * |d| * |g| on the way, and each is rounded at 2^-24.
                assertEquals(expected, y[output][i], 2e-4, "seed " + seed + ", output " + output + ", signal " + i);
            }
        }
    }

    /** ⟨A m, y⟩ = ⟨m, Aᵀ y⟩ for all m and y says that one is the other's transpose. */
    @Test
    void gradientsGoThroughTheTransposes() {
        float[][] m = random(6);
        float[][] dy = random(4);
        float[][] y = new float[4][SIGNALS];
        float[][] dm = new float[6][SIGNALS];
        WinogradTransforms.output(m, 0, y, 0, 1, SIGNALS);
        WinogradTransforms.outputGradient(dy, 0, 1, dm, 0, SIGNALS);
        float[][] g = random(3);
        float[][] du = random(6);
        float[][] u = new float[6][SIGNALS];
        float[][] dg = new float[3][SIGNALS];
        WinogradTransforms.filter(g, 0, 1, u, 0, 1, SIGNALS);
        WinogradTransforms.filterGradient(du, 0, 1, dg, 0, 1, SIGNALS);
        // Sums of some hundred terms of size 8, each rounded at 2^-24.
        assertEquals(dot(y, dy), dot(m, dm), 1e-3, "seed " + seed);
        assertEquals(dot(u, du), dot(g, dg), 1e-3, "seed " + seed);
        assertTrue(Math.abs(dot(y, dy)) > 0, "seed " + seed);
    }

    @Test
    void tilesAreTakenWhereTheyPay() {
        // A group of a wide ResNet 16-4, the second layer of a small CNN, a layer of tiny images.
        assertTrue(WinogradConvolutions.share(64, 64, 32, 32) < WinogradConvolutions.USUALLY_BELOW);
        assertTrue(WinogradConvolutions.share(256, 256, 8, 8) < WinogradConvolutions.USUALLY_BELOW);
        assertTrue(WinogradConvolutions.share(32, 64, 14, 14) > WinogradConvolutions.USUALLY_BELOW);
        assertTrue(WinogradConvolutions.share(512, 512, 1, 1) > WinogradConvolutions.USUALLY_BELOW);
    }
}
