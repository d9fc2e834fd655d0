// Max and average pooling, NHWC, and their gradients. Window (p, q) covers kernelH rows from
// p * strideH - padTop and kernelW columns from q * strideW - padLeft, of which only what lies
// inside the image counts.
//
//   max_pool               y = the largest element of the window, the first of equals, or NaN;
//                          indices = h * W + w of that element
//   max_pool_gradient      dx = sum of dy over the windows that the element won
//   average_pool           y = mean of the window's elements inside the image
//   average_pool_gradient  dx = sum over the windows that hold the element of dy / their elements
//                          inside the image
//
// x, dx       (N, H, W, C) T.
// y, dy       (N, outH, outW, C) T.
// indices     (N, outH, outW, C) int32; max_pool also takes null.
// Launch      grid (blocks, slabs) with slabs as in common.cuh, 16 / S channels per thread, stride
//             over the rows of the result, below 2^31: N * outH * outW forward, N * H * W for
//             gradients. average_pool shares a window out among the threads of a block where the
//             grid has more places than windows, as it should have where a window is the whole
//             image: the sum's order, and so its last bit, is the grid's. Gradients gather, in the
//             order of the windows: nothing is cleared before, and there are no atomics.
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

// Where a row of a (samples, lines, columns) result lies.
struct Place {
    long long sample;
    int line, column;

    __device__ __forceinline__ Place(unsigned row, int lines, int columns)
        : sample(row / columns / lines),
          line((int)(row / columns % lines)),
          column((int)(row % columns)) {}
};

// A pack wherever it lies: the first `valid` of its elements, the rest zero.
template <class T, int N>
__device__ __forceinline__ Fetched<T> fetch_some(const T* from, int valid) {
    Fetched<T> pack{};
    if constexpr (sizeof(T) == sizeof(float)) {
#pragma unroll
        for (int j = 0; j < N; j++)
            if (j < valid) pack.word[j] = __float_as_uint(from[j]);
    } else {
#pragma unroll
        for (int j = 0; j < N; j++)
            if (j < valid) pack.word[j / 2] |= (unsigned)from[j].bits << (j % 2 * 16);
    }
    return pack;
}

// The elements of one window that one of the threads that share it has: every so many, row by row.
// Calls f(values, place) with a few under way at once.
template <class T, int N, class F>
__device__ __forceinline__ void for_window(const T* image, int channels, int width,
                                           const Span& lines, const Span& columns, int member,
                                           int sharing, bool whole, const Slab<N>& slab, F f) {
    if (lines.begin >= lines.end || columns.begin >= columns.end) return;
    int h = lines.begin, w = columns.begin;
    const auto advance = [&](int elements) {
        for (w += elements; w >= columns.end; h++) w -= columns.end - columns.begin;
    };
    advance(member);
#pragma unroll 1
    while (h < lines.end) {
        Fetched<T> packs[AHEAD]{};
        int places[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            places[i] = h < lines.end ? h * width + w : -1;
            if (places[i] >= 0) {
                const T* from = image + (long long)places[i] * channels;
                packs[i] = whole ? fetch(from) : fetch_some<T, N>(from, slab.valid);
            }
            advance(sharing);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            if (places[i] >= 0) f(to_floats<N>(packs[i]), places[i]);
    }
}

template <class T>
__device__ __forceinline__ void max_pool(const T* __restrict__ x, T* __restrict__ y,
                                         int* __restrict__ indices, int samples, int channels,
                                         Window window) {
    constexpr int N = Width<T>::OF_PACK;
    const Slab<N> slab(channels);
    if (!slab.active) return;
    const bool whole = slab.moves_whole(x, channels);
    const bool wholeIndices = slab.moves_whole(indices, channels);
    const unsigned count = (unsigned)samples * window.outHeight * window.outWidth;
    for (unsigned row = slab.part * slab.rows + slab.row; row < count;
         row += gridDim.x * slab.rows) {
        const Place place(row, window.outHeight, window.outWidth);
        const Span lines(place.line, window.strideH, window.padTop, window.kernelH, window.height);
        const Span columns(place.column, window.strideW, window.padLeft, window.kernelW,
                           window.width);
        Floats<N> largest{};
        Pack<int, N> winner;
#pragma unroll
        for (int j = 0; j < N; j++) winner.at[j] = -1;
        for_window(x + place.sample * window.height * window.width * channels + slab.channel,
                   channels, window.width, lines, columns, 0, 1, whole, slab,
                   [&](const Floats<N>& values, int at) {
#pragma unroll
                       for (int j = 0; j < N; j++) {
                           const float value = values.at[j], best = largest.at[j];
                           if (winner.at[j] < 0 || value > best || (value != value && best == best)) {
                               largest.at[j] = values.at[j];
                               winner.at[j] = at;
                           }
                       }
                   });
        const long long out = (long long)row * channels + slab.channel;
        store<N>(y + out, largest, slab.valid);
        if (indices == nullptr) continue;
        if (wholeIndices) {
            *reinterpret_cast<Pack<int, N>*>(indices + out) = winner;
        } else {
#pragma unroll
            for (int j = 0; j < N; j++)
                if (j < slab.valid) indices[out + j] = winner.at[j];
        }
    }
}

template <class T>
__device__ __forceinline__ void average_pool(const T* __restrict__ x, T* __restrict__ y,
                                             int samples, int channels, Window window) {
    constexpr int N = Width<T>::OF_PACK;
    __shared__ Floats<N> sums[THREADS];
    const Slab<N> slab(channels);
    const bool whole = slab.moves_whole(x, channels);
    const unsigned count = (unsigned)samples * window.outHeight * window.outWidth;
    // Where the grid has more places than there are windows, a few threads below each other share
    // one.
    const unsigned places = gridDim.x * slab.rows / count;
    const int sharing = (int)(places < 1 ? 1 : places < (unsigned)slab.rows ? places : slab.rows);
    const int windows = slab.rows / sharing;  // of the block at once
    const int own = slab.row / sharing, member = slab.row % sharing;
    for (unsigned first = slab.part * windows; first < count; first += gridDim.x * windows) {
        const unsigned row = first + own;
        const bool mine = slab.active && own < windows && row < count;
        Floats<N> sum{};
        float inside = 1.0f;
        if (mine) {
            const Place place(row, window.outHeight, window.outWidth);
            const Span lines(place.line, window.strideH, window.padTop, window.kernelH,
                             window.height);
            const Span columns(place.column, window.strideW, window.padLeft, window.kernelW,
                               window.width);
            inside = (float)((lines.end - lines.begin) * (columns.end - columns.begin));
            for_window(x + place.sample * window.height * window.width * channels + slab.channel,
                       channels, window.width, lines, columns, member, sharing, whole, slab,
                       [&](const Floats<N>& values, int) {
#pragma unroll
                           for (int j = 0; j < N; j++) sum.at[j] += values.at[j];
                       });
        }
        if (sharing > 1) {
            sums[threadIdx.x] = sum;
            __syncthreads();
            for (int i = 1; mine && member == 0 && i < sharing; i++)
#pragma unroll
                for (int j = 0; j < N; j++)
                    sum.at[j] += sums[threadIdx.x + i * slab.width].at[j];
            __syncthreads();
        }
        if (!mine || member != 0) continue;
        const float share = 1.0f / inside;
#pragma unroll
        for (int j = 0; j < N; j++) sum.at[j] *= share;
        store<N>(y + (long long)row * channels + slab.channel, sum, slab.valid);
    }
}

template <class T, bool MAX>
__device__ __forceinline__ void pool_gradient(const T* __restrict__ dy,
                                              const int* __restrict__ indices, T* __restrict__ dx,
                                              int samples, int channels, Window window) {
    constexpr int N = Width<T>::OF_PACK;
    const Slab<N> slab(channels);
    if (!slab.active) return;
    const bool whole = slab.moves_whole(dy, channels) &&
                       (!MAX || slab.moves_whole(indices, channels));
    const unsigned count = (unsigned)samples * window.height * window.width;
    for (unsigned row = slab.part * slab.rows + slab.row; row < count;
         row += gridDim.x * slab.rows) {
        const Place x(row, window.height, window.width);
        const int h = x.line, w = x.column;
        const int firstP = Window::first_over(h, window.padTop, window.kernelH, window.strideH);
        const int lastP = Window::last_over(h, window.padTop, window.strideH, window.outHeight);
        const int firstQ = Window::first_over(w, window.padLeft, window.kernelW, window.strideW);
        const int lastQ = Window::last_over(w, window.padLeft, window.strideW, window.outWidth);
        const int place = h * window.width + w;
        Floats<N> total{};
        for (int p = firstP; p <= lastP; p++) {
            const Span lines(p, window.strideH, window.padTop, window.kernelH, window.height);
            for (int q = firstQ; q <= lastQ; q++) {
                const long long at =
                    ((x.sample * window.outHeight + p) * window.outWidth + q) * channels +
                    slab.channel;
                const Fetched<T> pack =
                    whole ? fetch(dy + at) : fetch_some<T, N>(dy + at, slab.valid);
                if (MAX) {
                    Pack<int, N> winner;
                    if (whole) {
                        winner = *reinterpret_cast<const Pack<int, N>*>(indices + at);
                    } else {
#pragma unroll
                        for (int j = 0; j < N; j++)
                            winner.at[j] = j < slab.valid ? indices[at + j] : -1;
                    }
#pragma unroll
                    for (int j = 0; j < N; j++)
                        if (winner.at[j] == place) total.at[j] += pack.at(j);
                } else {
                    const Span columns(q, window.strideW, window.padLeft, window.kernelW,
                                       window.width);
                    const float share = 1.0f / (float)((lines.end - lines.begin) *
                                                       (columns.end - columns.begin));
#pragma unroll
                    for (int j = 0; j < N; j++) total.at[j] += pack.at(j) * share;
                }
            }
        }
        store<N>(dx + (long long)row * channels + slab.channel, total, slab.valid);
    }
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
        max_pool<T>(x, y, indices, WINDOW);                                                     \
    }                                                                                             \
    KERNEL max_pool_gradient_##DTYPE(const T* dy, const int* indices, T* dx, WINDOW_PARAMETERS) { \
        pool_gradient<T, true>(dy, indices, dx, WINDOW);                                          \
    }                                                                                             \
    KERNEL average_pool_##DTYPE(const T* x, T* y, WINDOW_PARAMETERS) {                            \
        average_pool<T>(x, y, WINDOW);                                                    \
    }                                                                                             \
    KERNEL average_pool_gradient_##DTYPE(const T* dy, T* dx, WINDOW_PARAMETERS) {                 \
        pool_gradient<T, false>(dy, nullptr, dx, WINDOW);                                         \
    }
POOLING(f32, float)
POOLING(bf16, bf16)
#undef WINDOW
#undef WINDOW_PARAMETERS
