// Ghost batch norm over all groups and channels, NHWC (Hoffer et al. 2017, arXiv 1705.08741).
//
// Samples form consecutive groups of ghostBatch; the last group has what is left. For group g and
// channel c, over its M = (samples of the group) * plane elements, plane = H * W:
//
//   ghost_norm_forward, ghost_norm_forward_add
//       mean[g,c] = sum(x) / M
//       variance[g,c] = sum((x - mean)^2) / M
//       y = relu?(scale[c] * (x - mean) / sqrt(variance + epsilon) + shift[c])
//       y = relu?(scale[c] * (x - mean) / sqrt(variance + epsilon) + shift[c] + addend)
//       group after group: running <- (1 - momentum) * running + momentum * s, where s = mean, or
//       s = variance * M / (M - 1) (for M = 1 the variance itself)
//   ghost_norm_backward
//       dz = dy where the mask is set, else 0 (all of dy without a mask)
//       n = (x - mean) / sqrt(variance + epsilon)
//       sums[0,g,c] = sum(dz)
//       sums[1,g,c] = sum(dz * n)
//       dx = scale[c] / sqrt(variance + epsilon) * (dz - sum(dz) / M - n * sum(dz * n) / M)
//       daddend = dz
//       dshift[c] += sum over the groups of sum(dz),  dscale[c] += the same of sum(dz * n)
//   ghost_norm_apply, ghost_norm_apply_add
//       y as above of one mean and variance for all samples: inference, by running averages
//
// Statistics are found by Welford's update in each thread and merged by Chan's formula, so a mean
// that is large beside the deviation costs no digits.
//
// One launch each way. What has to be summed before its first element can be done is a "unit": a
// group's rows of a slab of 8 packs of channels. Units are dealt to the teams of the grid, one
// after the other; the blocks of a team share the rows of a unit. Each sums its own, the one that
// finishes last merges what all have left and publishes the result, for which the others wait, and
// then each goes over its own rows once more, from the last to the first: the level 2 cache still
// has them if the units under way at once fit into it. A team of one block waits for nobody. Of the
// blocks that published, the last of a slab does what needs all groups: running averages, dscale
// and dshift, from the last group to the first.
//
// x, y, addend, dx, dy, daddend
//             (samples, plane, C) T; y may lie on x or addend, dx on dy. daddend null: none.
// scale, shift, dscale, dshift, runningMean, runningVariance
//             (C) float32. runningMean null: no update.
// mean, variance
//             (G, C) float32; (C) for apply.
// sums        (2, G, C) float32.
// mask        which outputs are positive, or null. A byte per pack of N = 16 / S channels: byte
//             (n * plane + pixel) * packs + p, packs = ceil(C / N), has channel p * N + j as bit j.
// partials    (teams, members, 2, 8 * N) float32 on a multiple of 16 bytes, scratch; not touched
//             if members = 1.
// tickets     (slabs + 32 * teams) unsigned, zero before and after, slabs = ceil(packs / 8).
// Launch      forward, backward: grid (teams, members), members blocks to a team, cooperative: no
//             larger than what the device holds at once. Any such grid is right; meant: the one
//             that takes least time by the rule of Grids.teams.
//             apply: grid (splits, slabs), rows shared by `splits` blocks. It begins with the last
//             rows, which are in the level 2 cache.
//             ghostBatch * plane < 2^31, G * slabs < 2^31, ceil(G * slabs / teams) * (members + 1)
//             < 2^31.
// Traffic     per element: forward 3 S (x twice, y), + S with addend, + 1/N with mask; backward 5 S
//             (x and dy twice, dx), + S with daddend, + 2/N with mask. What the level 2 cache still
//             holds of the first reading does not move again: floors 2 S and 3 S, the mask once.
//             Per block, unit and channel 16 bytes of partials. apply 2 S, + S with addend.
// Twin        io.crescendo.reference.BatchNorm
#include "teams.cuh"

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

// Adds up over the rows of the block; row 0 gets the sum.
template <class V, int N>
__device__ __forceinline__ void merge_rows(V (&shared)[THREADS], V& own, const Slab<N>& slab) {
    __syncthreads();  // what was there has been read
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

// Two sums for each channel of a pack.
template <int N>
struct Sums {
    float first[N];
    float second[N];
};

template <int N>
__device__ __forceinline__ void merge(Sums<N>& into, const Sums<N>& from) {
#pragma unroll
    for (int j = 0; j < N; j++) {
        into.first[j] += from.first[j];
        into.second[j] += from.second[j];
    }
}

// Calls f(a, b, whether it is the last group) with the channels of two (G, C) matrices that other
// blocks wrote, for this thread's share of the groups, the last one first, and adds up what the
// threads made of them: row 0.
template <class F>
__device__ __forceinline__ void sum_groups(Sums<QUAD> (&shared)[THREADS], Sums<QUAD>& own,
                                           const float* a, const float* b, int groups, int channels,
                                           const Slab<QUAD>& slab, F f) {
    if (slab.active) {
#pragma unroll 4
        for (int group = groups - 1 - slab.row; group >= 0; group -= slab.rows) {
            const long long at = (long long)group * channels + slab.channel;
            f(load_written(a + at, slab.valid), load_written(b + at, slab.valid),
              group == groups - 1);
        }
    }
    merge_rows(shared, own, slab);
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

// Writes mean and variance, from row 0.
template <int N>
__device__ __forceinline__ void write_moments(float* mean, float* variance, const Moments<N>& all,
                                              const Slab<N>& slab, const Rows& rows) {
    if (slab.row != 0) return;
    Floats<N> means, variances;
#pragma unroll
    for (int j = 0; j < N; j++) {
        means.at[j] = all.mean[j];
        variances.at[j] = all.squares[j] / (float)rows.count;
    }
    store<N>(mean + slab.channel, means, slab.valid);
    store<N>(variance + slab.channel, variances, slab.valid);
}

// The moments of a thread's rows.
template <class T, int N>
__device__ __forceinline__ Moments<N> moments_of(const T* x, int channels, const Slab<N>& slab,
                                                 const Rows& rows) {
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
    return own;
}

// Normalises a block's rows by the mean and the variance of their group.
template <class T, bool ADDEND, int N>
__device__ __forceinline__ void normalise(const T* x, const T* addend,
                                          const float* __restrict__ scale,
                                          const float* __restrict__ shift, const float* mean,
                                          const float* variance, T* y,
                                          unsigned char* __restrict__ mask, int channels,
                                          float epsilon, int relu, const Slab<N>& slab,
                                          const Rows& rows) {
    constexpr int ROWS = ADDEND ? AHEAD / 2 : AHEAD;  // at once: as many loads either way
    // y = x * factor + offset would lose digits where the mean is large: the mean is taken off
    // first.
    const Floats<N> average = load<N>(mean + slab.channel, slab.valid);
    const Floats<N> offset = load<N>(shift + slab.channel, slab.valid);
    const Floats<N> deviation =
        inverse_deviation<N>(variance + slab.channel, slab.valid, epsilon);
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
    const auto some = [&](unsigned row) {
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
    };
    rows.for_chunks(BACKWARDS, [&](unsigned begin) {
#pragma unroll 1
        for (int i = AHEAD - ROWS; i >= 0; i -= ROWS) some(begin + i * slab.rows + slab.row);
    });
}

// What makes the variance of M numbers that of what they are drawn from.
__device__ __forceinline__ float unbiasing(int count) {
    return count > 1 ? (float)count / ((float)count - 1.0f) : 1.0f;
}

// By squaring: what it is for is multiplied by what is about 1 only.
__device__ __forceinline__ float power(float base, int exponent) {
    float result = 1.0f;
    for (; exponent > 0; exponent /= 2, base *= base)
        if (exponent % 2 != 0) result *= base;
    return result;
}

// The running averages of a slab's channels after all groups. Group after group by
// a <- a + momentum (s - a) is a + sum over g of momentum (1 - momentum)^(G - 1 - g) (s[g] - a).
__device__ __forceinline__ void update_running(Sums<QUAD> (&shared)[THREADS], float* runningMean,
                                               float* runningVariance, const float* mean,
                                               const float* variance, int samples, int channels,
                                               int plane, int ghostBatch, float momentum,
                                               const Slab<QUAD>& slab) {
    const int groups = groups_of(samples, ghostBatch);
    const float unbias = unbiasing(ghostBatch * plane);
    const float lastUnbias = unbiasing((samples - (groups - 1) * ghostBatch) * plane);
    const float keep = power(1.0f - momentum, slab.rows);
    float share = momentum * power(1.0f - momentum, slab.row);
    Floats<QUAD> means = load<QUAD>(runningMean + slab.channel, slab.valid);
    Floats<QUAD> variances = load<QUAD>(runningVariance + slab.channel, slab.valid);
    Sums<QUAD> moved{};
    sum_groups(shared, moved, mean, variance, groups, channels, slab,
               [&](const Floats<QUAD>& ofGroup, const Floats<QUAD>& spread, bool last) {
#pragma unroll
                   for (int j = 0; j < QUAD; j++) {
                       const float unbiased = spread.at[j] * (last ? lastUnbias : unbias);
                       moved.first[j] += share * (ofGroup.at[j] - means.at[j]);
                       moved.second[j] += share * (unbiased - variances.at[j]);
                   }
                   share *= keep;
               });
    if (slab.row != 0) return;
#pragma unroll
    for (int j = 0; j < QUAD; j++) {
        means.at[j] += moved.first[j];
        variances.at[j] += moved.second[j];
    }
    store<QUAD>(runningMean + slab.channel, means, slab.valid);
    store<QUAD>(runningVariance + slab.channel, variances, slab.valid);
}

// Mean and variance of a unit, if this block is the one that finds them; true if so.
template <class T, int N, class SHARED>
__device__ __forceinline__ bool find_moments(SHARED& shared, const Team<N>& team, int unit,
                                             const T* x, float* mean, float* variance,
                                             int channels, const Slab<N>& slab,
                                             const Rows& rows) {
    Moments<N> own = moments_of(x, channels, slab, rows);
    merge_rows(shared.packs, own, slab);
    if (team.members == 1) {
        write_moments(mean, variance, own, slab, rows);
        return true;
    }
    team.leave(own.mean, own.squares, slab);
    if (!team.arrive(unit, channels)) return false;
    const Slab<QUAD> quads(channels, slab);
    Moments<QUAD> all{};
    team.for_members(quads, rows,
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
    merge_rows(shared.quads, all, quads);
    write_moments(mean, variance, all, quads, rows);
    return true;
}

template <class T, bool ADDEND>
__device__ __forceinline__ void ghost_norm_forward(
    const T* x, const T* addend, const float* __restrict__ scale, const float* __restrict__ shift,
    float* mean, float* variance, T* y, unsigned char* __restrict__ mask, float* runningMean,
    float* runningVariance, float* partials, unsigned* tickets, int samples, int channels,
    int plane, int ghostBatch, float epsilon, float momentum, int relu) {
    constexpr int N = Width<T>::OF_PACK;
    __shared__ union {
        Moments<N> packs[THREADS];
        Moments<QUAD> quads[THREADS];
        Sums<QUAD> sums[THREADS];
    } shared;
    const auto units = [&] {
        return groups_of(forgotten(samples), ghostBatch) * slabs_of<N>(channels);
    };
    const Team<N> team(partials, tickets);
#pragma unroll 1
    for (int unit = (int)blockIdx.x; unit < units(); unit += (int)gridDim.x) {
        bool publishes;
        {
            const Unit<N> u(unit, AHEAD, samples, channels, plane, ghostBatch);
            publishes = find_moments(shared, team, unit, x, mean + u.statistic,
                                     variance + u.statistic, channels, u.slab, u.rows);
        }
        team.exchange(publishes, unit, channels);
        if (publishes && runningMean != nullptr) {
            const int all = forgotten(channels), slabs = slabs_of<N>(all);
            const Slab<N> slab(all, forgotten(unit) % slabs, slabs, 0);
            if (last_block(tickets + slab.number, (unsigned)groups_of(samples, ghostBatch)))
                update_running(shared.sums, runningMean, runningVariance, mean, variance, samples,
                               all, plane, ghostBatch, momentum, Slab<QUAD>(all, slab));
        }

        const int all = forgotten(channels);
        const Unit<N> u(forgotten(unit), AHEAD, samples, all, plane, ghostBatch);
        normalise<T, ADDEND>(x, addend, scale, shift, mean + u.statistic,
                             variance + u.statistic, y, mask, all, epsilon, relu, u.slab,
                             u.rows);
    }
    team.finish(units(), channels);
}

// Inference: all samples are one group.
template <class T, bool ADDEND>
__device__ __forceinline__ void ghost_norm_apply(const T* x, const T* addend,
                                                 const float* __restrict__ scale,
                                                 const float* __restrict__ shift,
                                                 const float* __restrict__ mean,
                                                 const float* __restrict__ variance, T* y,
                                                 int samples, int channels, int plane,
                                                 float epsilon, int relu) {
    const Slab<Width<T>::OF_PACK> slab(channels, BACKWARDS);
    const Rows rows(slab, AHEAD, 0, samples, plane, samples, (int)gridDim.x);
    normalise<T, ADDEND>(x, addend, scale, shift, mean, variance, y, nullptr, channels, epsilon,
                         relu, slab, rows);
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

// Writes the sums of dz and, from those of dz * (x - mean), of dz * n; from row 0.
template <int N>
__device__ __forceinline__ void write_sums(float* dzSums, float* dotSums, const float* variance,
                                           const Sums<N>& all, float epsilon,
                                           const Slab<N>& slab) {
    if (slab.row != 0) return;
    const Floats<N> inverse =
        inverse_deviation<N>(variance + slab.channel, slab.valid, epsilon);
    Floats<N> dz, dots;
#pragma unroll
    for (int j = 0; j < N; j++) {
        dz.at[j] = all.first[j];
        dots.at[j] = all.second[j] * inverse.at[j];
    }
    store<N>(dzSums + slab.channel, dz, slab.valid);
    store<N>(dotSums + slab.channel, dots, slab.valid);
}

// The gradients of a block's rows, by the sums over their group.
template <class T, int N>
__device__ __forceinline__ void write_gradients(
    const T* __restrict__ x, const T* dy, const float* __restrict__ scale,
    const float* __restrict__ mean, const float* __restrict__ variance,
    const unsigned char* __restrict__ mask, const float* dzSums, const float* dotSums, T* dx,
    T* __restrict__ daddend, int channels, float epsilon, const Slab<N>& slab, const Rows& rows) {
    // dx = factor * dz + slope * (x - mean) + offset: the formula above, by what depends on x.
    const Floats<N> average = load<N>(mean + slab.channel, slab.valid);
    const Floats<N> inverse =
        inverse_deviation<N>(variance + slab.channel, slab.valid, epsilon);
    Floats<N> factor = load<N>(scale + slab.channel, slab.valid);
    Floats<N> offset = load<N>(dzSums + slab.channel, slab.valid);
    Floats<N> slope = load<N>(dotSums + slab.channel, slab.valid);
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
}

// The sums of a unit, if this block is the one that finds them; true if so.
template <class T, int N, class SHARED>
__device__ __forceinline__ bool find_sums(
    SHARED& shared, const Team<N>& team, int unit, const T* __restrict__ x, const T* dy,
    const float* __restrict__ mean, const float* __restrict__ variance,
    const unsigned char* __restrict__ mask, float* dzSums, float* dotSums, int channels,
    float epsilon, const Slab<N>& slab, const Rows& rows) {
    const Floats<N> average = load<N>(mean + slab.channel, slab.valid);
    Sums<N> own{};  // of dz, and of dz * (x - mean): all rows have one deviation
    for_rows<FORWARDS>(x, dy, mask, channels, true, slab, rows,
                       [&](long long, const Floats<N>& values, const Floats<N>& dz, bool) {
#pragma unroll
                           for (int j = 0; j < N; j++) {
                               own.first[j] += dz.at[j];
                               own.second[j] += dz.at[j] * (values.at[j] - average.at[j]);
                           }
                       });
    merge_rows(shared.packs, own, slab);
    if (team.members == 1) {
        write_sums(dzSums, dotSums, variance, own, epsilon, slab);
        return true;
    }
    team.leave(own.first, own.second, slab);
    if (!team.arrive(unit, channels)) return false;
    const Slab<QUAD> quads(channels, slab);
    Sums<QUAD> all{};
    team.for_members(quads, rows, [&](const Floats<QUAD>& dz, const Floats<QUAD>& dots, float) {
#pragma unroll
        for (int j = 0; j < QUAD; j++) {
            all.first[j] += dz.at[j];
            all.second[j] += dots.at[j];
        }
    });
    merge_rows(shared.quads, all, quads);
    write_sums(dzSums, dotSums, variance, all, epsilon, quads);
    return true;
}

// What all groups add to the gradients of a slab's channels.
__device__ __forceinline__ void add_channel_gradients(Sums<QUAD> (&shared)[THREADS], float* dscale,
                                                      float* dshift, const float* dzSums,
                                                      const float* dotSums, int groups,
                                                      int channels, const Slab<QUAD>& slab) {
    Sums<QUAD> all{};
    sum_groups(shared, all, dzSums, dotSums, groups, channels, slab,
               [&](const Floats<QUAD>& dz, const Floats<QUAD>& dots, bool) {
#pragma unroll
                   for (int j = 0; j < QUAD; j++) {
                       all.first[j] += dz.at[j];
                       all.second[j] += dots.at[j];
                   }
               });
    if (slab.row != 0) return;
    Floats<QUAD> shifts = load<QUAD>(dshift + slab.channel, slab.valid);
    Floats<QUAD> scales = load<QUAD>(dscale + slab.channel, slab.valid);
#pragma unroll
    for (int j = 0; j < QUAD; j++) {
        shifts.at[j] += all.first[j];
        scales.at[j] += all.second[j];
    }
    store<QUAD>(dshift + slab.channel, shifts, slab.valid);
    store<QUAD>(dscale + slab.channel, scales, slab.valid);
}

template <class T>
__device__ __forceinline__ void ghost_norm_backward(
    const T* __restrict__ x, const T* dy, const float* __restrict__ scale,
    const float* __restrict__ mean, const float* __restrict__ variance,
    const unsigned char* __restrict__ mask, float* sums, T* dx, T* __restrict__ daddend,
    float* dscale, float* dshift, float* partials, unsigned* tickets, int samples, int channels,
    int plane, int ghostBatch, float epsilon) {
    constexpr int N = Width<T>::OF_PACK;
    __shared__ union {
        Sums<N> packs[THREADS];
        Sums<QUAD> quads[THREADS];
    } shared;
    const auto groups = [&] { return groups_of(forgotten(samples), ghostBatch); };
    const auto units = [&] { return groups() * slabs_of<N>(channels); };
    const auto dots = [&] { return sums + (long long)groups() * channels; };
    const Team<N> team(partials, tickets);
#pragma unroll 1
    for (int unit = (int)blockIdx.x; unit < units(); unit += (int)gridDim.x) {
        bool publishes;
        {
            const Unit<N> u(unit, BOTH_AHEAD, samples, channels, plane, ghostBatch);
            publishes = find_sums(shared, team, unit, x, dy, mean + u.statistic,
                                  variance + u.statistic,
                                  mask, sums + u.statistic, dots() + u.statistic, channels, epsilon,
                                  u.slab, u.rows);
        }
        team.exchange(publishes, unit, channels);
        if (publishes) {
            const int all = forgotten(channels), slabs = slabs_of<N>(all);
            const Slab<N> slab(all, forgotten(unit) % slabs, slabs, 0);
            if (last_block(tickets + slab.number, (unsigned)groups()))
                add_channel_gradients(shared.quads, dscale, dshift, sums, dots(), groups(), all,
                                      Slab<QUAD>(all, slab));
        }

        const int all = forgotten(channels);
        const Unit<N> u(forgotten(unit), BOTH_AHEAD, samples, all, plane, ghostBatch);
        write_gradients(x, dy, scale, mean + u.statistic, variance + u.statistic, mask,
                        sums + u.statistic, dots() + u.statistic, dx, daddend, all, epsilon,
                        u.slab, u.rows);
    }
    team.finish(units(), channels);
}

// Three blocks on a multiprocessor keep its memory busy. Kernels that read two activations of bf16
// need more registers for that than there are without spills: BLOCKS_OF_TWO.
#define GHOST_NORM(DTYPE, T, BLOCKS_OF_TWO)                                                        \
    KERNEL_OF(3) ghost_norm_forward_##DTYPE(                                                       \
        const T* x, const float* scale, const float* shift, float* mean, float* variance, T* y,    \
        unsigned char* mask, float* runningMean, float* runningVariance, float* partials,          \
        unsigned* tickets, int samples, int channels, int plane, int ghostBatch, float epsilon,    \
        float momentum, int relu) {                                                                \
        ghost_norm_forward<T, false>(x, nullptr, scale, shift, mean, variance, y, mask,            \
                                     runningMean, runningVariance, partials, tickets, samples,     \
                                     channels, plane, ghostBatch, epsilon, momentum, relu);        \
    }                                                                                              \
    KERNEL_OF(BLOCKS_OF_TWO) ghost_norm_forward_add_##DTYPE(                                       \
        const T* x, const T* addend, const float* scale, const float* shift, float* mean,          \
        float* variance, T* y, unsigned char* mask, float* runningMean, float* runningVariance,    \
        float* partials, unsigned* tickets, int samples, int channels, int plane, int ghostBatch,  \
        float epsilon, float momentum, int relu) {                                                 \
        ghost_norm_forward<T, true>(x, addend, scale, shift, mean, variance, y, mask, runningMean, \
                                    runningVariance, partials, tickets, samples, channels, plane,  \
                                    ghostBatch, epsilon, momentum, relu);                          \
    }                                                                                              \
    KERNEL_OF(3) ghost_norm_apply_##DTYPE(                                                         \
        const T* x, const float* scale, const float* shift, const float* mean,                     \
        const float* variance, T* y, int samples, int channels, int plane, float epsilon,          \
        int relu) {                                                                                \
        ghost_norm_apply<T, false>(x, nullptr, scale, shift, mean, variance, y, samples, channels, \
                                   plane, epsilon, relu);                                          \
    }                                                                                              \
    KERNEL_OF(3) ghost_norm_apply_add_##DTYPE(                                                     \
        const T* x, const T* addend, const float* scale, const float* shift, const float* mean,    \
        const float* variance, T* y, int samples, int channels, int plane, float epsilon,          \
        int relu) {                                                                                \
        ghost_norm_apply<T, true>(x, addend, scale, shift, mean, variance, y, samples, channels,   \
                                  plane, epsilon, relu);                                           \
    }                                                                                              \
    KERNEL_OF(BLOCKS_OF_TWO) ghost_norm_backward_##DTYPE(                                          \
        const T* x, const T* dy, const float* scale, const float* mean, const float* variance,     \
        const unsigned char* mask, float* sums, T* dx, T* daddend, float* dscale, float* dshift,   \
        float* partials, unsigned* tickets, int samples, int channels, int plane, int ghostBatch,  \
        float epsilon) {                                                                           \
        ghost_norm_backward<T>(x, dy, scale, mean, variance, mask, sums, dx, daddend, dscale,      \
                               dshift, partials, tickets, samples, channels, plane, ghostBatch,    \
                               epsilon);                                                           \
    }
GHOST_NORM(f32, float, 3)
GHOST_NORM(bf16, bf16, 2)
