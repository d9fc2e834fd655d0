// Ghost batch norm over all groups and channels, NHWC (Hoffer et al. 2017, arXiv 1705.08741).
//
// Samples form consecutive groups of ghostBatch; the last group has what is left. For group g and
// channel c, over its M = (samples of the group) * plane elements, plane = H * W:
//
//   ghost_norm_statistics
//       mean[g,c] = sum(x) / M
//       variance[g,c] = sum((x - mean)^2) / M
//   ghost_norm_apply
//       y = relu?(scale[c] * (x - mean) / sqrt(variance + epsilon) + shift[c] + addend)
//       group after group: running <- (1 - momentum) * running + momentum * s, where s = mean, or
//       s = variance * M / (M - 1) (for M = 1 the variance itself)
//   ghost_norm_gradient_sums
//       dz = dy where the mask is set, else 0 (all of dy without a mask)
//       n = (x - mean) / sqrt(variance + epsilon)
//       sums[0,g,c] = sum(dz)
//       sums[1,g,c] = sum(dz * n)
//   ghost_norm_gradient
//       dx = scale[c] / sqrt(variance + epsilon) * (dz - sum(dz) / M - n * sum(dz * n) / M)
//       daddend = dz
//       dshift[c] += sum over the groups of sum(dz),  dscale[c] += the same of sum(dz * n)
//
// Statistics are found by Welford's update in each thread and merged by Chan's formula, so a mean
// that is large beside the deviation costs no digits. Inference is ghost_norm_apply with the
// running averages as mean and variance, ghostBatch = samples, and null for what is to be updated.
//
// x, y, addend, dx, dy, daddend
//             (samples, plane, C) T; y may lie on x or addend, dx on dy. addend, daddend: null if
//             there is none.
// scale, shift, dscale, dshift, runningMean, runningVariance
//             (C) float32. runningMean null: no update.
// mean, variance
//             (G, C) float32.
// sums        (2, G, C) float32.
// mask        which outputs are positive, or null. A byte per pack of N = 16 / S channels: byte
//             (n * plane + pixel) * packs + p, packs = ceil(C / N), has channel p * N + j as bit j.
// partials    (G * splits, 2, C) float32, scratch; not touched if splits = 1.
// tickets     (G * ceil(packs / 32)) unsigned, zero before and after; not touched if splits = 1.
// Launch      grid (G * splits, ceil(packs / 32)): `splits` blocks share the rows of a group;
//             meant: as many as fill the device. ghostBatch * plane < 2^31. Two launches each way:
//             a group spread over many blocks must be summed before its first element can be done.
// Traffic     per element: forward 3 S (x twice, y), + S with addend, + 1/N with mask; gradient 5 S
//             (x and dy twice, dx), + S with daddend, + 2/N with mask. What the level 2 cache still
//             holds of the first reading does not move again: floors 2 S and 3 S.
// Twin        io.crescendo.reference.BatchNorm
#include "common.cuh"

// Which rows a block has: its share of one group.
struct Rows {
    int group;
    int split;
    int count;        // rows of the whole group: M
    long long first;  // the group's first row
    int begin, end;   // this block's rows, within the group

    __device__ __forceinline__ Rows(int samples, int plane, int ghostBatch, int splits) {
        group = (int)(blockIdx.x / (unsigned)splits);
        split = (int)(blockIdx.x % (unsigned)splits);
        int firstSample = group * ghostBatch;
        int size = samples - firstSample < ghostBatch ? samples - firstSample : ghostBatch;
        count = size * plane;
        first = (long long)firstSample * plane;
        begin = start_of(split, splits);
        end = start_of(split + 1, splits);
    }

    __device__ __forceinline__ int start_of(int part, int splits) const {
        return (int)((long long)count * part / splits);
    }
};

// Rows that a thread has under way at once, where no end and no address is in the way: one 16-byte
// load for each of the thousand threads that fit on a multiprocessor does not keep its memory busy.
constexpr int AHEAD = 4;

// 1 / sqrt(variance + epsilon) for the channels of one pack. Slabs cut off at the last channel read
// zeros.
template <int N>
__device__ __forceinline__ Floats<N> inverse_deviation(const float* variance, int valid,
                                                       float epsilon) {
    Floats<N> values = load<N>(variance, valid);
#pragma unroll
    for (int j = 0; j < N; j++) values.at[j] = rsqrtf(values.at[j] + epsilon);
    return values;
}

__device__ __forceinline__ int groups_of(int samples, int ghostBatch) {
    return (samples + ghostBatch - 1) / ghostBatch;
}

// ---- Forward.

// Mean and sum of squared distances of `count` numbers, for the channels of one pack.
template <int N>
struct Moments {
    float count;
    float mean[N];
    float squares[N];
};

template <int N>
__device__ __forceinline__ void merge(Moments<N>& into, const Moments<N>& from) {
    float count = into.count + from.count;
    if (from.count == 0.0f) return;
    float share = from.count / count;
#pragma unroll
    for (int j = 0; j < N; j++) {
        float distance = from.mean[j] - into.mean[j];
        into.mean[j] += distance * share;
        into.squares[j] += from.squares[j] + distance * distance * into.count * share;
    }
    into.count = count;
}

template <int N>
__device__ __forceinline__ void add(Moments<N>& into, const Floats<N>& values) {
    into.count += 1.0f;
    float share = 1.0f / into.count;
#pragma unroll
    for (int j = 0; j < N; j++) {
        float distance = values.at[j] - into.mean[j];
        into.mean[j] += distance * share;
        into.squares[j] += distance * (values.at[j] - into.mean[j]);
    }
}

// The moments of a few rows at once: one division, and sums that do not wait for each other.
template <int ROWS, class T, int N>
__device__ __forceinline__ void add(Moments<N>& into, const Pack<T, N> (&packs)[ROWS]) {
    float count = into.count + ROWS;
    float share = (float)ROWS / count;
#pragma unroll
    for (int j = 0; j < N; j++) {
        float mean = 0.0f, squares = 0.0f;
#pragma unroll
        for (int i = 0; i < ROWS; i++) mean += to_float(packs[i].at[j]) * (1.0f / ROWS);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            float distance = to_float(packs[i].at[j]) - mean;
            squares += distance * distance;
        }
        float distance = mean - into.mean[j];
        into.mean[j] += distance * share;
        into.squares[j] += squares + distance * distance * into.count * share;
    }
    into.count = count;
}

// Adds up over the rows of the block; row 0 gets the sum.
template <class V, int N>
__device__ __forceinline__ void merge_rows(V (&shared)[THREADS], V& own, const Slab<N>& slab) {
    shared[threadIdx.x] = own;
    for (int left = slab.rows; left > 1;) {
        int half = (left + 1) / 2;
        __syncthreads();
        if (slab.row < left - half)
            merge(shared[threadIdx.x], shared[threadIdx.x + half * slab.width]);
        left = half;
    }
    // Every thread goes on with what it merged itself, which for row 0 is the whole block.
    own = shared[threadIdx.x];
}

template <class T>
__device__ __forceinline__ void ghost_norm_statistics(const T* __restrict__ x, float* mean,
                                                      float* variance, float* partials,
                                                      unsigned* tickets, int samples, int channels,
                                                      int plane, int ghostBatch, int splits) {
    constexpr int N = Width<T>::OF_PACK;
    __shared__ Moments<N> moments[THREADS];
    const Slab<N> slab(channels);
    const Rows rows(samples, plane, ghostBatch, splits);

    Moments<N> own{};
    if (slab.active) {
        const T* at = x + rows.first * channels + slab.channel;
        int row = rows.begin + slab.row;
        if (slab.fetches(x, channels)) {
            for (; rows.end - row > (AHEAD - 1) * slab.rows; row += AHEAD * slab.rows) {
                Pack<T, N> packs[AHEAD];
#pragma unroll
                for (int i = 0; i < AHEAD; i++)
                    packs[i] = fetch<N>(at + (long long)(row + i * slab.rows) * channels);
                add(own, packs);
            }
        }
        for (; row < rows.end; row += slab.rows)
            add(own, load<N>(at + (long long)row * channels, slab.valid));
    }
    merge_rows(moments, own, slab);

    if (splits > 1) {
        if (slab.row == 0) {
            float* partial = partials + (long long)blockIdx.x * 2 * channels + slab.channel;
            for (int j = 0; j < slab.valid; j++) {
                partial[j] = own.mean[j];
                partial[channels + j] = own.squares[j];
            }
        }
        unsigned* ticket = tickets + (long long)rows.group * gridDim.y + blockIdx.y;
        if (!last_block(ticket, (unsigned)splits)) return;
        own = Moments<N>{};
        for (int split = slab.row; slab.active && split < splits; split += slab.rows) {
            const volatile float* partial =
                partials + ((long long)rows.group * splits + split) * 2 * channels + slab.channel;
            Moments<N> part{};
            part.count = (float)(rows.start_of(split + 1, splits) - rows.start_of(split, splits));
            for (int j = 0; j < slab.valid; j++) {
                part.mean[j] = partial[j];
                part.squares[j] = partial[channels + j];
            }
            merge(own, part);
        }
        merge_rows(moments, own, slab);
    }
    if (slab.row == 0) {
        long long at = (long long)rows.group * channels + slab.channel;
        for (int j = 0; j < slab.valid; j++) {
            mean[at + j] = own.mean[j];
            variance[at + j] = own.squares[j] / (float)rows.count;
        }
    }
}

template <class T>
__device__ __forceinline__ void ghost_norm_apply(
    const T* x, const T* addend, const float* __restrict__ scale, const float* __restrict__ shift,
    const float* mean, const float* variance, T* y, unsigned char* __restrict__ mask,
    float* runningMean, float* runningVariance, int samples, int channels, int plane,
    int ghostBatch, int splits, float epsilon, float momentum, int relu) {
    constexpr int N = Width<T>::OF_PACK;
    const Slab<N> slab(channels);
    const Rows rows(samples, plane, ghostBatch, splits);

    // y = x * factor + offset would lose digits where the mean is large: the mean is taken off
    // first.
    const long long statistic = (long long)rows.group * channels + slab.channel;
    const Floats<N> average = load<N>(mean + statistic, slab.valid);
    const Floats<N> offset = load<N>(shift + slab.channel, slab.valid);
    const Floats<N> deviation = inverse_deviation<N>(variance + statistic, slab.valid, epsilon);
    Floats<N> factor = load<N>(scale + slab.channel, slab.valid);
#pragma unroll
    for (int j = 0; j < N; j++) factor.at[j] *= deviation.at[j];
    const auto finish = [&](int row, Floats<N> values, const Floats<N>& added) {
        unsigned positive = 0;
#pragma unroll
        for (int j = 0; j < N; j++) {
            float z = (values.at[j] - average.at[j]) * factor.at[j] + offset.at[j] + added.at[j];
            if (z > 0.0f && j < slab.valid) positive |= 1u << j;
            values.at[j] = relu ? rectified(z) : z;
        }
        store<N>(y + (rows.first + row) * channels + slab.channel, values, slab.valid);
        if (mask != nullptr)
            mask[(rows.first + row) * slab.packs + slab.pack] = (unsigned char)positive;
    };
    int row = rows.begin + slab.row;
    if (slab.fetches(x, channels) && (addend == nullptr || slab.fetches(addend, channels))) {
        for (; rows.end - row > (AHEAD - 1) * slab.rows; row += AHEAD * slab.rows) {
            Pack<T, N> packs[AHEAD], others[AHEAD]{};
#pragma unroll
            for (int i = 0; i < AHEAD; i++) {
                long long at = (rows.first + row + i * slab.rows) * channels + slab.channel;
                packs[i] = fetch<N>(x + at);
                if (addend != nullptr) others[i] = fetch<N>(addend + at);
            }
#pragma unroll
            for (int i = 0; i < AHEAD; i++)
                finish(row + i * slab.rows, to_floats(packs[i]), to_floats(others[i]));
        }
    }
    for (; slab.active && row < rows.end; row += slab.rows) {
        long long at = (rows.first + row) * channels + slab.channel;
        Floats<N> values = load<N>(x + at, slab.valid), added{};
        if (addend != nullptr) added = load<N>(addend + at, slab.valid);
        finish(row, values, added);
    }

    if (runningMean == nullptr || blockIdx.y != 0) return;
    // A warp per channel: its lanes read the statistics of 32 groups at once, and then all of them
    // go through the groups in order.
    const int groups = groups_of(samples, ghostBatch), lane = threadIdx.x % LANES;
    const int warps = (int)gridDim.x * WARPS;
    for (int c = (int)thread_of_grid() / LANES; c < channels; c += warps) {
        float newMean = runningMean[c], newVariance = runningVariance[c];
        for (int begin = 0; begin < groups; begin += LANES) {
            int group = begin + lane;
            float groupMean = 0.0f, unbiased = 0.0f;
            if (group < groups) {
                int left = samples - group * ghostBatch;
                float count = (float)((left < ghostBatch ? left : ghostBatch) * plane);
                groupMean = mean[(long long)group * channels + c];
                unbiased = variance[(long long)group * channels + c];
                if (count > 1.0f) unbiased *= count / (count - 1.0f);
            }
            int end = groups - begin < LANES ? groups - begin : LANES;
            for (int g = 0; g < end; g++) {
                newMean += momentum * (__shfl_sync(ALL_LANES, groupMean, g) - newMean);
                newVariance += momentum * (__shfl_sync(ALL_LANES, unbiased, g) - newVariance);
            }
        }
        if (lane == 0) {
            runningMean[c] = newMean;
            runningVariance[c] = newVariance;
        }
    }
}

// ---- Backward.

// dz of one pack: dy, or 0 where the bits of the mask are not set.
template <int N>
__device__ __forceinline__ Floats<N> masked(Floats<N> dy, unsigned positive) {
#pragma unroll
    for (int j = 0; j < N; j++)
        if ((positive >> j & 1u) == 0) dy.at[j] = 0.0f;
    return dy;
}

// Calls f(row, x, dz) for the rows of a thread.
template <class T, int N, class F>
__device__ __forceinline__ void for_rows(const T* x, const T* dy, const unsigned char* mask,
                                         int channels, const Slab<N>& slab, const Rows& rows, F f) {
    constexpr int BOTH_AHEAD = AHEAD / 2;  // two loads a row
    constexpr unsigned ALL = ~0u;
    const auto place = [&](int row) { return (rows.first + row) * channels + slab.channel; };
    const auto bits = [&](int row) {
        return mask == nullptr ? ALL : mask[(rows.first + row) * slab.packs + slab.pack];
    };
    int row = rows.begin + slab.row;
    if (slab.fetches(x, channels) && slab.fetches(dy, channels)) {
        for (; rows.end - row > (BOTH_AHEAD - 1) * slab.rows; row += BOTH_AHEAD * slab.rows) {
            Pack<T, N> values[BOTH_AHEAD], gradients[BOTH_AHEAD];
            unsigned positive[BOTH_AHEAD];
#pragma unroll
            for (int i = 0; i < BOTH_AHEAD; i++) {
                values[i] = fetch<N>(x + place(row + i * slab.rows));
                gradients[i] = fetch<N>(dy + place(row + i * slab.rows));
                positive[i] = bits(row + i * slab.rows);
            }
#pragma unroll
            for (int i = 0; i < BOTH_AHEAD; i++)
                f(row + i * slab.rows, to_floats(values[i]),
                  masked(to_floats(gradients[i]), positive[i]));
        }
    }
    for (; slab.active && row < rows.end; row += slab.rows)
        f(row, load<N>(x + place(row), slab.valid),
          masked(load<N>(dy + place(row), slab.valid), bits(row)));
}

template <int N>
struct GradientSums {
    float dz[N];
    float dot[N];
};

template <int N>
__device__ __forceinline__ void merge(GradientSums<N>& into, const GradientSums<N>& from) {
#pragma unroll
    for (int j = 0; j < N; j++) {
        into.dz[j] += from.dz[j];
        into.dot[j] += from.dot[j];
    }
}

template <class T>
__device__ __forceinline__ void ghost_norm_gradient_sums(
    const T* __restrict__ x, const T* __restrict__ dy, const float* __restrict__ mean,
    const float* __restrict__ variance, const unsigned char* __restrict__ mask, float* sums,
    float* partials, unsigned* tickets, int samples, int channels, int plane, int ghostBatch,
    int splits, float epsilon) {
    constexpr int N = Width<T>::OF_PACK;
    __shared__ GradientSums<N> shared[THREADS];
    const Slab<N> slab(channels);
    const Rows rows(samples, plane, ghostBatch, splits);
    const long long statistic = (long long)rows.group * channels + slab.channel;

    const Floats<N> average = load<N>(mean + statistic, slab.valid);
    const Floats<N> inverse = inverse_deviation<N>(variance + statistic, slab.valid, epsilon);
    GradientSums<N> own{};
    for_rows(x, dy, mask, channels, slab, rows,
             [&](int, const Floats<N>& values, const Floats<N>& dz) {
#pragma unroll
                 for (int j = 0; j < N; j++) {
                     own.dz[j] += dz.at[j];
                     own.dot[j] += dz.at[j] * ((values.at[j] - average.at[j]) * inverse.at[j]);
                 }
             });
    merge_rows(shared, own, slab);

    if (splits > 1) {
        if (slab.row == 0) {
            float* partial = partials + (long long)blockIdx.x * 2 * channels + slab.channel;
            for (int j = 0; j < slab.valid; j++) {
                partial[j] = own.dz[j];
                partial[channels + j] = own.dot[j];
            }
        }
        unsigned* ticket = tickets + (long long)rows.group * gridDim.y + blockIdx.y;
        if (!last_block(ticket, (unsigned)splits)) return;
        own = GradientSums<N>{};
        for (int split = slab.row; slab.active && split < splits; split += slab.rows) {
            const volatile float* partial =
                partials + ((long long)rows.group * splits + split) * 2 * channels + slab.channel;
            for (int j = 0; j < slab.valid; j++) {
                own.dz[j] += partial[j];
                own.dot[j] += partial[channels + j];
            }
        }
        merge_rows(shared, own, slab);
    }
    if (slab.row == 0) {
        long long dots = (long long)groups_of(samples, ghostBatch) * channels;
        for (int j = 0; j < slab.valid; j++) {
            sums[statistic + j] = own.dz[j];
            sums[dots + statistic + j] = own.dot[j];
        }
    }
}

template <class T>
__device__ __forceinline__ void ghost_norm_gradient(
    const T* __restrict__ x, const T* dy, const float* __restrict__ scale,
    const float* __restrict__ mean, const float* __restrict__ variance,
    const unsigned char* __restrict__ mask, const float* __restrict__ sums, T* dx,
    T* __restrict__ daddend, float* dscale, float* dshift, int samples, int channels, int plane,
    int ghostBatch, int splits, float epsilon) {
    constexpr int N = Width<T>::OF_PACK;
    const Slab<N> slab(channels);
    const Rows rows(samples, plane, ghostBatch, splits);
    const int groups = groups_of(samples, ghostBatch);
    const long long statistic = (long long)rows.group * channels + slab.channel;
    const long long dots = (long long)groups * channels;

    const Floats<N> average = load<N>(mean + statistic, slab.valid);
    const Floats<N> inverse = inverse_deviation<N>(variance + statistic, slab.valid, epsilon);
    Floats<N> factor = load<N>(scale + slab.channel, slab.valid);
    Floats<N> dzMean = load<N>(sums + statistic, slab.valid);
    Floats<N> dotMean = load<N>(sums + dots + statistic, slab.valid);
    const float share = 1.0f / (float)rows.count;
#pragma unroll
    for (int j = 0; j < N; j++) {
        factor.at[j] *= inverse.at[j];
        dzMean.at[j] *= share;
        dotMean.at[j] *= share;
    }
    for_rows(x, dy, mask, channels, slab, rows,
             [&](int row, const Floats<N>& values, const Floats<N>& dz) {
                 long long at = (rows.first + row) * channels + slab.channel;
                 if (daddend != nullptr) store<N>(daddend + at, dz, slab.valid);
                 Floats<N> gradients;
#pragma unroll
                 for (int j = 0; j < N; j++) {
                     float normalised = (values.at[j] - average.at[j]) * inverse.at[j];
                     gradients.at[j] =
                         factor.at[j] * (dz.at[j] - dzMean.at[j] - normalised * dotMean.at[j]);
                 }
                 store<N>(dx + at, gradients, slab.valid);
             });

    if (blockIdx.y != 0) return;
    const int lane = threadIdx.x % LANES, warps = (int)gridDim.x * WARPS;
    for (int c = (int)thread_of_grid() / LANES; c < channels; c += warps) {
        float shiftSum = 0.0f, scaleSum = 0.0f;
        for (int g = lane; g < groups; g += LANES) {
            shiftSum += sums[(long long)g * channels + c];
            scaleSum += sums[dots + (long long)g * channels + c];
        }
        shiftSum = warp_sum(shiftSum);
        scaleSum = warp_sum(scaleSum);
        if (lane == 0) {
            dshift[c] += shiftSum;
            dscale[c] += scaleSum;
        }
    }
}

#define GHOST_NORM(DTYPE, T)                                                                       \
    KERNEL ghost_norm_statistics_##DTYPE(const T* x, float* mean, float* variance,                 \
                                         float* partials, unsigned* tickets, int samples,          \
                                         int channels, int plane, int ghostBatch, int splits) {    \
        ghost_norm_statistics<T>(x, mean, variance, partials, tickets, samples, channels, plane,   \
                                 ghostBatch, splits);                                              \
    }                                                                                              \
    KERNEL ghost_norm_apply_##DTYPE(                                                               \
        const T* x, const T* addend, const float* scale, const float* shift, const float* mean,    \
        const float* variance, T* y, unsigned char* mask, float* runningMean,                      \
        float* runningVariance, int samples, int channels, int plane, int ghostBatch, int splits,  \
        float epsilon, float momentum, int relu) {                                                 \
        ghost_norm_apply<T>(x, addend, scale, shift, mean, variance, y, mask, runningMean,         \
                            runningVariance, samples, channels, plane, ghostBatch, splits,         \
                            epsilon, momentum, relu);                                              \
    }                                                                                              \
    KERNEL_OF(3) ghost_norm_gradient_sums_##DTYPE(                                                       \
        const T* x, const T* dy, const float* mean, const float* variance,                         \
        const unsigned char* mask, float* sums, float* partials, unsigned* tickets, int samples,   \
        int channels, int plane, int ghostBatch, int splits, float epsilon) {                      \
        ghost_norm_gradient_sums<T>(x, dy, mean, variance, mask, sums, partials, tickets, samples, \
                                    channels, plane, ghostBatch, splits, epsilon);                 \
    }                                                                                              \
    KERNEL ghost_norm_gradient_##DTYPE(                                                            \
        const T* x, const T* dy, const float* scale, const float* mean, const float* variance,     \
        const unsigned char* mask, const float* sums, T* dx, T* daddend, float* dscale,            \
        float* dshift, int samples, int channels, int plane, int ghostBatch, int splits,           \
        float epsilon) {                                                                           \
        ghost_norm_gradient<T>(x, dy, scale, mean, variance, mask, sums, dx, daddend, dscale,      \
                               dshift, samples, channels, plane, ghostBatch, splits, epsilon);     \
    }
GHOST_NORM(f32, float)
GHOST_NORM(bf16, bf16)
