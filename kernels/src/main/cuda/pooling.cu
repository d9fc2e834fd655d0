// Max and average pooling, NHWC, and their gradients. Window (p, q) covers kernelH rows from
// p * strideH - padTop and kernelW columns from q * strideW - padLeft, of which only what lies
// inside the image counts.
//
//   max_pool               y = the largest element of the window, the first of equals;
//                          indices = h * W + w of that element
//   max_pool_gradient      dx = sum of dy over the windows that the element won
//   average_pool           y = mean of the window's elements inside the image
//   average_pool_gradient  dx = sum over the windows that hold the element of dy / their elements
//                          inside the image
//
// x, dx       (N, H, W, C) T.
// y, dy       (N, outH, outW, C) T.
// indices     (N, outH, outW, C) int32; max_pool also takes null.
// Launch      grid (blocks, ceil(ceil(C / V) / 32)) with V = 16 / S channels per thread, stride
//             over the rows of the result, below 2^31: N * outH * outW forward, N * H * W for
//             gradients. Gradients gather, in the order of the windows: nothing is cleared before,
//             and there are no atomics.
// Traffic     S per element of x and of y, + 4 per element of y with indices; overlapping windows
//             meet in the caches.
// Twin        io.crescendo.reference.Pooling
#include "common.cuh"

struct Window {
    int height, width, outHeight, outWidth, kernelH, kernelW, strideH, strideW, padTop, padLeft;

    // First window along an axis that reaches `line`; those after it up to line_last() do too.
    static __device__ __forceinline__ int first_over(int line, int pad, int kernel, int stride) {
        int reach = line + pad - kernel + 1;
        return reach <= 0 ? 0 : (reach + stride - 1) / stride;
    }

    static __device__ __forceinline__ int last_over(int line, int pad, int stride, int windows) {
        int last = (line + pad) / stride;
        return last < windows ? last : windows - 1;
    }
};

// The part [begin, end) of one window along one axis that lies inside the image.
struct Span {
    int begin, end;

    __device__ __forceinline__ Span(int window, int stride, int pad, int kernel, int lines) {
        int start = window * stride - pad;
        begin = start < 0 ? 0 : start;
        end = start + kernel < lines ? start + kernel : lines;
    }
};

// Calls f(sample, line, column, row) for every row of a (samples, lines, columns) result that this
// thread has.
template <int N, class F>
__device__ __forceinline__ void for_rows(const Slab<N>& slab, int samples, int lines, int columns,
                                         F f) {
    if (!slab.active) return;
    const unsigned count = (unsigned)samples * lines * columns, stride = gridDim.x * slab.rows;
    for (unsigned row = blockIdx.x * slab.rows + slab.row; row < count; row += stride) {
        unsigned column = row % columns, line = row / columns % lines,
                 sample = row / columns / lines;
        f((long long)sample, (int)line, (int)column, (long long)row);
    }
}

template <class T, bool MAX>
__device__ __forceinline__ void pool(const T* __restrict__ x, T* __restrict__ y,
                                     int* __restrict__ indices, int samples, int channels,
                                     Window window) {
    constexpr int N = Width<T>::OF_PACK;
    const Slab<N> slab(channels);
    auto one = [&](long long n, int p, int q, long long row) {
        Span lines(p, window.strideH, window.padTop, window.kernelH, window.height);
        Span columns(q, window.strideW, window.padLeft, window.kernelW, window.width);
        Floats<N> result{};
        int winner[N];
#pragma unroll
        for (int j = 0; j < N; j++) winner[j] = -1;
        for (int h = lines.begin; h < lines.end; h++) {
            for (int w = columns.begin; w < columns.end; w++) {
                int place = h * window.width + w;
                long long at = (n * window.height * window.width + place) * channels + slab.channel;
                Floats<N> values = load<N>(x + at, slab.valid);
#pragma unroll
                for (int j = 0; j < N; j++) {
                    if (!MAX) result.at[j] += values.at[j];
                    if (MAX && (winner[j] < 0 || values.at[j] > result.at[j])) {
                        result.at[j] = values.at[j];
                        winner[j] = place;
                    }
                }
            }
        }
        if (!MAX) {
            float inside = (float)((lines.end - lines.begin) * (columns.end - columns.begin));
#pragma unroll
            for (int j = 0; j < N; j++) result.at[j] /= inside;
        }
        long long out = row * channels + slab.channel;
        store<N>(y + out, result, slab.valid);
        if (MAX && indices != nullptr)
            for (int j = 0; j < N; j++)
                if (j < slab.valid) indices[out + j] = winner[j];
    };
    for_rows(slab, samples, window.outHeight, window.outWidth, one);
}

template <class T, bool MAX>
__device__ __forceinline__ void pool_gradient(const T* __restrict__ dy,
                                              const int* __restrict__ indices, T* __restrict__ dx,
                                              int samples, int channels, Window window) {
    constexpr int N = Width<T>::OF_PACK;
    const Slab<N> slab(channels);
    auto one = [&](long long n, int h, int w, long long row) {
        int firstP = Window::first_over(h, window.padTop, window.kernelH, window.strideH);
        int lastP = Window::last_over(h, window.padTop, window.strideH, window.outHeight);
        int firstQ = Window::first_over(w, window.padLeft, window.kernelW, window.strideW);
        int lastQ = Window::last_over(w, window.padLeft, window.strideW, window.outWidth);
        int place = h * window.width + w;
        Floats<N> total{};
        for (int p = firstP; p <= lastP; p++) {
            Span lines(p, window.strideH, window.padTop, window.kernelH, window.height);
            for (int q = firstQ; q <= lastQ; q++) {
                Span columns(q, window.strideW, window.padLeft, window.kernelW, window.width);
                long long at =
                    ((n * window.outHeight + p) * window.outWidth + q) * channels + slab.channel;
                Floats<N> gradients = load<N>(dy + at, slab.valid);
                float inside = (float)((lines.end - lines.begin) * (columns.end - columns.begin));
#pragma unroll
                for (int j = 0; j < N; j++) {
                    if (!MAX) total.at[j] += gradients.at[j] / inside;
                    if (MAX && j < slab.valid && indices[at + j] == place)
                        total.at[j] += gradients.at[j];
                }
            }
        }
        store<N>(dx + row * channels + slab.channel, total, slab.valid);
    };
    for_rows(slab, samples, window.height, window.width, one);
}

#define WINDOW_PARAMETERS                                                                       \
    int samples, int channels, int height, int width, int outHeight, int outWidth, int kernelH, \
        int kernelW, int strideH, int strideW, int padTop, int padLeft
#define WINDOW                                                                                  \
    samples, channels, Window {                                                                 \
        height, width, outHeight, outWidth, kernelH, kernelW, strideH, strideW, padTop, padLeft \
    }
#define POOLING(DTYPE, T)                                                                         \
    KERNEL max_pool_##DTYPE(const T* x, T* y, int* indices, WINDOW_PARAMETERS) {                  \
        pool<T, true>(x, y, indices, WINDOW);                                                     \
    }                                                                                             \
    KERNEL max_pool_gradient_##DTYPE(const T* dy, const int* indices, T* dx, WINDOW_PARAMETERS) { \
        pool_gradient<T, true>(dy, indices, dx, WINDOW);                                          \
    }                                                                                             \
    KERNEL average_pool_##DTYPE(const T* x, T* y, WINDOW_PARAMETERS) {                            \
        pool<T, false>(x, y, nullptr, WINDOW);                                                    \
    }                                                                                             \
    KERNEL average_pool_gradient_##DTYPE(const T* dy, T* dx, WINDOW_PARAMETERS) {                 \
        pool_gradient<T, false>(dy, nullptr, dx, WINDOW);                                         \
    }
POOLING(f32, float)
POOLING(bf16, bf16)
#undef WINDOW
#undef WINDOW_PARAMETERS
