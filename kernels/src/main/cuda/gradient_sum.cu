// Variable-size batch gradient reduction: the weighted sum of the gradients of K micro-batches,
// whose sizes may differ, and the squared norms that the gradient noise scale needs
// (McCandlish et al. 2018, arXiv 1812.06162).
//
//   sum[i]   <- (accumulate ? sum[i] : 0) + weights[0] * part_0[i] + weights[1] * part_1[i] + ...
//   norms[k] <- |part_k|^2, bare, without its weight
//   norms[K] <- |sum|^2, the new one
//
// The additions of an element happen in the order above with one rounding each, so a launch with K
// parts gives the same sum, to the bit, as K launches with one part each, as micro-batches arrive.
//
// sum         (count) float32.
// parts       (K) device pointers to (count) T, K <= 64: call again with accumulate for more.
// weights     (K) float32 in device memory; 1 where parts are sums over samples.
// norms       (K + 1) double.
// partials    (blocks, K + 1) float32, scratch.
// ticket      an unsigned, zero before and after.
// notFinite   an int in device memory, or null: set to 1 if |sum|^2 is not finite, else left alone.
// Launch      1-D, grid-stride, 16 bytes of every part per thread and round; meant: 8 blocks per
//             multiprocessor.
// Traffic     K * S + 4 per element, + 4 with accumulate.
// Twin        io.crescendo.cuda.UpdateCheck of the tests: the formulas above in double
#include "common.cuh"

constexpr int MOST_PARTS = 64;
// Parts whose loads are on their way together; they are added in order all the same.
constexpr int AT_ONCE = 4;

template <class T>
__device__ __forceinline__ void gradient_sum(float* __restrict__ sum,
                                             const T* const* __restrict__ parts,
                                             const float* __restrict__ weights, int partCount,
                                             long long count, int accumulate,
                                             double* __restrict__ norms, float* partials,
                                             unsigned* ticket, int* notFinite) {
    constexpr int N = Width<T>::OF_PACK;
    __shared__ float squares[WARPS][MOST_PARTS + 1];  // per warp: no two threads add to one number
    const int warp = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    for (int k = lane; k <= partCount; k += LANES) squares[warp][k] = 0.0f;
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
                if (lane == 0) squares[warp][first + k] += square;
            }
        }
        store<N>(sum + i, total, valid);
        float square = 0.0f;
#pragma unroll
        for (int j = 0; j < N; j++) square = fmaf(total.at[j], total.at[j], square);
        square = warp_sum(square);
        if (lane == 0) squares[warp][partCount] += square;
    }

    __syncthreads();
    for (int k = threadIdx.x; k <= partCount; k += THREADS) {
        float square = 0.0f;
        for (int w = 0; w < WARPS; w++) square += squares[w][k];
        partials[(long long)blockIdx.x * (partCount + 1) + k] = square;
    }
    if (!last_block(ticket, gridDim.x)) return;
    for (int k = warp; k <= partCount; k += WARPS) {
        const double square = sum_of_blocks(partials + k, (int)gridDim.x, partCount + 1);
        if (lane == 0) norms[k] = square;
        // Infinity and NaN are the only numbers whose difference with themselves is not zero.
        if (lane == 0 && k == partCount && notFinite != nullptr && !(square - square == 0.0))
            *notFinite = 1;
    }
}

#define GRADIENT_SUM(NAME, T)                                                                      \
    KERNEL NAME(float* sum, const T* const* parts, const float* weights, int partCount,            \
                long long count, int accumulate, double* norms, float* partials, unsigned* ticket, \
                int* notFinite) {                                                                  \
        gradient_sum<T>(sum, parts, weights, partCount, count, accumulate, norms, partials,        \
                        ticket, notFinite);                                                        \
    }
GRADIENT_SUM(gradient_sum_f32, float)
GRADIENT_SUM(gradient_sum_bf16, bf16)
