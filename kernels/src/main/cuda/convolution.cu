// What a convolution needs beside the library that computes most of them: margins, sums into the
// gradient pack, and a convolution without conditions, for shapes that the library refuses.
//
//   pad          y[n,h,w,c] = x[n, h - top, w - left, c] where that is inside x, else 0; negative
//                top and left crop
//   accumulate   sum[k][i] += x[k][i] for many arrays k at once
//   convolution  y[n,p,q,k] = sum over r, s and c of k's group of
//                x[n, p * strideH + r - padTop, q * strideW + s - padLeft, c] * w[k,r,s,c - first],
//                first being the group's first channel and x zero outside the image;
//                plus what was in y, if `added`
//   convolution_input_gradient
//                dx[n,h,w,c] = sum over the windows (p, q) that hold (h, w) and k of c's group of
//                dy[n,p,q,k] * w[k, h + padTop - p * strideH, w + padLeft - q * strideW, c - first],
//                plus what was in dx, if `added`
//   convolution_weight_gradient
//                dw[k,r,s,c - first] += sum over n, p, q of
//                dy[n,p,q,k] * x[n, p * strideH + r - padTop, q * strideW + s - padLeft, c]
//
// pad         x (N, H, W, C) T, y (N, yHeight, yWidth, C) T.
// accumulate  sum[k] (count[k]) float32, x[k] (count[k]) bf16; no two arrays of a launch overlap.
// x, dx       (N, H, W, C) T.
// w           (K, R, S, C / groups) T; dw the same in float32.
// y, dy       (N, outHeight, outWidth, K) T.
// Launch      1-D, grid-stride. pad: 16 bytes of T per thread; accumulate: the same; convolution
//             and its input gradient: one element of the result per thread; its weight gradient:
//             one element per block.
// Traffic     pad S per element of x and of y, accumulate 10. The convolutions read from the
//             caches, window by window: slow, meant for shapes that nothing else takes.
// Twin        io.crescendo.reference.Convolution
#include "filter.cuh"

template <class T>
__device__ __forceinline__ void pad(T* __restrict__ y, const T* __restrict__ x, int samples,
                                    int channels, int height, int width, int yHeight, int yWidth,
                                    int top, int left) {
    constexpr int N = Width<T>::OF_PACK;
    const int packs = (channels + N - 1) / N;
    const long long count = (long long)samples * yHeight * yWidth * packs;
    for (long long i = thread_of_grid(); i < count; i += threads_of_grid()) {
        const int channel = (int)(i % packs) * N;
        const int valid = valid_of<N>(channel, channels);
        const long long pixel = i / packs;
        const int w = (int)(pixel % yWidth) - left;
        const int h = (int)(pixel / yWidth % yHeight) - top;
        const long long n = pixel / yWidth / yHeight;
        Floats<N> values{};
        if (h >= 0 && h < height && w >= 0 && w < width)
            values = load<N>(x + ((n * height + h) * width + w) * channels + channel, valid);
        store<N>(y + pixel * channels + channel, values, valid);
    }
}

template <class T>
__device__ __forceinline__ void convolution(const T* __restrict__ x, const T* __restrict__ weights,
                                            T* __restrict__ y, int added, int samples, Filter f) {
    const int share = f.channels_of_group();
    const long long count = (long long)samples * f.outHeight * f.outWidth * f.filters;
    for (long long i = thread_of_grid(); i < count; i += threads_of_grid()) {
        const int k = (int)(i % f.filters);
        const long long window = i / f.filters;
        const int q = (int)(window % f.outWidth), p = (int)(window / f.outWidth % f.outHeight);
        const long long n = window / f.outWidth / f.outHeight;
        const int first = k / f.filters_of_group() * share;
        float total = added ? to_float(y[i]) : 0.0f;
        for (int r = 0; r < f.kernelH; r++) {
            for (int s = 0; s < f.kernelW; s++) {
                const long long pixel = f.pixel(n, p, q, r, s);
                if (pixel < 0) continue;
                const T* from = x + pixel * f.channels + first;
                const T* tap = weights + (((long long)k * f.kernelH + r) * f.kernelW + s) * share;
                for (int c = 0; c < share; c++)
                    total = fmaf(to_float(from[c]), to_float(tap[c]), total);
            }
        }
        y[i] = from_float<T>(total);
    }
}

template <class T>
__device__ __forceinline__ void convolution_input_gradient(const T* __restrict__ dy,
                                                           const T* __restrict__ weights,
                                                           T* __restrict__ dx, int added,
                                                           int samples, Filter f) {
    const int share = f.channels_of_group(), filters = f.filters_of_group();
    const long long count = (long long)samples * f.height * f.width * f.channels;
    for (long long i = thread_of_grid(); i < count; i += threads_of_grid()) {
        const int c = (int)(i % f.channels), group = c / share;
        const long long pixel = i / f.channels;
        const int w = (int)(pixel % f.width), h = (int)(pixel / f.width % f.height);
        const long long n = pixel / f.width / f.height;
        float total = added ? to_float(dx[i]) : 0.0f;
        for (int r = 0; r < f.kernelH; r++) {
            const int down = h + f.padTop - r, p = down / f.strideH;
            if (down < 0 || down % f.strideH != 0 || p >= f.outHeight) continue;
            for (int s = 0; s < f.kernelW; s++) {
                const int right = w + f.padLeft - s, q = right / f.strideW;
                if (right < 0 || right % f.strideW != 0 || q >= f.outWidth) continue;
                const T* from = dy + ((n * f.outHeight + p) * f.outWidth + q) * f.filters;
                for (int k = group * filters; k < (group + 1) * filters; k++) {
                    long long tap = (((long long)k * f.kernelH + r) * f.kernelW + s) * share;
                    total =
                        fmaf(to_float(from[k]), to_float(weights[tap + c - group * share]), total);
                }
            }
        }
        dx[i] = from_float<T>(total);
    }
}

template <class T>
__device__ __forceinline__ void convolution_weight_gradient(const T* __restrict__ x,
                                                            const T* __restrict__ dy,
                                                            float* __restrict__ dw, int samples,
                                                            Filter f) {
    __shared__ float sums[WARPS];
    const int share = f.channels_of_group();
    const long long count = (long long)f.filters * f.kernelH * f.kernelW * share;
    const long long windows = (long long)samples * f.outHeight * f.outWidth;
    for (long long i = blockIdx.x; i < count; i += gridDim.x) {
        const int s = (int)(i / share % f.kernelW), r = (int)(i / share / f.kernelW % f.kernelH);
        const int k = (int)(i / share / f.kernelW / f.kernelH);
        const int c = k / f.filters_of_group() * share + (int)(i % share);
        float total = 0.0f;
        for (long long window = threadIdx.x; window < windows; window += THREADS) {
            const int q = (int)(window % f.outWidth), p = (int)(window / f.outWidth % f.outHeight);
            const long long pixel = f.pixel(window / f.outWidth / f.outHeight, p, q, r, s);
            if (pixel < 0) continue;
            total = fmaf(to_float(dy[window * f.filters + k]), to_float(x[pixel * f.channels + c]),
                         total);
        }
        total = warp_sum(total);
        if (threadIdx.x % LANES == 0) sums[threadIdx.x / LANES] = total;
        __syncthreads();
        if (threadIdx.x == 0) {
            for (int warp = 1; warp < WARPS; warp++) total += sums[warp];
            dw[i] += total;
        }
        __syncthreads();
    }
}

#define PADDING(DTYPE, T)                                                                  \
    KERNEL pad_##DTYPE(T* y, const T* x, int samples, int channels, int height, int width, \
                       int yHeight, int yWidth, int top, int left) {                       \
        pad<T>(y, x, samples, channels, height, width, yHeight, yWidth, top, left);        \
    }
PADDING(f32, float)
PADDING(bf16, bf16)
#undef PADDING

// What accumulate_bf16 adds at once. before[k] counts the packs of the summands before number k;
// before[number] is all of them.
constexpr int MOST_SUMMANDS = 64;
struct Summands {
    long long number;
    float* sum[MOST_SUMMANDS];
    const bf16* x[MOST_SUMMANDS];
    long long count[MOST_SUMMANDS];
    long long before[MOST_SUMMANDS + 1];
};

// Float32 needs no such kernel: the library adds to the pack itself.
KERNEL accumulate_bf16(const Summands all) {
    constexpr int N = Width<bf16>::OF_PACK;
    const long long packs = all.before[all.number];
    int k = 0;
    for (long long p = thread_of_grid(); p < packs; p += threads_of_grid()) {
        while (p >= all.before[k + 1]) k++;
        const long long i = (p - all.before[k]) * N, left = all.count[k] - i;
        const int valid = left < N ? (int)left : N;
        float* const sum = all.sum[k] + i;
        Floats<N> total = load<N>(sum, valid);
        const Floats<N> added = load<N>(all.x[k] + i, valid);
#pragma unroll
        for (int j = 0; j < N; j++) total.at[j] += added.at[j];
        store<N>(sum, total, valid);
    }
}

#define CONVOLUTION(DTYPE, T)                                                                      \
    KERNEL convolution_##DTYPE(const T* x, const T* w, T* y, int added, FILTER_PARAMETERS) {       \
        convolution<T>(x, w, y, added, FILTER);                                                    \
    }                                                                                              \
    KERNEL convolution_input_gradient_##DTYPE(const T* dy, const T* w, T* dx, int added,           \
                                              FILTER_PARAMETERS) {                                 \
        convolution_input_gradient<T>(dy, w, dx, added, FILTER);                                   \
    }                                                                                              \
    KERNEL convolution_weight_gradient_##DTYPE(const T* x, const T* dy, float* dw,                 \
                                               FILTER_PARAMETERS) {                                \
        convolution_weight_gradient<T>(x, dy, dw, FILTER);                                         \
    }
CONVOLUTION(f32, float)
CONVOLUTION(bf16, bf16)
