// The bias of dense layers, whose products come from a matrix library.
//
//   add_bias       y[row,c] = relu?(x[row,c] + bias[c])
//   bias_gradient  dbias[c] += sum over the rows of dy[row,c]
//
// x, y, dy    (rows, C) T; y may lie on x. A convolution has rows = N * H * W.
// bias, dbias (C) float32.
// partials    (blocks, C) float32, scratch.
// tickets     (ceil(packs / 32)) unsigned, zero before and after; packs = ceil(C / N), N = 16 / S.
// Launch      grid (blocks, ceil(packs / 32)), stride over rows < 2^31; meant: add_bias as many
// blocks
//             as fill the device, bias_gradient a block for 64 rows of each thread, at most 256.
// Traffic     per element: add_bias 2 S, bias_gradient S.
// Twin        io.crescendo.reference.DenseLayer
#include "common.cuh"

template <class T>
__device__ __forceinline__ void add_bias(T* y, const T* x, const float* __restrict__ bias, int rows,
                                         int channels, int relu) {
    constexpr int N = Width<T>::OF_PACK;
    const Slab<N> slab(channels);
    if (!slab.active) return;
    const Floats<N> added = load<N>(bias + slab.channel, slab.valid);
    const long long stride = (long long)gridDim.x * slab.rows;
    for (long long row = (long long)blockIdx.x * slab.rows + slab.row; row < rows; row += stride) {
        long long at = row * channels + slab.channel;
        Floats<N> values = load<N>(x + at, slab.valid);
#pragma unroll
        for (int j = 0; j < N; j++) {
            float sum = values.at[j] + added.at[j];
            values.at[j] = relu ? rectified(sum) : sum;
        }
        store<N>(y + at, values, slab.valid);
    }
}

// Adds up over the rows of the block; row 0 gets the sum.
template <int N>
__device__ __forceinline__ void add_rows(Floats<N> (&shared)[THREADS], Floats<N>& own,
                                         const Slab<N>& slab) {
    shared[threadIdx.x] = own;
    for (int left = slab.rows; left > 1;) {
        int half = (left + 1) / 2;
        __syncthreads();
        if (slab.row < left - half) {
#pragma unroll
            for (int j = 0; j < N; j++)
                shared[threadIdx.x].at[j] += shared[threadIdx.x + half * slab.width].at[j];
        }
        left = half;
    }
    own = shared[threadIdx.x];
}

template <class T>
__device__ __forceinline__ void bias_gradient(float* dbias, const T* __restrict__ dy,
                                              float* partials, unsigned* tickets, int rows,
                                              int channels) {
    constexpr int N = Width<T>::OF_PACK;
    __shared__ Floats<N> shared[THREADS];
    const Slab<N> slab(channels);
    const long long stride = (long long)gridDim.x * slab.rows;
    Floats<N> own{};
    for (long long row = (long long)blockIdx.x * slab.rows + slab.row; slab.active && row < rows;
         row += stride) {
        Floats<N> gradients = load<N>(dy + row * channels + slab.channel, slab.valid);
#pragma unroll
        for (int j = 0; j < N; j++) own.at[j] += gradients.at[j];
    }
    add_rows(shared, own, slab);
    if (slab.row == 0)
        store<N>(partials + (long long)blockIdx.x * channels + slab.channel, own, slab.valid);
    if (!last_block(tickets + blockIdx.y, gridDim.x)) return;
    own = Floats<N>{};
    for (int block = slab.row; slab.active && block < (int)gridDim.x; block += slab.rows) {
        const volatile float* written = partials + (long long)block * channels + slab.channel;
#pragma unroll
        for (int j = 0; j < N; j++)
            if (j < slab.valid) own.at[j] += written[j];
    }
    add_rows(shared, own, slab);
    for (int j = 0; slab.row == 0 && j < slab.valid; j++) dbias[slab.channel + j] += own.at[j];
}

#define BIAS(DTYPE, T)                                                                          \
    KERNEL add_bias_##DTYPE(T* y, const T* x, const float* bias, int rows, int channels,        \
                            int relu) {                                                         \
        add_bias<T>(y, x, bias, rows, channels, relu);                                          \
    }                                                                                           \
    KERNEL bias_gradient_##DTYPE(float* dbias, const T* dy, float* partials, unsigned* tickets, \
                                 int rows, int channels) {                                      \
        bias_gradient<T>(dbias, dy, partials, tickets, rows, channels);                         \
    }
BIAS(f32, float)
BIAS(bf16, bf16)
