// Convolutions of images that have few channels, as the first of a network: too few for tensor
// cores, which multiply at least eight at once.
//
//   few_channels
//       y[n,p,q,k] = sum over r, s, c of
//       x[n, p * strideH + r - padTop, q * strideW + s - padLeft, c] * w[k,r,s,c], x zero outside
//       the image; plus what was in y, if `added`
//   few_channels_weight_gradient
//       partials[b,k,r,s,c] = sum over the windows (n, p, q) of block b of
//       dy[n,p,q,k] * x[n, p * strideH + r - padTop, q * strideW + s - padLeft, c]
//   add_partials
//       sum[i] += partials[0,i] + partials[1,i] + ...
//
// x           (N, H, W, C) T, y and dy (N, outHeight, outWidth, K) T, w (K, R, S, C) T.
//             groups 1, R * S * C <= 256, N * outHeight * outWidth < 2^31.
// partials    (blocks of x, K, R, S, C) float32. add_partials takes it as (parts, count).
// tileRows, tileColumns
//             windows that a block works on at once: tileRows * tileColumns <= 256, and the pixels
//             under them hold at most 6144 numbers, ((tileRows - 1) * strideH + R) *
//             ((tileColumns - 1) * strideW + S) * C.
// Launch      few_channels: x blocks of 512 windows, y blocks of 16 filters, grid-stride along x.
//             Its weight gradient: the same y, any number of blocks along x, which share the tiles.
//             add_partials: 1-D, a block for 32 numbers, grid-stride.
// Traffic     few_channels S per element of x and y; its weight gradient S per element of x and dy,
//             + 8 per partial. Per window of 3 x 3 x 3 and 16 filters 432 multiplications: on a
//             large device about as long as the bytes take.
// Twin        io.crescendo.reference.Convolution
#include "filter.cuh"

constexpr int FILTERS_OF_BLOCK = 16;
constexpr int MOST_TAPS = 256;

// ---- Forward: a thread has two windows and all filters of the block, whose weights lie in shared
// memory, those of a tap side by side.

template <class T>
__device__ __forceinline__ void few_channels(const T* __restrict__ x, const T* __restrict__ weights,
                                             T* __restrict__ y, int added, int samples, Filter f) {
    constexpr int WINDOWS = 2, N = Width<T>::OF_PACK;
    __shared__ Fetched<float> ofTaps[MOST_TAPS * FILTERS_OF_BLOCK / QUAD];
    const int first = (int)blockIdx.y * FILTERS_OF_BLOCK;
    const int taps = f.kernelH * f.kernelW * f.channels;
    for (int i = (int)threadIdx.x; i < taps * FILTERS_OF_BLOCK / QUAD; i += THREADS) {
        const int tap = i / (FILTERS_OF_BLOCK / QUAD);
        Floats<QUAD> values;
#pragma unroll
        for (int j = 0; j < QUAD; j++) {
            const int k = first + i % (FILTERS_OF_BLOCK / QUAD) * QUAD + j;
            values.at[j] = k < f.filters ? to_float(weights[(long long)k * taps + tap]) : 0.0f;
        }
        ofTaps[i] = packed<float>(values);
    }
    __syncthreads();
    const int windows = samples * f.outHeight * f.outWidth;
    const long long stride = threads_of_grid() * WINDOWS;
    for (long long begin = (long long)blockIdx.x * THREADS * WINDOWS; begin < windows;
         begin += stride) {
        const T* image[WINDOWS];
        int top[WINDOWS], left[WINDOWS];
        float sums[WINDOWS][FILTERS_OF_BLOCK]{};
#pragma unroll
        for (int v = 0; v < WINDOWS; v++) {
            const long long window = begin + v * THREADS + threadIdx.x;
            // One that is not there is the last, once more, and not written.
            const int there = window < windows ? (int)window : windows - 1;
            const int line = divided(there, f.outWidth), n = divided(line, f.outHeight);
            left[v] = (there - line * f.outWidth) * f.strideW - f.padLeft;
            top[v] = (line - n * f.outHeight) * f.strideH - f.padTop;
            image[v] = x + (long long)n * f.height * f.width * f.channels;
        }
        const Fetched<float>* tap = ofTaps;
#pragma unroll 1
        for (int r = 0; r < f.kernelH; r++) {
#pragma unroll 1
            for (int s = 0; s < f.kernelW; s++) {
                const T* from[WINDOWS];
                bool inside[WINDOWS];
#pragma unroll
                for (int v = 0; v < WINDOWS; v++) {
                    const int h = top[v] + r, w = left[v] + s;
                    inside[v] = h >= 0 && h < f.height && w >= 0 && w < f.width;
                    from[v] = image[v] + ((long long)h * f.width + w) * f.channels;
                }
                for (int c = 0; c < f.channels; c++, tap += FILTERS_OF_BLOCK / QUAD) {
                    float values[WINDOWS];
#pragma unroll
                    for (int v = 0; v < WINDOWS; v++)
                        values[v] = inside[v] ? to_float(from[v][c]) : 0.0f;
#pragma unroll
                    for (int k = 0; k < FILTERS_OF_BLOCK; k++) {
                        const float weight = tap[k / QUAD].at(k % QUAD);
#pragma unroll
                        for (int v = 0; v < WINDOWS; v++)
                            sums[v][k] = fmaf(values[v], weight, sums[v][k]);
                    }
                }
            }
        }
#pragma unroll
        for (int v = 0; v < WINDOWS; v++) {
            const long long window = begin + v * THREADS + threadIdx.x;
            if (window >= windows) continue;
#pragma unroll
            for (int k = 0; k < FILTERS_OF_BLOCK; k += N) {
                T* const to = y + window * f.filters + first + k;
                const int valid = valid_of<N>(first + k, f.filters);
                Floats<N> values{};
                if (added) values = load<N>(to, valid);
#pragma unroll
                for (int j = 0; j < N; j++) values.at[j] += sums[v][k + j];
                store<N>(to, values, valid);
            }
        }
    }
}

// ---- Weight gradient: a block goes over its tiles of windows with the pixels under them in shared
// memory. A thread has 9 taps, 4 filters and every so many windows; at the end those that have the
// same taps and filters are added.

template <class T>
__device__ __forceinline__ void few_channels_weight_gradient(
    const T* __restrict__ x, const T* __restrict__ dy, float* __restrict__ partials, int tileRows,
    int tileColumns, int samples, Filter f) {
    constexpr int N = Width<T>::OF_PACK, TAPS = 9, PACKS = FILTERS_OF_BLOCK / N;
    constexpr int QUARTERS = FILTERS_OF_BLOCK / QUAD;
    constexpr int OF_THREAD = TAPS * QUAD + 1;  // odd, for the banks
    constexpr int MOST_WINDOWS = 256, MOST_PIXELS = 6144;
    constexpr int TILE = MOST_WINDOWS * FILTERS_OF_BLOCK + MOST_PIXELS;
    static_assert(TILE >= THREADS * OF_THREAD, "what threads found lies where the tile was");
    __shared__ Fetched<float> shared[TILE / QUAD];
    Fetched<float>* const gradients = shared;
    float* const pixels = reinterpret_cast<float*>(shared + MOST_WINDOWS * FILTERS_OF_BLOCK / QUAD);
    float* const found = reinterpret_cast<float*>(shared);

    const int first = (int)blockIdx.y * FILTERS_OF_BLOCK;
    const int taps = f.kernelH * f.kernelW * f.channels;
    // What a thread has: taps TAPS * part ..., filters QUAD * quarter ..., windows lane, lane + lanes.
    const int kinds = (taps + TAPS - 1) / TAPS * QUARTERS;
    const int lanes = THREADS / kinds, lane = (int)threadIdx.x / kinds;
    const int kind = (int)threadIdx.x - lane * kinds, quarter = kind % QUARTERS;
    const int columns = (tileColumns - 1) * f.strideW + f.kernelW;
    const int rows = (tileRows - 1) * f.strideH + f.kernelH;
    int offset[TAPS];
    float sums[TAPS][QUAD]{};
#pragma unroll
    for (int i = 0; i < TAPS; i++) {
        const int tap = kind / QUARTERS * TAPS + i, at = tap / f.channels;
        // One that is not there is another one, and not written.
        offset[i] = tap < taps ? (at / f.kernelW * columns + at % f.kernelW) * f.channels +
                                     tap % f.channels
                               : 0;
    }
    const int across = (f.outWidth + tileColumns - 1) / tileColumns;
    const int down = (f.outHeight + tileRows - 1) / tileRows;
    const int tiles = samples * down * across, windows = tileRows * tileColumns;
#pragma unroll 1
    for (int tile = (int)blockIdx.x; tile < tiles; tile += (int)gridDim.x) {
        const int q = tile % across * tileColumns, p = tile / across % down * tileRows;
        const long long n = tile / across / down;
        for (int i = (int)threadIdx.x; i < windows * PACKS; i += THREADS) {
            const int window = i / PACKS, k = i % PACKS * N;
            const int line = divided(window, tileColumns);
            const int row = p + line, column = q + window - line * tileColumns;
            Floats<N> values{};
            if (row < f.outHeight && column < f.outWidth)
                values =
                    load<N>(dy + ((n * f.outHeight + row) * f.outWidth + column) * f.filters + first + k,
                            valid_of<N>(first + k, f.filters));
#pragma unroll
            for (int j = 0; j < N; j += QUAD) {
                Floats<QUAD> quad;
#pragma unroll
                for (int l = 0; l < QUAD; l++) quad.at[l] = values.at[j + l];
                gradients[(window * FILTERS_OF_BLOCK + k + j) / QUAD] = packed<float>(quad);
            }
        }
        const int top = p * f.strideH - f.padTop, left = q * f.strideW - f.padLeft;
        const int wide = columns * f.channels;
        for (int i = (int)threadIdx.x; i < rows * wide; i += THREADS) {
            const int row = i / wide, place = i - row * wide, column = place / f.channels;
            const int h = top + row, w = left + column;
            const bool inside = h >= 0 && h < f.height && w >= 0 && w < f.width;
            const long long at = ((n * f.height + h) * f.width + w) * f.channels;
            pixels[i] = inside ? to_float(x[at + place - column * f.channels]) : 0.0f;
        }
        __syncthreads();
        if (lane < lanes) {
#pragma unroll 2
            for (int window = lane; window < windows; window += lanes) {
                const int line = divided(window, tileColumns), column = window - line * tileColumns;
                const float* from =
                    pixels + (line * f.strideH * columns + column * f.strideW) * f.channels;
                const Fetched<float> gradient = gradients[window * QUARTERS + quarter];
#pragma unroll
                for (int i = 0; i < TAPS; i++) {
                    const float value = from[offset[i]];
#pragma unroll
                    for (int j = 0; j < QUAD; j++)
                        sums[i][j] = fmaf(value, gradient.at(j), sums[i][j]);
                }
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < TAPS; i++)
#pragma unroll
        for (int j = 0; j < QUAD; j++)
            found[(int)threadIdx.x * OF_THREAD + i * QUAD + j] = sums[i][j];
    __syncthreads();
    for (int i = (int)threadIdx.x; i < FILTERS_OF_BLOCK * taps; i += THREADS) {
        const int k = i / taps, tap = i - k * taps;
        if (first + k >= f.filters) continue;
        const float* of = found + (tap / TAPS * QUARTERS + k / QUAD) * OF_THREAD +
                          tap % TAPS * QUAD + k % QUAD;
        float sum = 0.0f;
        for (int other = 0; other < lanes; other++) sum += of[other * kinds * OF_THREAD];
        partials[((long long)blockIdx.x * f.filters + first + k) * taps + tap] = sum;
    }
}

// A warp adds every eighth part of 32 numbers; then their sums are added.
KERNEL add_partials_f32(float* sum, const float* __restrict__ partials, int parts, int count) {
    constexpr int LOADS = 8;  // under way at once
    __shared__ float ofWarps[WARPS][LANES];
    const int lane = (int)threadIdx.x % LANES, warp = (int)threadIdx.x / LANES;
    for (int begin = (int)blockIdx.x * LANES; begin < count; begin += (int)gridDim.x * LANES) {
        const int i = begin + lane;
        float total = 0.0f;
        for (int part = warp; part < parts && i < count; part += LOADS * WARPS) {
            float values[LOADS];
#pragma unroll
            for (int j = 0; j < LOADS; j++)
                values[j] = part + j * WARPS < parts
                                ? partials[(long long)(part + j * WARPS) * count + i]
                                : 0.0f;
#pragma unroll
            for (int j = 0; j < LOADS; j++) total += values[j];
        }
        ofWarps[warp][lane] = total;
        __syncthreads();
        if (warp == 0 && i < count) {
            total = sum[i];
#pragma unroll
            for (int j = 0; j < WARPS; j++) total += ofWarps[j][lane];
            sum[i] = total;
        }
        __syncthreads();
    }
}

#define FEW_CHANNELS(DTYPE, T)                                                                   \
    KERNEL few_channels_##DTYPE(const T* x, const T* w, T* y, int added, FILTER_PARAMETERS) {    \
        few_channels<T>(x, w, y, added, FILTER);                                                 \
    }                                                                                            \
    KERNEL few_channels_weight_gradient_##DTYPE(const T* x, const T* dy, float* partials,        \
                                                int tileRows, int tileColumns,                   \
                                                FILTER_PARAMETERS) {                             \
        few_channels_weight_gradient<T>(x, dy, partials, tileRows, tileColumns, FILTER);         \
    }
FEW_CHANNELS(f32, float)
FEW_CHANNELS(bf16, bf16)
