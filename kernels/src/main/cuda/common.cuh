// What all kernels share. Conventions, explained once:
//
// - Activations lie in NHWC: sample, row, column, channel; a "row" below is one pixel of one
//   sample, so an activation is a matrix of N * H * W rows by C channels. N samples, C channels,
//   H rows and W columns of an image, G ghost groups. dx, dy, dw are gradients by x, y, w.
// - T is the type of activations, float or bf16. Arithmetic, statistics, parameters and the
//   gradient pack are float32; sums over a whole batch are double. No kernel does double arithmetic
//   per element.
// - Memory moves in packs of 16 bytes. A pack that is cut off by an end, or whose pointer is not
//   aligned, moves element by element: slower, never wrong.
// - A block has 256 threads, always. Kernels stride over the grid, so any grid is right; the
//   contract names the one that is meant.
// - Results do not depend on timing: no floating-point atomics. Where blocks contribute to one sum,
//   the block that finishes last adds the contributions in a fixed order (last_block). For one grid
//   the bits are the same in every run.
// - What changes from step to step (learning rate, clock, position) is read from device memory, so
//   a captured graph stays valid. Shapes are arguments.
// - Kernels are extern "C", named <what>_<dtype>; the head of each file is their contract. There,
//   "Traffic" is bytes of device memory read plus written, and S = sizeof(T).
// - No header of the toolkit is needed: the sources compile with nvcc, with NVRTC without an
//   include path, and as C++ on the host with the emulation of the tests.
#pragma once

constexpr int THREADS = 256;
constexpr int LANES = 32;
constexpr int WARPS = THREADS / LANES;
constexpr unsigned ALL_LANES = 0xffffffffu;

#define KERNEL extern "C" __global__ void __launch_bounds__(256)
// The same where so many blocks must fit on a multiprocessor for its memory to be busy.
#define KERNEL_OF(BLOCKS) extern "C" __global__ void __launch_bounds__(256, BLOCKS)

// ---- bf16: the upper half of a float32, rounded to nearest even.

struct bf16 {
    unsigned short bits;
};

__device__ __forceinline__ float to_float(float value) { return value; }

__device__ __forceinline__ float to_float(bf16 value) {
    return __uint_as_float((unsigned)value.bits << 16);
}

template <class T>
__device__ __forceinline__ T from_float(float value);

template <>
__device__ __forceinline__ float from_float<float>(float value) {
    return value;
}

template <>
__device__ __forceinline__ bf16 from_float<bf16>(float value) {
    bf16 result;
#ifdef __CUDA_ARCH__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
#else
    unsigned bits = __float_as_uint(value);
    bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    result.bits = (unsigned short)(nan ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
#endif
    return result;
}

// ---- Packs: the elements that one thread moves at once, as floats.

template <class T>
struct Width {
    static constexpr int OF_PACK = 16 / (int)sizeof(T);
};

template <class T, int N = Width<T>::OF_PACK>
struct alignas(sizeof(T) * N) Pack {
    T at[N];
};

template <int N>
struct Floats {
    float at[N];
};

template <int N, class T>
__device__ __forceinline__ bool is_aligned(const T* pointer) {
    return (unsigned long long)pointer % (sizeof(T) * N) == 0;
}

// The first `valid` of N elements at `from`; the rest are zero. valid may be negative.
template <int N, class T>
__device__ __forceinline__ Floats<N> load(const T* from, int valid) {
    Floats<N> values;
    if (valid >= N && is_aligned<N>(from)) {
        Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(from);
#pragma unroll
        for (int j = 0; j < N; j++) values.at[j] = to_float(pack.at[j]);
    } else {
#pragma unroll
        for (int j = 0; j < N; j++) values.at[j] = j < valid ? to_float(from[j]) : 0.0f;
    }
    return values;
}

// A whole pack on an aligned address, as it lies there: many may be on their way before the first is
// looked at.
template <int N, class T>
__device__ __forceinline__ Pack<T, N> fetch(const T* from) {
    return *reinterpret_cast<const Pack<T, N>*>(from);
}

template <class T, int N>
__device__ __forceinline__ Floats<N> to_floats(const Pack<T, N>& pack) {
    Floats<N> values;
#pragma unroll
    for (int j = 0; j < N; j++) values.at[j] = to_float(pack.at[j]);
    return values;
}

// Writes the first `valid` of N values.
template <int N, class T>
__device__ __forceinline__ void store(T* to, const Floats<N>& values, int valid) {
    if (valid >= N && is_aligned<N>(to)) {
        Pack<T, N> pack;
#pragma unroll
        for (int j = 0; j < N; j++) pack.at[j] = from_float<T>(values.at[j]);
        *reinterpret_cast<Pack<T, N>*>(to) = pack;
    } else {
#pragma unroll
        for (int j = 0; j < N; j++)
            if (j < valid) to[j] = from_float<T>(values.at[j]);
    }
}

// max(value, 0) that lets NaN through: fmaxf would hide that a network has diverged.
__device__ __forceinline__ float rectified(float value) { return value < 0.0f ? 0.0f : value; }

// How many elements of [index, count) a pack of N has.
template <int N>
__device__ __forceinline__ int valid_of(long long index, long long count) {
    long long left = count - index;
    return left < N ? (int)left : N;
}

__device__ __forceinline__ long long thread_of_grid() {
    return (long long)blockIdx.x * THREADS + threadIdx.x;
}

__device__ __forceinline__ long long threads_of_grid() { return (long long)gridDim.x * THREADS; }

// Calls f(index of the pack's first element, elements of it) for all packs of a flat array.
template <int N, class F>
__device__ __forceinline__ void for_packs(long long count, F f) {
    long long stride = threads_of_grid() * N;
    for (long long i = thread_of_grid() * N; i < count; i += stride) f(i, valid_of<N>(i, count));
}

// ---- Sums over a warp (every lane gets the result) and over all blocks.

template <class V>
__device__ __forceinline__ V warp_sum(V value) {
#pragma unroll
    for (int mask = LANES / 2; mask > 0; mask /= 2)
        value += __shfl_xor_sync(ALL_LANES, value, mask);
    return value;
}

// True for all threads of the last of `blocks` blocks that come here: what the others wrote before
// is visible to it (through volatile reads). The ticket starts at zero and ends at zero.
__device__ __forceinline__ bool last_block(unsigned* ticket, unsigned blocks) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(ticket, 1u) == blocks - 1;
        if (last) *ticket = 0;
    }
    __syncthreads();
    __threadfence();
    return last;
}

// What the blocks left, added by one warp of the last block: sum of written[i * stride] over i <
// count. Loads go out eight at a time, or the end of a short kernel would wait longer than it ran.
template <class V>
__device__ __forceinline__ double sum_of_blocks(const volatile V* written, int count, int stride) {
    constexpr int AT_ONCE = 8;
    double sum = 0.0;
    for (int first = (int)threadIdx.x % LANES; first < count; first += AT_ONCE * LANES) {
        V values[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            int block = first + i * LANES;
            values[i] = block < count ? (V)written[(long long)block * stride] : V{};
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) sum += values[i];
    }
    return warp_sum(sum);
}

// ---- Blocks over a matrix of rows by channels.

// A block covers up to 32 packs of N channels side by side ("a slab", blockIdx.y) and as many rows
// below each other as its threads allow. A thread keeps its channels, so that what belongs to a
// channel is read once, and neighbouring threads touch neighbouring memory.
template <int N>
struct Slab {
    int width;    // packs side by side
    int rows;     // rows below each other
    int row;      // this thread's row, in [0, rows)
    int channel;  // its first channel
    int valid;    // how many of its N channels exist
    int pack;     // number of its pack in the row
    int packs;    // packs in a whole row
    bool active;  // whether it has a place at all: 256 is no multiple of most widths

    __device__ __forceinline__ explicit Slab(int channels) {
        packs = (channels + N - 1) / N;
        int first = (int)blockIdx.y * LANES;
        width = packs - first < LANES ? packs - first : LANES;
        rows = THREADS / width;
        row = (int)threadIdx.x / width;
        pack = first + (int)threadIdx.x % width;
        channel = pack * N;
        valid = channels - channel < N ? channels - channel : N;
        active = row < rows;
    }

    // Whether this thread's packs of a matrix are whole and aligned in every row.
    template <class T>
    __device__ __forceinline__ bool fetches(const T* matrix, int channels) const {
        return active && valid == N && channels % N == 0 && is_aligned<N>(matrix);
    }
};

// ---- Philox4x32-10: the numbers of io.crescendo.tensor.Philox, bit for bit.

enum PhiloxStream { AUGMENTATION = 2, DROPOUT = 5 };

struct Words {
    unsigned at[4];
};

__device__ __forceinline__ Words philox(long long seed, unsigned stream, unsigned step,
                                        long long index) {
    unsigned c0 = (unsigned)index, c1 = (unsigned)((unsigned long long)index >> 32);
    unsigned c2 = step, c3 = stream;
    unsigned k0 = (unsigned)seed, k1 = (unsigned)((unsigned long long)seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        unsigned high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}
