package io.crescendo.cpu;

/**
 * The one-dimensional transforms of the minimal filtering algorithm F(4, 3), each on many signals side by side.
 *
 * <p>Four outputs of a filter of three taps need six multiplications instead of twelve:
 *
 * <pre>
 *   y = Aᵀ [(G g) ⊙ (Bᵀ d)]      d six inputs, g three taps, y four outputs, ⊙ element by element
 *
 *        ⎡4  0 −5  0  1  0⎤         ⎡  1/4    0     0  ⎤
 *        ⎢0 −4 −4  1  1  0⎥         ⎢ −1/6  −1/6  −1/6 ⎥         ⎡1  1  1  1  1  0⎤
 *   Bᵀ = ⎢0  4 −4 −1  1  0⎥     G = ⎢ −1/6   1/6  −1/6 ⎥    Aᵀ = ⎢0  1 −1  2 −2  0⎥
 *        ⎢0 −2 −1  2  1  0⎥         ⎢ 1/24  1/12   1/6 ⎥         ⎢0  1  1  4  4  0⎥
 *        ⎢0  2 −1 −2  1  0⎥         ⎢ 1/24 −1/12   1/6 ⎥         ⎣0  1 −1  8 −8  1⎦
 *        ⎣0  4  0 −5  0  1⎦         ⎣  0     0     1  ⎦
 * </pre>
 *
 * <p>Along both axes in turn they make F(4×4, 3×3) with 36 multiplications instead of 144. The transposes of the three
 * matrices carry gradients back.
 *
 * <p>Element i of every array belongs to signal i, so the loops become vector instructions. They are short on purpose,
 * two results each: the compiler does not unroll longer ones, and what is not unrolled is not vectorised (four times
 * slower). Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015.
 */
final class WinogradTransforms {
    /** Inputs, and multiplications, along one axis. */
    static final int TILE = 6;
    /** Outputs along one axis. */
    static final int OUTPUTS = 4;
    /** Taps along one axis. */
    static final int TAPS = 3;

    private WinogradTransforms() {}

    /** t = Bᵀ d. */
    static void input(float[][] d, float[][] t, int length) {
        inputOuter(d[0], d[2], d[4], t[0], length);
        inputOnes(d[1], d[2], d[3], d[4], t[1], t[2], length);
        inputTwos(d[1], d[2], d[3], d[4], t[3], t[4], length);
        inputOuter(d[1], d[3], d[5], t[5], length);
    }

    private static void inputOuter(float[] near, float[] middle, float[] far, float[] t, int length) {
        for (int i = 0; i < length; i++) {
            t[i] = 4 * near[i] - 5 * middle[i] + far[i];
        }
    }

    private static void inputOnes(float[] d1, float[] d2, float[] d3, float[] d4, float[] t1, float[] t2, int length) {
        for (int i = 0; i < length; i++) {
            float even = d4[i] - 4 * d2[i];
            float odd = d3[i] - 4 * d1[i];
            t1[i] = even + odd;
            t2[i] = even - odd;
        }
    }

    private static void inputTwos(float[] d1, float[] d2, float[] d3, float[] d4, float[] t3, float[] t4, int length) {
        for (int i = 0; i < length; i++) {
            float even = d4[i] - d2[i];
            float odd = 2 * (d3[i] - d1[i]);
            t3[i] = even + odd;
            t4[i] = even - odd;
        }
    }

    /** y = Aᵀ m; m in the six arrays from {@code first} on, results in arrays that lie {@code resultStep} apart. */
    static void output(float[][] m, int first, float[][] y, int firstResult, int resultStep, int length) {
        outputEven(
                m[first],
                m[first + 1],
                m[first + 2],
                m[first + 3],
                m[first + 4],
                y[firstResult],
                y[firstResult + 2 * resultStep],
                length);
        outputFirst(m[first + 1], m[first + 2], m[first + 3], m[first + 4], y[firstResult + resultStep], length);
        outputThird(
                m[first + 1],
                m[first + 2],
                m[first + 3],
                m[first + 4],
                m[first + 5],
                y[firstResult + 3 * resultStep],
                length);
    }

    private static void outputEven(
            float[] m0, float[] m1, float[] m2, float[] m3, float[] m4, float[] y0, float[] y2, int length) {
        for (int i = 0; i < length; i++) {
            float ones = m1[i] + m2[i];
            float twos = m3[i] + m4[i];
            y0[i] = m0[i] + ones + twos;
            y2[i] = ones + 4 * twos;
        }
    }

    private static void outputFirst(float[] m1, float[] m2, float[] m3, float[] m4, float[] y1, int length) {
        for (int i = 0; i < length; i++) {
            y1[i] = m1[i] - m2[i] + 2 * (m3[i] - m4[i]);
        }
    }

    private static void outputThird(
            float[] m1, float[] m2, float[] m3, float[] m4, float[] m5, float[] y3, int length) {
        for (int i = 0; i < length; i++) {
            y3[i] = m1[i] - m2[i] + 8 * (m3[i] - m4[i]) + m5[i];
        }
    }

    /** dm = A dy; dy in four arrays that lie {@code step} apart, results side by side. */
    static void outputGradient(float[][] dy, int first, int step, float[][] dm, int firstResult, int length) {
        float[] y0 = dy[first];
        float[] y1 = dy[first + step];
        float[] y2 = dy[first + 2 * step];
        float[] y3 = dy[first + 3 * step];
        System.arraycopy(y0, 0, dm[firstResult], 0, length);
        gradientOnes(y0, y1, y2, y3, dm[firstResult + 1], dm[firstResult + 2], length);
        gradientTwos(y0, y1, y2, y3, dm[firstResult + 3], dm[firstResult + 4], length);
        System.arraycopy(y3, 0, dm[firstResult + 5], 0, length);
    }

    private static void gradientOnes(
            float[] y0, float[] y1, float[] y2, float[] y3, float[] m1, float[] m2, int length) {
        for (int i = 0; i < length; i++) {
            float even = y0[i] + y2[i];
            float odd = y1[i] + y3[i];
            m1[i] = even + odd;
            m2[i] = even - odd;
        }
    }

    private static void gradientTwos(
            float[] y0, float[] y1, float[] y2, float[] y3, float[] m3, float[] m4, int length) {
        for (int i = 0; i < length; i++) {
            float even = y0[i] + 4 * y2[i];
            float odd = 2 * y1[i] + 8 * y3[i];
            m3[i] = even + odd;
            m4[i] = even - odd;
        }
    }

    /** u = G g; the taps in three arrays that lie {@code step} apart, results likewise. */
    static void filter(float[][] g, int first, int step, float[][] u, int firstResult, int resultStep, int length) {
        float[] g0 = g[first];
        float[] g1 = g[first + step];
        float[] g2 = g[first + 2 * step];
        scale(g0, 0.25f, u[firstResult], length);
        filterPair(
                g0,
                g1,
                g2,
                -1 / 6f,
                -1 / 6f,
                -1 / 6f,
                u[firstResult + resultStep],
                u[firstResult + 2 * resultStep],
                length);
        filterPair(
                g0,
                g1,
                g2,
                1 / 24f,
                1 / 12f,
                1 / 6f,
                u[firstResult + 3 * resultStep],
                u[firstResult + 4 * resultStep],
                length);
        System.arraycopy(g2, 0, u[firstResult + 5 * resultStep], 0, length);
    }

    private static void scale(float[] from, float factor, float[] to, int length) {
        for (int i = 0; i < length; i++) {
            to[i] = from[i] * factor;
        }
    }

    private static void filterPair(
            float[] g0, float[] g1, float[] g2, float a, float b, float c, float[] plus, float[] minus, int length) {
        for (int i = 0; i < length; i++) {
            float even = a * g0[i] + c * g2[i];
            float odd = b * g1[i];
            plus[i] = even + odd;
            minus[i] = even - odd;
        }
    }

    /** dg = Gᵀ du. */
    static void filterGradient(
            float[][] du, int first, int step, float[][] dg, int firstResult, int resultStep, int length) {
        float[] u1 = du[first + step];
        float[] u2 = du[first + 2 * step];
        float[] u3 = du[first + 3 * step];
        float[] u4 = du[first + 4 * step];
        outerTap(du[first], 0.25f, u1, u2, u3, u4, 1 / 24f, dg[firstResult], length);
        innerTap(u1, u2, u3, u4, dg[firstResult + resultStep], length);
        outerTap(du[first + 5 * step], 1, u1, u2, u3, u4, 1 / 6f, dg[firstResult + 2 * resultStep], length);
    }

    private static void outerTap(
            float[] own,
            float ownFactor,
            float[] u1,
            float[] u2,
            float[] u3,
            float[] u4,
            float twosFactor,
            float[] g,
            int length) {
        for (int i = 0; i < length; i++) {
            g[i] = ownFactor * own[i] - (u1[i] + u2[i]) * (1 / 6f) + (u3[i] + u4[i]) * twosFactor;
        }
    }

    private static void innerTap(float[] u1, float[] u2, float[] u3, float[] u4, float[] g, int length) {
        for (int i = 0; i < length; i++) {
            g[i] = (u2[i] - u1[i]) * (1 / 6f) + (u3[i] - u4[i]) * (1 / 12f);
        }
    }
}
