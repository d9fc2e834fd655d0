// Ghost batch norm over all groups and channels, NHWC (Hoffer et al. 2017, arXiv 1705.08741).
//
// Samples form consecutive groups of ghostBatch; the last group has what is left. For group g and
// channel c, over its M = (samples of the group) * plane elements, plane = H * W:
//
//   ghost_norm_statistics
//       mean[g,c] = sum(x) / M
//       variance[g,c] = sum((x - mean)^2) / M
//   ghost_norm_apply, ghost_norm_apply_add
//       y = relu?(scale[c] * (x - mean) / sqrt(variance + epsilon) + shift[c])
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
//             (samples, plane, C) T; y may lie on x or addend, dx on dy. daddend null: none.
// scale, shift, dscale, dshift, runningMean, runningVariance
//             (C) float32. runningMean null: no update.
// mean, variance
//             (G, C) float32.
// sums        (2, G, C) float32.
// mask        which outputs are positive, or null. A byte per pack of N = 16 / S channels: byte
//             (n * plane + pixel) * packs + p, packs = ceil(C / N), has channel p * N + j as bit j.
// partials    (G * splits, 2, C) float32, scratch; not touched if splits = 1.
// tickets     (G * slabs) unsigned, zero before and after; not touched if splits = 1.
// Launch      grid (G * splits, slabs), slabs = ceil(packs / 8): `splits` blocks share the rows of
//             a group; meant: as many as the device holds at once, with 8 packs to read or more for
//             each thread, because the last block of a group merges what all of them left.
//             ghostBatch * plane < 2^31, splits * C < 2^30. Two launches each way: a group spread
//             over many blocks must be summed before its first element can be done. The second
//             goes from the last row to the first.
// Traffic     per element: forward 3 S (x twice, y), + S with addend, + 1/N with mask; gradient 5 S
//             (x and dy twice, dx), + S with daddend, + 2/N with mask. What the level 2 cache still
//             holds of the first reading does not move again: floors 2 S and 3 S. Per block and
//             channel 16 bytes of partials.
// Twin        io.crescendo.reference.BatchNorm
#include "common.cuh"

// Which rows a block has: every so many chunks of its group. At any time the blocks of a group are
// at neighbouring chunks, so that what is read last is the end of the group, however many share it.
struct Rows {
    int group;
    int split;        // which of the blocks that share the group
    int splits;       // and how many they are
    unsigned count;   // rows of the whole group: M
    long long first;  // the group's first row
    unsigned chunk;   // rows that a block has under way at once
    unsigned chunks;  // of the group; the last may be cut off

    // `ahead` rows of each thread are under way at once.
    template <int N>
    __device__ __forceinline__ Rows(const Slab<N>& slab, int ahead, int samples, int plane,
                                    int ghostBatch, int blocks) {
        group = slab.part / blocks;
        split = slab.part % blocks;
        splits = blocks;
        int firstSample = group * ghostBatch;
        int size = samples - firstSample < ghostBatch ? samples - firstSample : ghostBatch;
        count = (unsigned)size * (unsigned)plane;
        first = (long long)firstSample * plane;
        chunk = (unsigned)(ahead * slab.rows);
        chunks = (count + chunk - 1) / chunk;
    }

    // Calls f(first row) for the chunks of this block.
    template <class F>
    __device__ __forceinline__ void for_chunks(Order order, F f) const {
        const unsigned begin = (unsigned)split * chunk, step = (unsigned)splits * chunk;
        const int mine = chunks_of(split);
#pragma unroll 1
        for (int k = 0; k < mine; k++)
            f(begin + (unsigned)(order == FORWARDS ? k : mine - 1 - k) * step);
    }

    __device__ __forceinline__ int chunks_of(int part) const {
        return ((int)chunks - part + splits - 1) / splits;
    }

    // How many rows each of the blocks has.
    struct Counts {
        int chunk, each, more;   // the first `more` blocks have one chunk more than `each`
        int shortened, missing;  // and one block has the chunk that is cut off

        __device__ __forceinline__ explicit Counts(const Rows& rows) {
            chunk = (int)rows.chunk;
            each = (int)rows.chunks / rows.splits;
            more = (int)rows.chunks % rows.splits;
            shortened = ((int)rows.chunks - 1) % rows.splits;
            missing = (int)(rows.chunks * rows.chunk - rows.count);
        }

        __device__ __forceinline__ int of(int part) const {
            return (each + (part < more)) * chunk - (part == shortened ? missing : 0);
        }
    };
};

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
__device__ __forceinline__ void add(Moments<N>& into, const Fetched<T> (&packs)[ROWS]) {
    float count = into.count + ROWS;
    float share = (float)ROWS / count;
#pragma unroll
    for (int j = 0; j < N; j++) {
        float mean = 0.0f, squares = 0.0f;
#pragma unroll
        for (int i = 0; i < ROWS; i++) mean += packs[i].at(j) * (1.0f / ROWS);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            float distance = packs[i].at(j) - mean;
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

// Leaves two numbers per channel for the block of the group that finishes last.
template <int N>
__device__ __forceinline__ void leave(float* partials, const float (&a)[N], const float (&b)[N],
                                      int channels, const Slab<N>& slab) {
    if (slab.row != 0) return;
    float* partial = partials + (long long)slab.part * 2 * channels + slab.channel;
    Floats<N> first, second;
#pragma unroll
    for (int j = 0; j < N; j++) {
        first.at[j] = a[j];
        second.at[j] = b[j];
    }
    store<N>(partial, first, slab.valid);
    store<N>(partial + channels, second, slab.valid);
}

// Calls f(a, b, rows) with what the blocks left that had rows: for this thread's share of them. A
// few are under way at once, or the loads would take longer one after the other than the rows took.
template <class F>
__device__ __forceinline__ void for_splits(const float* partials, int channels,
                                           const Slab<QUAD>& slab, const Rows& rows, F f) {
    constexpr int AT_ONCE = 4;
    if (!slab.active) return;
    const Rows::Counts counts(rows);
    const bool whole = slab.moves_whole(partials, channels);
    const float* own = partials + (long long)rows.group * rows.splits * 2 * channels + slab.channel;
#pragma unroll 1
    for (int begin = slab.row; begin < rows.splits; begin += AT_ONCE * slab.rows) {
        // What is not there is the last, once more, and not looked at.
        const auto place = [&](int i) {
            int split = begin + i * slab.rows;
            return own + (split < rows.splits ? split : rows.splits - 1) * 2 * channels;
        };
        Floats<QUAD> a[AT_ONCE], b[AT_ONCE];
        if (whole) {
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                a[i] = fetch_written(place(i));
                b[i] = fetch_written(place(i) + channels);
            }
        } else {
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                a[i] = load_written(place(i), slab.valid);
                b[i] = load_written(place(i) + channels, slab.valid);
            }
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            int split = begin + i * slab.rows;
            if (split < rows.splits && counts.of(split) > 0)
                f(a[i], b[i], (float)counts.of(split));
        }
    }
}

__device__ __forceinline__ unsigned* ticket_of(unsigned* tickets, int group, int slab) {
    return tickets + (long long)group * gridDim.y + slab;
}

template <int N>
__device__ __forceinline__ void write_moments(float* mean, float* variance, const Moments<N>& all,
                                              int channels, const Slab<N>& slab, const Rows& rows) {
    if (slab.row != 0) return;
    long long at = (long long)rows.group * channels + slab.channel;
    Floats<N> means, variances;
#pragma unroll
    for (int j = 0; j < N; j++) {
        means.at[j] = all.mean[j];
        variances.at[j] = all.squares[j] / (float)rows.count;
    }
    store<N>(mean + at, means, slab.valid);
    store<N>(variance + at, variances, slab.valid);
}

template <class T>
__device__ __forceinline__ void ghost_norm_statistics(const T* __restrict__ x, float* mean,
                                                      float* variance, float* partials,
                                                      unsigned* tickets, int samples, int channels,
                                                      int plane, int ghostBatch, int splits) {
    constexpr int N = Width<T>::OF_PACK;
    __shared__ Moments<N> moments[THREADS];
    __shared__ Moments<QUAD> merged[THREADS];
    const Slab<N> slab(channels);
    const Rows rows(slab, AHEAD, samples, plane, ghostBatch, splits);

    Moments<N> own{};
    const bool whole = slab.moves_whole(x, channels);
    const long long step = (long long)slab.rows * channels;
    rows.for_chunks(FORWARDS, [&](unsigned begin) {
        const unsigned row = begin + slab.row;
        const T* at = x + (rows.first + row) * channels + slab.channel;
        const auto exists = [&](int i) { return row + i * slab.rows < rows.count; };
        if (whole) {
            Fetched<T> packs[AHEAD]{};
#pragma unroll
            for (int i = 0; i < AHEAD; i++)
                if (exists(i)) packs[i] = fetch(at + i * step);
            if (exists(AHEAD - 1)) {
                add(own, packs);
            } else {
#pragma unroll
                for (int i = 0; i < AHEAD - 1; i++)
                    if (exists(i)) add(own, to_floats<N>(packs[i]));
            }
        } else if (slab.active) {
#pragma unroll 1
            for (int i = 0; i < AHEAD && exists(i); i++)
                add(own, load<N>(at + i * step, slab.valid));
        }
    });
    merge_rows(moments, own, slab);

    if (splits > 1) {
        leave(partials, own.mean, own.squares, channels, slab);
        if (!last_block(ticket_of(tickets, rows.group, slab.number), (unsigned)splits)) return;
        const Slab<QUAD> quads(channels, slab);
        Moments<QUAD> all{};
        for_splits(
            partials, channels, quads, rows,
            [&](const Floats<QUAD>& means, const Floats<QUAD>& squares, float count) {
                Moments<QUAD> one;
                one.count = count;
#pragma unroll
                for (int j = 0; j < QUAD; j++) {
                    one.mean[j] = means.at[j];
                    one.squares[j] = squares.at[j];
                }
                merge(all, one);
            });
        merge_rows(merged, all, quads);
        write_moments(mean, variance, all, channels, quads, rows);
    } else {
        write_moments(mean, variance, own, channels, slab, rows);
    }
}

// What makes the variance of M numbers that of what they are drawn from.
__device__ __forceinline__ float unbiasing(int count) {
    return count > 1 ? (float)count / ((float)count - 1.0f) : 1.0f;
}

// The running averages of all channels after all groups, by the warps of the first slab's blocks: a
// warp per channel, a group per lane and round, from the last group to the first. Group after group
// by a <- a + momentum (s - a) is a + sum over g of momentum (1 - momentum)^(G - 1 - g) (s[g] - a).
__device__ __forceinline__ void update_running(float* runningMean, float* runningVariance,
                                               const float* mean, const float* variance, int part,
                                               int samples, int channels, int plane,
                                               int ghostBatch, float momentum) {
    const int groups = groups_of(samples, ghostBatch), lane = threadIdx.x % LANES;
    const float unbias = unbiasing(ghostBatch * plane);
    const float lastUnbias = unbiasing((samples - (groups - 1) * ghostBatch) * plane);
    // (1 - momentum)^lane and ^32, by squaring: they are multiplied by what is about 1 only.
    float keep = 1.0f - momentum, weight = momentum;
#pragma unroll
    for (int bit = 1; bit < LANES; bit *= 2) {
        if (lane & bit) weight *= keep;
        keep *= keep;
    }
    const int warps = (int)gridDim.x * WARPS;
    for (int c = part * WARPS + (int)threadIdx.x / LANES; c < channels; c += warps) {
        const float oldMean = runningMean[c], oldVariance = runningVariance[c];
        float meanMoved = 0.0f, varianceMoved = 0.0f, share = weight;
#pragma unroll 4
        for (int group = groups - 1 - lane; group >= 0; group -= LANES) {
            float unbiased = variance[(long long)group * channels + c];
            unbiased *= group == groups - 1 ? lastUnbias : unbias;
            meanMoved += share * (mean[(long long)group * channels + c] - oldMean);
            varianceMoved += share * (unbiased - oldVariance);
            share *= keep;
        }
        meanMoved = warp_sum(meanMoved);
        varianceMoved = warp_sum(varianceMoved);
        if (lane == 0) {
            runningMean[c] = oldMean + meanMoved;
            runningVariance[c] = oldVariance + varianceMoved;
        }
    }
}

template <class T, bool ADDEND>
__device__ __forceinline__ void ghost_norm_apply(
    const T* x, const T* addend, const float* __restrict__ scale, const float* __restrict__ shift,
    const float* mean, const float* variance, T* y, unsigned char* __restrict__ mask,
    float* runningMean, float* runningVariance, int samples, int channels, int plane,
    int ghostBatch, int splits, float epsilon, float momentum, int relu) {
    constexpr int N = Width<T>::OF_PACK;
    constexpr int ROWS = ADDEND ? AHEAD / 2 : AHEAD;  // as many loads either way
    const Slab<N> slab(channels, BACKWARDS);
    const Rows rows(slab, ROWS, samples, plane, ghostBatch, splits);

    // y = x * factor + offset would lose digits where the mean is large: the mean is taken off
    // first.
    const long long statistic = (long long)rows.group * channels + slab.channel;
    const Floats<N> average = load<N>(mean + statistic, slab.valid);
    const Floats<N> offset = load<N>(shift + slab.channel, slab.valid);
    const Floats<N> deviation = inverse_deviation<N>(variance + statistic, slab.valid, epsilon);
    Floats<N> factor = load<N>(scale + slab.channel, slab.valid);
#pragma unroll
    for (int j = 0; j < N; j++) factor.at[j] *= deviation.at[j];
    const auto normalised = [&](Floats<N> values, const Floats<N>& added) {
#pragma unroll
        for (int j = 0; j < N; j++) {
            float z = (values.at[j] - average.at[j]) * factor.at[j] + offset.at[j];
            if (ADDEND) z += added.at[j];
            values.at[j] = relu ? rectified(z) : z;
        }
        return values;
    };
    const auto mark = [&](unsigned row, const Floats<N>& values) {
        if (mask == nullptr) return;
        unsigned positive = 0;
#pragma unroll
        for (int j = 0; j < N; j++)
            if (values.at[j] > 0.0f && j < slab.valid) positive |= 1u << j;
        mask[(rows.first + row) * slab.packs + slab.pack] = (unsigned char)positive;
    };
    const bool whole = slab.moves_whole(x, channels) && slab.moves_whole(y, channels) &&
                       (!ADDEND || slab.moves_whole(addend, channels));
    const long long step = (long long)slab.rows * channels;
    rows.for_chunks(BACKWARDS, [&](unsigned begin) {
        const unsigned row = begin + slab.row;
        const long long at = (rows.first + row) * channels + slab.channel;
        const auto exists = [&](int i) { return row + i * slab.rows < rows.count; };
        if (whole) {
            Fetched<T> packs[ROWS]{}, others[ROWS]{};
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                if (!exists(i)) continue;
                packs[i] = fetch_last(x + at + i * step);
                if (ADDEND) others[i] = fetch_last(addend + at + i * step);
            }
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                if (!exists(i)) continue;
                Floats<N> values = normalised(to_floats<N>(packs[i]), to_floats<N>(others[i]));
                put<N>(y + at + i * step, values);
                mark(row + i * slab.rows, values);
            }
        } else if (slab.active) {
#pragma unroll 1
            for (int i = 0; i < ROWS && exists(i); i++) {
                Floats<N> values = load<N>(x + at + i * step, slab.valid), added{};
                if (ADDEND) added = load<N>(addend + at + i * step, slab.valid);
                values = normalised(values, added);
                store<N>(y + at + i * step, values, slab.valid);
                mark(row + i * slab.rows, values);
            }
        }
    });
    if (runningMean != nullptr && slab.number == 0)
        update_running(runningMean, runningVariance, mean, variance, slab.part, samples, channels,
                       plane, ghostBatch, momentum);
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

constexpr int BOTH_AHEAD = AHEAD / 2;  // rows of x and of dy: as many loads

// Calls f(row, x, dz, whether the pack is whole) for the rows of a thread. Backwards is the last
// time that they are read. `whole`: whether what is written takes whole packs.
template <Order ORDER, class T, int N, class F>
__device__ __forceinline__ void for_rows(const T* x, const T* dy, const unsigned char* mask,
                                         int channels, bool whole, const Slab<N>& slab,
                                         const Rows& rows, F f) {
    const auto bits = [&](unsigned row) {
        return mask == nullptr ? ~0u : mask[(rows.first + row) * slab.packs + slab.pack];
    };
    whole = whole && slab.moves_whole(x, channels) && slab.moves_whole(dy, channels);
    const long long step = (long long)slab.rows * channels;
    rows.for_chunks(ORDER, [&](unsigned begin) {
        const unsigned row = begin + slab.row;
        const long long at = (rows.first + row) * channels + slab.channel;
        const auto exists = [&](int i) { return row + i * slab.rows < rows.count; };
        if (whole) {
            Fetched<T> values[BOTH_AHEAD]{}, gradients[BOTH_AHEAD]{};
            unsigned positive[BOTH_AHEAD]{};
#pragma unroll
            for (int i = 0; i < BOTH_AHEAD; i++) {
                if (!exists(i)) continue;
                const T *from = x + at + i * step, *other = dy + at + i * step;
                values[i] = ORDER == BACKWARDS ? fetch_last(from) : fetch(from);
                gradients[i] = ORDER == BACKWARDS ? fetch_last(other) : fetch(other);
                positive[i] = bits(row + i * slab.rows);
            }
#pragma unroll
            for (int i = 0; i < BOTH_AHEAD; i++)
                if (exists(i))
                    f(at + i * step, to_floats<N>(values[i]),
                      masked(to_floats<N>(gradients[i]), positive[i]), true);
        } else if (slab.active) {
#pragma unroll 1
            for (int i = 0; i < BOTH_AHEAD && exists(i); i++)
                f(at + i * step, load<N>(x + at + i * step, slab.valid),
                  masked(load<N>(dy + at + i * step, slab.valid), bits(row + i * slab.rows)),
                  false);
        }
    });
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

template <int N>
__device__ __forceinline__ void write_sums(float* sums, const float* variance,
                                           const GradientSums<N>& all, int samples, int channels,
                                           int ghostBatch, float epsilon, const Slab<N>& slab,
                                           const Rows& rows) {
    if (slab.row != 0) return;
    const long long at = (long long)rows.group * channels + slab.channel;
    const Floats<N> inverse = inverse_deviation<N>(variance + at, slab.valid, epsilon);
    Floats<N> dz, dots;
#pragma unroll
    for (int j = 0; j < N; j++) {
        dz.at[j] = all.dz[j];
        dots.at[j] = all.dot[j] * inverse.at[j];
    }
    store<N>(sums + at, dz, slab.valid);
    store<N>(sums + (long long)groups_of(samples, ghostBatch) * channels + at, dots, slab.valid);
}

template <class T>
__device__ __forceinline__ void ghost_norm_gradient_sums(
    const T* __restrict__ x, const T* __restrict__ dy, const float* __restrict__ mean,
    const float* __restrict__ variance, const unsigned char* __restrict__ mask, float* sums,
    float* partials, unsigned* tickets, int samples, int channels, int plane, int ghostBatch,
    int splits, float epsilon) {
    constexpr int N = Width<T>::OF_PACK;
    __shared__ GradientSums<N> shared[THREADS];
    __shared__ GradientSums<QUAD> merged[THREADS];
    const Slab<N> slab(channels);
    const Rows rows(slab, BOTH_AHEAD, samples, plane, ghostBatch, splits);
    const long long statistic = (long long)rows.group * channels + slab.channel;

    const Floats<N> average = load<N>(mean + statistic, slab.valid);
    GradientSums<N> own{};  // of dz * (x - mean): all rows have one deviation
    for_rows<FORWARDS>(x, dy, mask, channels, true, slab, rows,
                       [&](long long, const Floats<N>& values, const Floats<N>& dz, bool) {
#pragma unroll
                           for (int j = 0; j < N; j++) {
                               own.dz[j] += dz.at[j];
                               own.dot[j] += dz.at[j] * (values.at[j] - average.at[j]);
                           }
                       });
    merge_rows(shared, own, slab);

    if (splits > 1) {
        leave(partials, own.dz, own.dot, channels, slab);
        if (!last_block(ticket_of(tickets, rows.group, slab.number), (unsigned)splits)) return;
        const Slab<QUAD> quads(channels, slab);
        GradientSums<QUAD> all{};
        for_splits(partials, channels, quads, rows,
                   [&](const Floats<QUAD>& dz, const Floats<QUAD>& dots, float) {
#pragma unroll
                       for (int j = 0; j < QUAD; j++) {
                           all.dz[j] += dz.at[j];
                           all.dot[j] += dots.at[j];
                       }
                   });
        merge_rows(merged, all, quads);
        write_sums(sums, variance, all, samples, channels, ghostBatch, epsilon, quads, rows);
    } else {
        write_sums(sums, variance, own, samples, channels, ghostBatch, epsilon, slab, rows);
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
    const Slab<N> slab(channels, BACKWARDS);
    const Rows rows(slab, BOTH_AHEAD, samples, plane, ghostBatch, splits);
    const int groups = groups_of(samples, ghostBatch);
    const long long statistic = (long long)rows.group * channels + slab.channel;
    const long long dots = (long long)groups * channels;

    // dx = factor * dz + slope * (x - mean) + offset: the formula above, by what depends on x.
    const Floats<N> average = load<N>(mean + statistic, slab.valid);
    const Floats<N> inverse = inverse_deviation<N>(variance + statistic, slab.valid, epsilon);
    Floats<N> factor = load<N>(scale + slab.channel, slab.valid);
    Floats<N> offset = load<N>(sums + statistic, slab.valid);
    Floats<N> slope = load<N>(sums + dots + statistic, slab.valid);
    const float share = 1.0f / (float)rows.count;
#pragma unroll
    for (int j = 0; j < N; j++) {
        factor.at[j] *= inverse.at[j];
        offset.at[j] *= -share * factor.at[j];
        slope.at[j] *= -share * inverse.at[j] * factor.at[j];
    }
    for_rows<BACKWARDS>(
        x, dy, mask, channels,
        slab.moves_whole(dx, channels) && slab.moves_whole(daddend, channels), slab, rows,
        [&](long long at, const Floats<N>& values, const Floats<N>& dz, bool whole) {
            Floats<N> gradients;
#pragma unroll
            for (int j = 0; j < N; j++)
                gradients.at[j] = factor.at[j] * dz.at[j] +
                                  slope.at[j] * (values.at[j] - average.at[j]) + offset.at[j];
            if (whole) {
                if (daddend != nullptr) put<N>(daddend + at, dz);
                put<N>(dx + at, gradients);
            } else {
                if (daddend != nullptr) store<N>(daddend + at, dz, slab.valid);
                store<N>(dx + at, gradients, slab.valid);
            }
        });

    if (slab.number != 0) return;
    const int lane = threadIdx.x % LANES, warps = (int)gridDim.x * WARPS;
    for (int c = slab.part * WARPS + (int)threadIdx.x / LANES; c < channels; c += warps) {
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

// Three blocks on a multiprocessor keep its memory busy. The gradients need more registers for that
// than architectures before 9.0 have without spills.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define KERNEL_OF_GRADIENT KERNEL_OF(2)
#else
#define KERNEL_OF_GRADIENT KERNEL_OF(3)
#endif

#define GHOST_NORM(DTYPE, T)                                                                       \
    KERNEL_OF(3) ghost_norm_statistics_##DTYPE(const T* x, float* mean, float* variance,                 \
                                         float* partials, unsigned* tickets, int samples,          \
                                         int channels, int plane, int ghostBatch, int splits) {    \
        ghost_norm_statistics<T>(x, mean, variance, partials, tickets, samples, channels, plane,   \
                                 ghostBatch, splits);                                              \
    }                                                                                              \
    KERNEL_OF(3) ghost_norm_apply_##DTYPE(                                                               \
        const T* x, const float* scale, const float* shift, const float* mean,                     \
        const float* variance, T* y, unsigned char* mask, float* runningMean,                      \
        float* runningVariance, int samples, int channels, int plane, int ghostBatch, int splits,  \
        float epsilon, float momentum, int relu) {                                                 \
        ghost_norm_apply<T, false>(x, nullptr, scale, shift, mean, variance, y, mask, runningMean, \
                                   runningVariance, samples, channels, plane, ghostBatch, splits,  \
                                   epsilon, momentum, relu);                                       \
    }                                                                                              \
    KERNEL_OF(3) ghost_norm_apply_add_##DTYPE(                                                           \
        const T* x, const T* addend, const float* scale, const float* shift, const float* mean,    \
        const float* variance, T* y, unsigned char* mask, float* runningMean,                      \
        float* runningVariance, int samples, int channels, int plane, int ghostBatch, int splits,  \
        float epsilon, float momentum, int relu) {                                                 \
        ghost_norm_apply<T, true>(x, addend, scale, shift, mean, variance, y, mask, runningMean,   \
                                  runningVariance, samples, channels, plane, ghostBatch, splits,   \
                                  epsilon, momentum, relu);                                        \
    }                                                                                              \
    KERNEL_OF_GRADIENT ghost_norm_gradient_sums_##DTYPE(                                                       \
        const T* x, const T* dy, const float* mean, const float* variance,                         \
        const unsigned char* mask, float* sums, float* partials, unsigned* tickets, int samples,   \
        int channels, int plane, int ghostBatch, int splits, float epsilon) {                      \
        ghost_norm_gradient_sums<T>(x, dy, mean, variance, mask, sums, partials, tickets, samples, \
                                    channels, plane, ghostBatch, splits, epsilon);                 \
    }                                                                                              \
    KERNEL_OF_GRADIENT ghost_norm_gradient_##DTYPE(                                                            \
        const T* x, const T* dy, const float* scale, const float* mean, const float* variance,     \
        const unsigned char* mask, const float* sums, T* dx, T* daddend, float* dscale,            \
        float* dshift, int samples, int channels, int plane, int ghostBatch, int splits,           \
        float epsilon) {                                                                           \
        ghost_norm_gradient<T>(x, dy, scale, mean, variance, mask, sums, dx, daddend, dscale,      \
                               dshift, samples, channels, plane, ghostBatch, splits, epsilon);     \
    }
GHOST_NORM(f32, float)
GHOST_NORM(bf16, bf16)
