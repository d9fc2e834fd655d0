// Variable-size batch gradient reduction: the weighted sum of the gradients of K micro-batches,
// whose sizes may differ, and the squared norms that the gradient noise scale needs
// (McCandlish et al. 2018, arXiv 1812.06162).
//
//   sum[i]   <- (accumulate ? sum[i] : 0) + weights[0] * part_0[i] + weights[1] * part_1[i] + ...
//   norms[k] <- |part_k|^2, bare, without its weight
//   norms[K] <- |sum|^2, the new one
//
// The additions of an element happen in the order above with one rounding each, so a launch with K
// parts gives the same sum, to the bit, as K launches with one part each, as micro-batches arrive;
// up to 8 parts and on one grid the same norms, too: a thread adds the squares of its elements in
// their order, whatever else it adds.
//
// sum         (count) float32.
// parts       (K) device pointers to (count) T, K <= 64: call again with accumulate for more.
// weights     (K) float32 in device memory; 1 where parts are sums over samples.
// norms       (K + 1) double.
// partials    (blocks, K + 1) float32, scratch.
// ticket      an unsigned, zero before and after.
// notFinite   an int in device memory, or null: set to 1 if |sum|^2 is not finite, else left alone.
// Launch      1-D, any grid; meant: that of Grids.blocksOfSum, a dozen tiles of TILE_PACKS packs of
//             16 bytes per thread for each block. Blocks begin in their order, so that what is read
//             at one time lies together. Up to 8 parts their number is known to the compiler:
//             addresses, weights and squares stay in registers, and 64 to 128 bytes per thread are
//             on their way.
// Used        with one float32 part after each micro-batch whose noise is measured: the libraries
//             add weight gradients up in place, or accumulate_bf16 does, so training itself keeps
//             no gradient per micro-batch. Several parts are for those who do.
// Range       squares are float32: numbers beyond 1e19 in size count as not finite.
// Traffic     K * S + 4 per element, + 4 with accumulate.
// Twin        none in io.crescendo.reference; the tests compare with the formulas above in double
#include "common.cuh"

constexpr int MOST_PARTS = 64;
constexpr int TILE_PACKS = 4;
// Parts whose loads are on their way together; they are added in order all the same.
constexpr int AT_ONCE = 4;

// N float32 numbers on an aligned address, 16 bytes at a time.
template <int N>
__device__ __forceinline__ Floats<N> fetch_floats(const float* from) {
    Floats<N> values;
#pragma unroll
    for (int first = 0; first < N; first += 4) {
        const Fetched<float> pack = fetch(from + first);
#pragma unroll
        for (int j = 0; j < 4; j++) values.at[first + j] = pack.at(j);
    }
    return values;
}

template <int N>
__device__ __forceinline__ void put_floats(float* to, const Floats<N>& values) {
#pragma unroll
    for (int first = 0; first < N; first += 4) {
        Floats<4> pack;
#pragma unroll
        for (int j = 0; j < 4; j++) pack.at[j] = values.at[first + j];
        put<4>(to + first, pack);
    }
}

// Adds up what the warps found and leaves it in norms, from the last block; for all threads.
__device__ __forceinline__ void finish_norms(const float* squares, int stride, int partCount,
                                             double* norms, float* partials, unsigned* ticket,
                                             int* notFinite) {
    __syncthreads();
    for (int k = threadIdx.x; k <= partCount; k += THREADS) {
        float square = 0.0f;
        for (int w = 0; w < WARPS; w++) square += squares[w * stride + k];
        partials[(long long)blockIdx.x * (partCount + 1) + k] = square;
    }
    if (!last_block(ticket, gridDim.x)) return;
    // With few parts several warps share what the blocks left of one, each every so many.
    __shared__ double found[WARPS];
    const int warp = threadIdx.x / LANES, lane = threadIdx.x % LANES, blocks = (int)gridDim.x;
    const int shares = partCount < WARPS ? WARPS / (partCount + 1) : 1;
    for (int first = 0; first <= partCount; first += WARPS / shares) {
        const int k = first + warp / shares, share = warp % shares;
        if (k <= partCount) {
            const double square =
                sum_of_blocks(partials + (long long)share * (partCount + 1) + k,
                              (blocks - share + shares - 1) / shares, shares * (partCount + 1));
            if (lane == 0) found[warp] = square;
        }
        __syncthreads();
        if (k <= partCount && share == 0 && lane == 0) {
            double square = 0.0;
            for (int i = 0; i < shares; i++) square += found[warp + i];
            norms[k] = square;
            // Infinity and NaN are the only numbers whose difference with themselves is not zero.
            if (k == partCount && notFinite != nullptr && !(square - square == 0.0)) *notFinite = 1;
        }
        __syncthreads();
    }
}

// K parts, U packs of each on their way at once.
template <class T, int K, int U>
__device__ __forceinline__ void sum_of(float* __restrict__ sum, const T* const* __restrict__ parts,
                                       const float* __restrict__ weights, long long count,
                                       int accumulate, float* squares) {
    constexpr int N = Width<T>::OF_PACK;
    const T* part[K];
    float weight[K], square[K + 1];
    bool aligned = is_aligned<4>(sum);
#pragma unroll
    for (int k = 0; k < K; k++) {
        part[k] = parts[k];
        weight[k] = weights[k];
        square[k] = 0.0f;
        aligned = aligned && is_aligned<N>(part[k]);
    }
    square[K] = 0.0f;
    const auto add = [&](int k, const Floats<N>& values, Floats<N>& total) {
#pragma unroll
        for (int j = 0; j < N; j++) {
            total.at[j] = fmaf(weight[k], values.at[j], total.at[j]);
            square[k] = fmaf(values.at[j], values.at[j], square[k]);
        }
    };
    const auto close = [&](const Floats<N>& total) {
#pragma unroll
        for (int j = 0; j < N; j++) square[K] = fmaf(total.at[j], total.at[j], square[K]);
    };

    constexpr long long STEP = (long long)THREADS * N, TILE = TILE_PACKS * STEP;
    for (long long tile = blockIdx.x * TILE; tile < count; tile += gridDim.x * TILE) {
        const long long begin = tile + (long long)threadIdx.x * N;
        if (aligned && tile + TILE <= count) {
#pragma unroll 1
            for (int first = 0; first < TILE_PACKS; first += U) {
                const long long i = begin + first * STEP;
                Fetched<T> packs[U][K];
                Floats<N> totals[U];
#pragma unroll
                for (int u = 0; u < U; u++) {
#pragma unroll
                    for (int k = 0; k < K; k++) packs[u][k] = fetch(part[k] + i + u * STEP);
                    totals[u] = accumulate ? fetch_floats<N>(sum + i + u * STEP) : Floats<N>{};
                }
#pragma unroll
                for (int u = 0; u < U; u++) {
#pragma unroll
                    for (int k = 0; k < K; k++) add(k, to_floats<N>(packs[u][k]), totals[u]);
                    close(totals[u]);
                    put_floats<N>(sum + i + u * STEP, totals[u]);
                }
            }
            continue;
        }
        // The end, or addresses that are not aligned.
#pragma unroll 1
        for (long long i = begin; i < tile + TILE && i < count; i += STEP) {
            const int valid = valid_of<N>(i, count);
            Floats<N> total = accumulate ? load<N>(sum + i, valid) : Floats<N>{};
#pragma unroll
            for (int k = 0; k < K; k++) add(k, load<N>(part[k] + i, valid), total);
            close(total);
            store<N>(sum + i, total, valid);
        }
    }
#pragma unroll
    for (int k = 0; k <= K; k++) {
        square[k] = warp_sum(square[k]);
        if (threadIdx.x % LANES == 0)
            squares[threadIdx.x / LANES * (MOST_PARTS + 1) + k] = square[k];
    }
}

// Any number of parts.
template <class T>
__device__ __forceinline__ void sum_of_many(float* __restrict__ sum,
                                            const T* const* __restrict__ parts,
                                            const float* __restrict__ weights, int partCount,
                                            long long count, int accumulate, float* squares) {
    constexpr int N = Width<T>::OF_PACK;
    const int warp = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    float* const own = squares + warp * (MOST_PARTS + 1);  // no two threads add to one number
    for (int k = lane; k <= partCount; k += LANES) own[k] = 0.0f;
    __syncwarp();

    // All lanes of a warp stay in step for the sums over it; those behind the end read nothing.
    const long long stride = threads_of_grid() * N;
    for (long long base = ((long long)blockIdx.x * THREADS + warp * LANES) * N; base < count;
         base += stride) {
        long long i = base + lane * N;
        int valid = valid_of<N>(i, count);
        Floats<N> total{};
        if (accumulate) total = load<N>(sum + i, valid);
        for (int first = 0; first < partCount; first += AT_ONCE) {
            Floats<N> loaded[AT_ONCE];
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++)
                if (first + k < partCount) loaded[k] = load<N>(parts[first + k] + i, valid);
#pragma unroll
            for (int k = 0; k < AT_ONCE; k++) {
                if (first + k >= partCount) break;
                float weight = weights[first + k], square = 0.0f;
#pragma unroll
                for (int j = 0; j < N; j++) {
                    total.at[j] = fmaf(weight, loaded[k].at[j], total.at[j]);
                    square = fmaf(loaded[k].at[j], loaded[k].at[j], square);
                }
                square = warp_sum(square);
                if (lane == 0) own[first + k] += square;
            }
        }
        store<N>(sum + i, total, valid);
        float square = 0.0f;
#pragma unroll
        for (int j = 0; j < N; j++) square = fmaf(total.at[j], total.at[j], square);
        square = warp_sum(square);
        if (lane == 0) own[partCount] += square;
    }
}

template <class T>
__device__ __forceinline__ void gradient_sum(float* sum, const T* const* parts,
                                             const float* weights, int partCount, long long count,
                                             int accumulate, double* norms, float* partials,
                                             unsigned* ticket, int* notFinite) {
    __shared__ float squares[WARPS * (MOST_PARTS + 1)];
    switch (partCount) {
        case 1: sum_of<T, 1, 4>(sum, parts, weights, count, accumulate, squares); break;
        case 2: sum_of<T, 2, 2>(sum, parts, weights, count, accumulate, squares); break;
        case 3: sum_of<T, 3, 2>(sum, parts, weights, count, accumulate, squares); break;
        case 4: sum_of<T, 4, 1>(sum, parts, weights, count, accumulate, squares); break;
        case 5: sum_of<T, 5, 1>(sum, parts, weights, count, accumulate, squares); break;
        case 6: sum_of<T, 6, 1>(sum, parts, weights, count, accumulate, squares); break;
        case 7: sum_of<T, 7, 1>(sum, parts, weights, count, accumulate, squares); break;
        case 8: sum_of<T, 8, 1>(sum, parts, weights, count, accumulate, squares); break;
        default: sum_of_many<T>(sum, parts, weights, partCount, count, accumulate, squares);
    }
    finish_norms(squares, MOST_PARTS + 1, partCount, norms, partials, ticket, notFinite);
}

// Two blocks fit on a multiprocessor with the registers of 8 parts.
#define GRADIENT_SUM(NAME, T)                                                                      \
    KERNEL_OF(2)                                                                                   \
    NAME(float* sum, const T* const* parts, const float* weights, int partCount, long long count,  \
         int accumulate, double* norms, float* partials, unsigned* ticket, int* notFinite) {       \
        gradient_sum<T>(sum, parts, weights, partCount, count, accumulate, norms, partials,        \
                        ticket, notFinite);                                                        \
    }
GRADIENT_SUM(gradient_sum_f32, float)
GRADIENT_SUM(gradient_sum_bf16, bf16)
