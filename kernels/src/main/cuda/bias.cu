// The bias of dense layers, whose products come from a matrix library.
//
//   add_bias       y[row,c] = relu?(x[row,c] + bias[c])
//   bias_gradient  dbias[c] += sum over the rows of dy[row,c]
//
// x, y, dy    (rows, C) T; y may lie on x. A convolution has rows = N * H * W.
// bias, dbias (C) float32.
// partials    (blocks, C) float32, scratch.
// tickets     (slabs) unsigned, zero before and after.
// Launch      grid (blocks, slabs), slabs as in common.cuh; stride over rows < 2^31. Meant: as many
//             blocks as the device holds at once, bias_gradient with 8 rows or more for each
//             thread, because the last block adds what all of them left; its blocks * C < 2^31.
// Traffic     per element: add_bias 2 S, bias_gradient S and 8 bytes per block and channel.
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
    for (long long row = (long long)slab.part * slab.rows + slab.row; row < rows; row += stride) {
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
    __shared__ Floats<QUAD> added[THREADS];
    const Slab<N> slab(channels);
    const bool whole = slab.moves_whole(dy, channels);
    const long long step = (long long)slab.rows * channels, chunk = AHEAD * (long long)slab.rows;
    Floats<N> own{};
    for (long long row = slab.part * chunk + slab.row; row < rows; row += gridDim.x * chunk) {
        const T* at = dy + row * channels + slab.channel;
        const auto exists = [&](int i) { return row + i * slab.rows < rows; };
        if (whole) {
            Fetched<T> packs[AHEAD]{};
#pragma unroll
            for (int i = 0; i < AHEAD; i++)
                if (exists(i)) packs[i] = fetch(at + i * step);
#pragma unroll
            for (int i = 0; i < AHEAD; i++)  // what is not there is zero
#pragma unroll
                for (int j = 0; j < N; j++) own.at[j] += packs[i].at(j);
        } else if (slab.active) {
#pragma unroll 1
            for (int i = 0; i < AHEAD && exists(i); i++) {
                Floats<N> gradients = load<N>(at + i * step, slab.valid);
#pragma unroll
                for (int j = 0; j < N; j++) own.at[j] += gradients.at[j];
            }
        }
    }
    add_rows(shared, own, slab);
    if (slab.row == 0)
        store<N>(partials + (long long)slab.part * channels + slab.channel, own, slab.valid);
    if (!last_block(tickets + slab.number, gridDim.x)) return;

    const Slab<QUAD> quads(channels, slab);
    const bool aligned = quads.moves_whole(partials, channels);
    const int blocks = (int)gridDim.x;
    Floats<QUAD> all{};
#pragma unroll 1
    for (int begin = quads.row; quads.active && begin < blocks; begin += AHEAD * quads.rows) {
        Floats<QUAD> parts[AHEAD]{};
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int block = begin + i * quads.rows;
            if (block >= blocks) continue;
            const float* from = partials + block * channels + quads.channel;
            parts[i] = aligned ? fetch_written(from) : load_written(from, quads.valid);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
#pragma unroll
            for (int j = 0; j < QUAD; j++) all.at[j] += parts[i].at[j];
    }
    add_rows(added, all, quads);
    for (int j = 0; quads.row == 0 && j < quads.valid; j++) dbias[quads.channel + j] += all.at[j];
}

#define BIAS(DTYPE, T)                                                                          \
    KERNEL add_bias_##DTYPE(T* y, const T* x, const float* bias, int rows, int channels,        \
                            int relu) {                                                         \
        add_bias<T>(y, x, bias, rows, channels, relu);                                          \
    }                                                                                           \
    KERNEL_OF(4)                                                                                \
    bias_gradient_##DTYPE(float* dbias, const T* dy, float* partials, unsigned* tickets,        \
                                 int rows, int channels) {                                      \
        bias_gradient<T>(dbias, dy, partials, tickets, rows, channels);                         \
    }
BIAS(f32, float)
BIAS(bf16, bf16)
