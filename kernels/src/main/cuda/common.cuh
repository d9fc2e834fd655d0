// What all kernels share. Conventions, explained once:
//
// - Activations lie in NHWC: sample, row, column, channel; a "row" below is one pixel of one
//   sample, so an activation is a matrix of N * H * W rows by C channels. N samples, C channels,
//   H rows and W columns of an image, G ghost groups. dx, dy, dw are gradients by x, y, w.
// - T is the type of activations, float or bf16. Arithmetic, statistics, parameters and the
//   gradient pack are float32; sums over a whole batch are double. No kernel does double arithmetic
//   per element.
// - Memory moves in packs of 16 bytes where neighbours in memory are neighbours in the sum (gather,
//   transpose and the slow convolution go element by element). A pack that is cut off by an end, or
//   whose pointer is not aligned, moves element by element: slower, never wrong.
// - A block has 256 threads, always. Kernels stride over the grid, so any grid is right; the
//   contract names the one that is meant.
// - Results do not depend on timing: no floating-point atomics. Where blocks contribute to one sum,
//   the block that finishes last adds the contributions in a fixed order (last_block). For one grid
//   the bits are the same in every run.
// - A block may wait for another only in a launch that promises that all of them run at once: a
//   cooperative one, which the driver refuses if its grid is larger than the device holds.
// - What changes from step to step (learning rate, clock, position) is read from device memory, so
//   a captured graph stays valid. Shapes are arguments.
// - Kernels are extern "C", named <what>_<dtype> where there are several types; the head of each
//   file is their contract. There,
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

// A whole pack as it lies in memory: many may be on their way before the first is looked at. Words,
// because of smaller elements each would take a register of its own.
template <class T>
struct alignas(16) Fetched {
    unsigned word[4];

    __device__ __forceinline__ float at(int j) const {
        if constexpr (sizeof(T) == sizeof(float)) {
            return __uint_as_float(word[j]);
        } else {
            return __uint_as_float(j % 2 == 0 ? word[j / 2] << 16 : word[j / 2] & 0xffff0000u);
        }
    }
};

// From an aligned address.
template <class T>
__device__ __forceinline__ Fetched<T> fetch(const T* from) {
#ifdef __CUDA_ARCH__
    return *reinterpret_cast<const Fetched<T>*>(from);
#else
    Fetched<T> pack;
    memcpy(&pack, from, sizeof pack);
    return pack;
#endif
}

// The same where nobody reads the pack again soon: what is written meanwhile takes its place in the
// caches rather than that of packs that are still to be read.
template <class T>
__device__ __forceinline__ Fetched<T> fetch_last(const T* from) {
#ifdef __CUDA_ARCH__
    Fetched<T> pack;
    asm volatile("ld.global.cs.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(pack.word[0]), "=r"(pack.word[1]), "=r"(pack.word[2]), "=r"(pack.word[3])
                 : "l"(from)
                 : "memory");
    return pack;
#else
    return fetch(from);
#endif
}

// ---- Shared memory whose size the launch says, and copies into it that go on while the thread does.

__device__ __forceinline__ void* dynamic_shared() {
#ifdef __CUDACC__
    extern __shared__ __align__(16) unsigned char memory[];
    return memory;
#else
    return cuda_on_host::dynamic_shared();
#endif
}

// Begins to copy a pack from an aligned address. It is there for this thread, and for no other, when
// the thread has waited for the group that it belongs to.
template <class T>
__device__ __forceinline__ void copy_ahead(Fetched<T>* to, const T* from) {
#ifdef __CUDA_ARCH__
    asm volatile(
        "{ .reg .u64 place;\n"
        "  .reg .u32 word;\n"
        "  cvta.to.shared.u64 place, %0;\n"
        "  cvt.u32.u64 word, place;\n"
        "  cp.async.cg.shared.global [word], [%1], 16; }"
        :
        : "l"(to), "l"(from)
        : "memory");
#else
    cuda_on_host::copy_ahead(to, from, sizeof *to);
#endif
}

// Ends a group of copies; it may be empty.
__device__ __forceinline__ void close_copies() {
#ifdef __CUDA_ARCH__
    asm volatile("cp.async.commit_group;" : : : "memory");
#else
    cuda_on_host::close_copies();
#endif
}

// Returns when at most `open` of the groups that were closed last are still under way.
__device__ __forceinline__ void wait_for_copies(int open) {
#ifdef __CUDA_ARCH__
    switch (open) {
        case 0: asm volatile("cp.async.wait_group 0;" : : : "memory"); break;
        case 1: asm volatile("cp.async.wait_group 1;" : : : "memory"); break;
        case 2: asm volatile("cp.async.wait_group 2;" : : : "memory"); break;
        case 3: asm volatile("cp.async.wait_group 3;" : : : "memory"); break;
        case 4: asm volatile("cp.async.wait_group 4;" : : : "memory"); break;
        case 5: asm volatile("cp.async.wait_group 5;" : : : "memory"); break;
        default: asm volatile("cp.async.wait_group 6;" : : : "memory");
    }
#else
    cuda_on_host::wait_for_copies(open);
#endif
}

template <int N, class T>
__device__ __forceinline__ Floats<N> to_floats(const Fetched<T>& pack) {
    Floats<N> values;
#pragma unroll
    for (int j = 0; j < N; j++) values.at[j] = pack.at(j);
    return values;
}

// max(value, 0) that lets NaN through: fmaxf would hide that a network has diverged.
__device__ __forceinline__ float rectified(float value) { return value < 0.0f ? 0.0f : value; }

// A whole pack as it will lie in memory. Of bf16 two numbers are rounded by one instruction.
template <class T, int N>
__device__ __forceinline__ Fetched<T> packed(const Floats<N>& values) {
    Fetched<T> pack;
#ifdef __CUDA_ARCH__
    if constexpr (sizeof(T) == sizeof(float)) {
#pragma unroll
        for (int j = 0; j < 4; j++) pack.word[j] = __float_as_uint(values.at[j]);
    } else {
#pragma unroll
        for (int j = 0; j < 4; j++)
            asm("cvt.rn.bf16x2.f32 %0, %1, %2;"
                : "=r"(pack.word[j])
                : "f"(values.at[2 * j + 1]), "f"(values.at[2 * j]));
    }
#else
    Pack<T, N> numbers;
    for (int j = 0; j < N; j++) numbers.at[j] = from_float<T>(values.at[j]);
    memcpy(&pack, &numbers, sizeof pack);
#endif
    return pack;
}

// Writes such a pack to an aligned address.
template <class T>
__device__ __forceinline__ void put(T* to, const Fetched<T>& pack) {
    *reinterpret_cast<Fetched<T>*>(to) = pack;
}

// Writes N values to an address that is aligned for them.
template <int N, class T>
__device__ __forceinline__ void put(T* to, const Floats<N>& values) {
    if constexpr (N == Width<T>::OF_PACK) {
        put(to, packed<T>(values));
    } else {
        Pack<T, N> pack;
#pragma unroll
        for (int j = 0; j < N; j++) pack.at[j] = from_float<T>(values.at[j]);
        *reinterpret_cast<Pack<T, N>*>(to) = pack;
    }
}

// max(value, 0) of each, with NaN as above.
template <class T>
__device__ __forceinline__ Fetched<T> rectified(Fetched<T> pack) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if constexpr (sizeof(T) == sizeof(float)) {
            pack.word[i] = __float_as_uint(rectified(__uint_as_float(pack.word[i])));
        } else {
#ifdef __CUDA_ARCH__
            asm("max.NaN.bf16x2 %0, %0, %1;" : "+r"(pack.word[i]) : "r"(0u));
#else
            for (int half = 0; half < 2; half++)
                if (pack.at(2 * i + half) <= 0.0f) pack.word[i] &= half == 0 ? ~0xffffu : 0xffffu;
#endif
        }
    }
    return pack;
}

// Bit j: whether number j of a rectified pack is positive, or NaN.
template <class T>
__device__ __forceinline__ unsigned positive(const Fetched<T>& pack) {
    unsigned bits = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if constexpr (sizeof(T) == sizeof(float)) {
            if ((int)pack.word[i] > 0) bits |= 1u << i;
        } else {
            // The upper bit of a half is set by adding if there is any other.
            bits |= ((pack.word[i] + 0x7fff7fffu) & 0x80008000u) >> (15 - 2 * i);
        }
    }
    return sizeof(T) == sizeof(float) ? bits : (bits | bits >> 15) & 0xffu;
}

// Writes the first `valid` of N values.
template <int N, class T>
__device__ __forceinline__ void store(T* to, const Floats<N>& values, int valid) {
    if (valid >= N && is_aligned<N>(to)) {
        put<N>(to, values);
    } else {
#pragma unroll
        for (int j = 0; j < N; j++)
            if (j < valid) to[j] = from_float<T>(values.at[j]);
    }
}

// number / divisor, neither negative, the divisor most often a power of two and the same for all
// threads: a division by what the compiler does not know takes some forty instructions.
__device__ __forceinline__ int divided(int number, int divisor) {
    if ((divisor & (divisor - 1)) == 0) return number >> (31 - __clz(divisor));
    return number / divisor;
}

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
// is visible to it (through fetch_written and volatile reads). The ticket starts at zero and ends
// at zero.
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

// Adds 1 to a word and gives what it was. What the block wrote before its last barrier is visible to
// whoever sees that it has grown, and what others wrote before they made it grow, to the caller. For
// one thread of a block.
__device__ __forceinline__ unsigned count_up(unsigned* word) {
#ifdef __CUDA_ARCH__
    unsigned before;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;"
                 : "=r"(before)
                 : "l"(word)
                 : "memory");
    return before;
#else
    return atomicAdd(word, 1u);
#endif
}

// Returns when a word has grown by `steps` or more since it was `from`. What was written before it
// grew is then visible to the caller, and behind a barrier to the caller's block. For one thread of
// a block, in cooperative launches only.
__device__ __forceinline__ void wait_until(const volatile unsigned* word, unsigned from,
                                           unsigned steps) {
    for (;;) {
        unsigned now;
#ifdef __CUDA_ARCH__
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(word) : "memory");
#else
        now = *word;
#endif
        if (now - from >= steps) return;
        __nanosleep(32);
    }
}

// Numbers per channel that blocks leave for each other move in packs of float32, for every T: a
// thread that took the channels of a bf16 pack would have too many of them under way.
constexpr int QUAD = Width<float>::OF_PACK;

// A pack on an aligned address that another block of this launch wrote, after last_block and its
// like: past the level 1 cache, which does not know of them.
__device__ __forceinline__ Floats<QUAD> fetch_written(const float* from) {
    Floats<QUAD> values;
#ifdef __CUDA_ARCH__
    asm volatile("ld.relaxed.gpu.global.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(values.at[0]), "=f"(values.at[1]), "=f"(values.at[2]), "=f"(values.at[3])
                 : "l"(from)
                 : "memory");
#else
    memcpy(&values, from, sizeof values);
#endif
    return values;
}

// One such number.
__device__ __forceinline__ float read_written(const float* from) {
#ifdef __CUDA_ARCH__
    float value;
    asm volatile("ld.relaxed.gpu.global.f32 %0, [%1];" : "=f"(value) : "l"(from) : "memory");
    return value;
#else
    return *from;
#endif
}

// The first `valid` of such numbers, wherever they lie; the rest are zero.
__device__ __forceinline__ Floats<QUAD> load_written(const volatile float* from, int valid) {
    Floats<QUAD> values;
#pragma unroll
    for (int j = 0; j < QUAD; j++) values.at[j] = j < valid ? from[j] : 0.0f;
    return values;
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

// The same number, but the compiler does not know it: what follows from it is computed anew, rather
// than kept in registers since the last time.
__device__ __forceinline__ int forgotten(int number) {
#ifdef __CUDA_ARCH__
    asm volatile("" : "+r"(number));
#endif
    return number;
}

// ---- Blocks over a matrix of rows by channels.

// 128 bytes of a row: a line of the caches, of which nothing is fetched in vain. A wider slab would
// leave a block fewer rows below each other, and sums over rows more blocks to be merged.
constexpr int PACKS_OF_SLAB = 8;

// A block covers up to PACKS_OF_SLAB packs of N channels side by side ("a slab") and as many rows
// below each other as its threads allow, 32 of a whole slab. A thread keeps its channels, so that
// what belongs to a channel is read once, and neighbouring threads touch neighbouring memory.
//
// The grid is (parts, slabs), slabs = ceil(packs / PACKS_OF_SLAB), or packs / 4 where slabs of 4 are
// whole 64 bytes and those others would not be: what two share is fetched twice. parts * slabs <
// 2^31. Blocks are numbered in the order in which they start, slabs first: rows that are wider than
// a slab are read whole at about one time. Backwards, the last rows come first: those that the pass
// before has left in the level 2 cache.
enum Order { FORWARDS, BACKWARDS };

template <int N>
struct Slab {
    int number;   // which slab
    int part;     // which of the blocks that share the rows of the slab
    int first;    // number of its first pack in the row
    int width;    // packs side by side: the same in all slabs but the last
    int rows;     // rows below each other
    int row;      // this thread's row, in [0, rows)
    int channel;  // its first channel
    int valid;    // how many of its N channels exist, none if not positive
    int pack;     // number of its pack in the row
    int packs;    // packs in a whole row
    bool active;  // whether it has a place at all: 256 is no multiple of most widths

    __device__ __forceinline__ explicit Slab(int channels, Order order = FORWARDS) {
        unsigned block = blockIdx.y * gridDim.x + blockIdx.x;
        if (order == BACKWARDS) block = gridDim.x * gridDim.y - 1 - block;
        place(channels, (int)(block % gridDim.y), (int)gridDim.y, (int)(block / gridDim.y));
    }

    // Slab `which` of `slabs`, for a grid of another form.
    __device__ __forceinline__ Slab(int channels, int which, int slabs, int ofPart) {
        place(channels, which, slabs, ofPart);
    }

    // The same channels in packs of fewer, for what is float32 whatever T is.
    template <int M>
    __device__ __forceinline__ Slab(int channels, const Slab<M>& of) {
        number = of.number;
        part = of.part;
        packs = (channels + N - 1) / N;
        first = of.first * (M / N);
        width = of.width * (M / N);
        place_thread(channels);
    }

    __device__ __forceinline__ void place(int channels, int which, int slabs, int ofPart) {
        number = which;
        part = ofPart;
        packs = (channels + N - 1) / N;
        int widest = divided(packs + slabs - 1, slabs);
        first = number * widest;
        width = packs - first < widest ? packs - first : widest;
        place_thread(channels);
    }

    __device__ __forceinline__ void place_thread(int channels) {
        rows = divided(THREADS, width);
        row = divided((int)threadIdx.x, width);
        pack = first + (int)threadIdx.x - row * width;
        channel = pack * N;
        valid = channels - channel < N ? channels - channel : N;
        active = row < rows && valid > 0;
    }

    // Whether this thread's packs of a matrix are whole and aligned in every row.
    template <class T>
    __device__ __forceinline__ bool moves_whole(const T* matrix, int channels) const {
        return active && valid == N && channels % N == 0 && is_aligned<N>(matrix);
    }
};

// Rows that a thread has under way at once, where no address is in the way: one 16-byte load for
// each of the thousand threads that fit on a multiprocessor does not keep its memory busy.
constexpr int AHEAD = 4;

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
