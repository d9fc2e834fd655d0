// Convolution by plain loops with double sums, for the stand-in of cuDNN. A test double.
//
//   y[n,k,p,q] = sum over c, r, s of x[n, c, p * strideH - padH + r, q * strideW - padW + s] *
//   w[k,c,r,s]
//
// and its two gradients. C and K are split into groups; w has C / groups channels. Tensors are
// NHWC, w is KRSC.
#pragma once
#include <vector>

#include "arithmetic.h"
#include "stand_in.h"

namespace stand_in {

struct ConvolutionShape {
    int n, c, h, w, k, p, q, r, s;
    int padH, padW, strideH, strideW, dilationH, dilationW, groups;

    size_t x_elements() const { return (size_t)n * c * h * w; }
    size_t y_elements() const { return (size_t)n * k * p * q; }
    size_t w_elements() const { return (size_t)k * (c / groups) * r * s; }
    double flops() const { return 2.0 * (double)y_elements() * (c / groups) * r * s; }

    // Calls f(index in x, index in y, index in w) for every product.
    template <class F>
    void for_products(F f) const {
        int cg = c / groups, kg = k / groups;
        for (int in = 0; in < n; in++)
            for (int ip = 0; ip < p; ip++)
                for (int iq = 0; iq < q; iq++)
                    for (int ir = 0; ir < r; ir++) {
                        int ih = ip * strideH - padH + ir * dilationH;
                        if (ih < 0 || ih >= h) continue;
                        for (int is = 0; is < s; is++) {
                            int iw = iq * strideW - padW + is * dilationW;
                            if (iw < 0 || iw >= w) continue;
                            size_t xAt = (((size_t)in * h + ih) * w + iw) * c;
                            size_t yAt = (((size_t)in * p + ip) * q + iq) * k;
                            for (int ik = 0; ik < k; ik++) {
                                size_t wAt = (((size_t)ik * r + ir) * s + is) * cg;
                                size_t first = xAt + (size_t)(ik / kg) * cg;
                                for (int ic = 0; ic < cg; ic++) f(first + ic, yAt + ik, wAt + ic);
                            }
                        }
                    }
    }
};

enum class Direction { FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT };

inline std::vector<float> decoded(const Array& array, size_t count) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; i++) values[i] = (float)array.get(i);
    return values;
}

// The sums of one direction: of y's, x's or w's extents. `first` is x (or dy for the input's
// gradient), `second` w (or dy for the weight's gradient).
inline std::vector<double> convolve(const ConvolutionShape& shape, Direction direction,
                                    const Array& first, const Array& second) {
    size_t x = shape.x_elements(), y = shape.y_elements(), w = shape.w_elements();
    if (direction == Direction::FORWARD) {
        std::vector<float> a = decoded(first, x), b = decoded(second, w);
        std::vector<double> sums(y);
        shape.for_products(
            [&](size_t i, size_t j, size_t l) { sums[j] += (double)a[i] * (double)b[l]; });
        return sums;
    }
    if (direction == Direction::INPUT_GRADIENT) {
        std::vector<float> a = decoded(first, y), b = decoded(second, w);
        std::vector<double> sums(x);
        shape.for_products(
            [&](size_t i, size_t j, size_t l) { sums[i] += (double)a[j] * (double)b[l]; });
        return sums;
    }
    std::vector<float> a = decoded(first, x), b = decoded(second, y);
    std::vector<double> sums(w);
    shape.for_products(
        [&](size_t i, size_t j, size_t l) { sums[l] += (double)a[i] * (double)b[j]; });
    return sums;
}

// The last bit of what an algorithm that adds with atomics gives differs from run to run.
inline double disturbed(double value) { return value * (1 + ((int)below(3) - 1) * 0x1p-24); }

}  // namespace stand_in
