// Moving channels: concatenation, its gradient, and the way between the layouts.
//
//   copy_channels  y[row, yFirst + c] = x[row, xFirst + c] for c < channels. Concat copies each
//                  part into the whole, its gradient copies each part out of the whole.
//   transpose      y[b, j, i] = x[b, i, j], rows i by columns j: (N, C, H W) to (N, H W, C) and
//                  back, from the one type to the other as the name says.
//
// copy_channels   x (rows, xChannels) T, y (rows, yChannels) T; rows < 2^31.
//     Launch      grid (blocks, slabs) with slabs as in common.cuh; stride over rows.
// transpose       x (batch, rows, columns), y (batch, columns, rows).
//     Launch      1-D, stride over tiles of 32 x 32 elements.
// Traffic         2 S per element copied; transpose the size of both types.
// Twin            io.crescendo.reference.Rearranging
#include "common.cuh"

template <class T>
__device__ __forceinline__ void copy_channels(T* __restrict__ y, const T* __restrict__ x, int rows,
                                              int channels, int yChannels, int yFirst,
                                              int xChannels, int xFirst) {
    constexpr int N = Width<T>::OF_PACK;
    const Slab<N> slab(channels);
    if (!slab.active) return;
    const long long stride = (long long)gridDim.x * slab.rows;
    for (long long row = (long long)slab.part * slab.rows + slab.row; row < rows; row += stride) {
        const T* from = x + row * xChannels + xFirst + slab.channel;
        store<N>(y + row * yChannels + yFirst + slab.channel, load<N>(from, slab.valid),
                 slab.valid);
    }
}

template <class To, class From>
__device__ __forceinline__ void transpose(To* __restrict__ y, const From* __restrict__ x, int batch,
                                          int rows, int columns) {
    constexpr int TILE = 32;
    __shared__ float tile[TILE]
                         [TILE + 1];  // one more column: reading a column meets every bank once
    const int across = (columns + TILE - 1) / TILE, below = (rows + TILE - 1) / TILE;
    const int lane = threadIdx.x % TILE, first = threadIdx.x / TILE;
    const long long tiles = (long long)batch * across * below;
    for (long long t = blockIdx.x; t < tiles; t += gridDim.x) {
        const long long image = t / (across * below) * ((long long)rows * columns);
        const int inImage = (int)(t % (across * below));
        const int top = inImage / across * TILE, left = inImage % across * TILE;
        for (int i = first; i < TILE; i += WARPS)
            if (top + i < rows && left + lane < columns)
                tile[i][lane] = to_float(x[image + (long long)(top + i) * columns + left + lane]);
        __syncthreads();
        for (int j = first; j < TILE; j += WARPS)
            if (left + j < columns && top + lane < rows)
                y[image + (long long)(left + j) * rows + top + lane] =
                    from_float<To>(tile[lane][j]);
        __syncthreads();
    }
}

#define COPY_CHANNELS(NAME, T)                                                        \
    KERNEL NAME(T* y, const T* x, int rows, int channels, int yChannels, int yFirst,  \
                int xChannels, int xFirst) {                                          \
        copy_channels<T>(y, x, rows, channels, yChannels, yFirst, xChannels, xFirst); \
    }
COPY_CHANNELS(copy_channels_f32, float)
COPY_CHANNELS(copy_channels_bf16, bf16)

#define TRANSPOSE(NAME, TO, FROM)                                         \
    KERNEL NAME(TO* y, const FROM* x, int batch, int rows, int columns) { \
        transpose<TO, FROM>(y, x, batch, rows, columns);                  \
    }
TRANSPOSE(transpose_f32, float, float)
TRANSPOSE(transpose_bf16, bf16, bf16)
TRANSPOSE(transpose_f32_to_bf16, bf16, float)
TRANSPOSE(transpose_bf16_to_f32, float, bf16)
