// How far two arrays are apart, for the check of what a library computes:
//
//   found[b, 0] <- max |x[i] - y[i]|     over the elements of block b
//   found[b, 1] <- max |y[i]|
//
// as the bits of a float32 that is not negative: those are in the order of the numbers, with NaN,
// which no comparison of floats finds, above infinity.
//
// x, y        (count) T.
// found       (blocks, 2) unsigned; the caller takes the largest of them.
// Launch      1-D, grid-stride, 16 bytes of T per thread; meant: 8 blocks per multiprocessor.
// Traffic     2 S per element.
// Twin        io.crescendo.cuda.PointwiseCheck of the tests
#include "common.cuh"

__device__ __forceinline__ unsigned warp_max(unsigned value) {
#pragma unroll
    for (int mask = LANES / 2; mask > 0; mask /= 2) {
        const unsigned other = __shfl_xor_sync(ALL_LANES, value, mask);
        value = other > value ? other : value;
    }
    return value;
}

template <class T>
__device__ __forceinline__ void difference(const T* x, const T* y, long long count,
                                           unsigned* found) {
    constexpr int N = Width<T>::OF_PACK;
    __shared__ unsigned shared[2][WARPS];
    unsigned largest[2] = {0, 0};
    for_packs<N>(count, [&](long long i, int valid) {
        const Floats<N> a = load<N>(x + i, valid), b = load<N>(y + i, valid);
#pragma unroll
        for (int j = 0; j < N; j++) {
            const unsigned apart = __float_as_uint(a.at[j] - b.at[j]) & 0x7fffffffu;
            const unsigned size = __float_as_uint(b.at[j]) & 0x7fffffffu;
            if (apart > largest[0]) largest[0] = apart;
            if (size > largest[1]) largest[1] = size;
        }
    });
    for (int k = 0; k < 2; k++) {
        const unsigned most = warp_max(largest[k]);
        if (threadIdx.x % LANES == 0) shared[k][threadIdx.x / LANES] = most;
    }
    __syncthreads();
    if (threadIdx.x < 2) {
        unsigned most = 0;
        for (int warp = 0; warp < WARPS; warp++)
            if (shared[threadIdx.x][warp] > most) most = shared[threadIdx.x][warp];
        found[2 * blockIdx.x + threadIdx.x] = most;
    }
}

KERNEL difference_f32(const float* x, const float* y, long long count, unsigned* found) {
    difference(x, y, count, found);
}
KERNEL difference_bf16(const bf16* x, const bf16* y, long long count, unsigned* found) {
    difference(x, y, count, found);
}
