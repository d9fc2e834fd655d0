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
//       dx = scale[c] / sqrt(variance + epsilon) * (dz - sum(dz) / M - n * sum(dz * n) / M) + residual
//       daddend = dz
//       dshift[c] += sum over the groups of sum(dz),  dscale[c] += the same of sum(dz * n)
//   ghost_norm_apply, ghost_norm_apply_add
//       y as above of one mean and variance for all samples: inference, by running averages
//
// Statistics are summed about the mean of each thread's first few numbers and merged about that of
// the first few means, so a mean that is large beside the deviation costs no digits.
//
// One launch each way. What has to be summed before its first element can be done is a "unit": a
// group's rows of a slab of 8 packs of channels. Units are dealt to the teams of the grid, one
// after the other; the blocks of a team share the rows of a unit. Each sums its own, they exchange
// what they found (teams.cuh), and each goes over its own rows once more. The first of its chunks of
// rows a block keeps in shared memory, into which it copies those of the next unit as soon as they
// are free; of the others it begins with the last, which the level 2 cache still has if the units
// under way at once fit into it. A team of one block waits for nobody. The last block of a team
// writes down what was found; of those that did, the last of a slab does what needs all groups:
// running averages, dscale and dshift, from the last group to the first.
//
// x, y, addend, dx, dy, residual, daddend
//             (samples, plane, C) T; y may lie on x or addend, dx on dy or residual. residual, daddend
//             null: none.
// scale, shift, dscale, dshift, runningMean, runningVariance
//             (C) float32. runningMean null: no update.
// mean, variance
//             (G, C) float32; (C) for apply.
// sums        (2, G, C) float32, scratch.
// mask        which outputs are positive, or null. A byte per pack of N = 16 / S channels: byte
//             (n * plane + pixel) * packs + p, packs = ceil(C / N), has channel p * N + j as bit j.
// partials    (teams, members + 2 * gangs, 2, 8 * N) float32, scratch; not touched if members = 1.
//             gangs = members up to 64, ceil(members / 16) beyond.
// tickets     (slabs + 32 * teams) unsigned, zero before and after; slabs as in common.cuh.
// kept        chunks that a block keeps: the launch gives it 16 KiB of shared memory for each.
// Launch      forward, backward: grid (teams, members), members <= 496 blocks to a team,
//             cooperative: no larger than what the device holds at once. Any such grid is right;
//             meant: the one that takes least time by the rule of Grids.teams.
//             apply: grid (splits, slabs), rows shared by `splits` blocks. It begins with the last
//             rows, which are in the level 2 cache.
//             ghostBatch * plane < 2^31, G * slabs < 2^31, ceil(G * slabs / teams) * (members + 1)
//             < 2^31.
// Traffic     per element: forward 3 S (x twice, y), + S with addend, + 1/N with mask; backward 5 S
//             (x and dy twice, dx), + S with residual, + S with daddend, + 2/N with mask. What was kept, or is still in
//             the level 2 cache, does not move again: floors 2 S and 3 S, the mask once. Through the
//             level 2 cache, per block, unit and channel: 8 bytes of partials written and 8 read for
//             each gang. apply 2 S, + S with addend.
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

// Writes down what was found for a unit, at the channels of its slab.
template <int CHANNELS, int N>
__device__ __forceinline__ void write_found(const float (&found)[2][CHANNELS], float* first,
                                            float* second, int channels, const Slab<N>& slab) {
    const int j = (int)threadIdx.x, c = slab.first * N + j;
    if (j >= slab.width * N || c >= channels) return;
    first[c] = found[0][j];
    second[c] = found[1][j];
}

// ---- Forward.

// Mean and sum of squared distances of `count` numbers, for the channels of one pack.
template <int N>
struct Moments {
    float count;
    float mean[N];
    float squares[N];
};

// Sums of the distances from a pivot, the mean of the first few numbers, and of their squares: it is
// so near that hardly a bit is lost, and no more than the number of numbers tells if those few were
// far from the others.
template <int N>
struct Distances {
    float count = 0.0f;
    float pivot[N]{};
    float sum[N]{};
    float squares[N]{};

    // Moves the pivot by one of `of` numbers that have none yet.
    __device__ __forceinline__ void expect(const Floats<N>& values, int of) {
#pragma unroll
        for (int j = 0; j < N; j++) pivot[j] += values.at[j] * (1.0f / (float)of);
    }

    __device__ __forceinline__ void add(const Floats<N>& values) {
        count += 1.0f;
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float distance = values.at[j] - pivot[j];
            sum[j] += distance;
            squares[j] += distance * distance;
        }
    }

    __device__ __forceinline__ Moments<N> moments() const {
        Moments<N> all{};
        if (count == 0.0f) return all;
        const float share = 1.0f / count;
        all.count = count;
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float distance = sum[j] * share, rest = squares[j] - sum[j] * distance;
            all.mean[j] = pivot[j] + distance;
            all.squares[j] = rest < 0.0f ? 0.0f : rest;
        }
        return all;
    }
};

// Begins to copy this block's chunk k of a unit to where it is kept.
template <class T, int N>
__device__ __forceinline__ void keep_values(const T* x, int channels, const Unit<N>& u, int k) {
    if (u.slab.moves_whole(x, channels)) {
        const unsigned row = u.rows.begin(k) + u.slab.row;
        const T* at = x + (u.rows.first + row) * channels + u.slab.channel;
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            if (row + i * u.slab.rows < u.rows.count)
                copy_ahead(kept_pack<T>(k, i), at + (long long)i * u.slab.rows * channels);
    }
    close_copies();
}

// The moments of a thread's rows, of which the first `held` chunks are on their way to where they
// are kept.
template <class T, int N>
__device__ __forceinline__ Moments<N> moments_of(const T* x, int channels, int held,
                                                 const Slab<N>& slab, const Rows& rows) {
    Distances<N> own;
    const bool whole = slab.moves_whole(x, channels);
    const long long step = (long long)slab.rows * channels;
    const int mine = rows.mine();
#pragma unroll 1
    for (int k = 0; k < mine; k++) {
        const unsigned row = rows.begin(k) + slab.row;
        const T* at = x + (rows.first + row) * channels + slab.channel;
        const auto exists = [&](int i) { return row + i * slab.rows < rows.count; };
        int existing = 0;
#pragma unroll
        for (int i = 0; i < AHEAD; i++) existing += exists(i) ? 1 : 0;
        if (k < held) wait_for_copies(held - 1 - k);
        if (whole) {
            Fetched<T> packs[AHEAD]{};
#pragma unroll
            for (int i = 0; i < AHEAD; i++)
                if (exists(i)) packs[i] = k < held ? *kept_pack<T>(k, i) : fetch(at + i * step);
            if (k == 0) {
#pragma unroll
                for (int i = 0; i < AHEAD; i++)
                    if (exists(i)) own.expect(to_floats<N>(packs[i]), existing);
            }
#pragma unroll
            for (int i = 0; i < AHEAD; i++)
                if (exists(i)) own.add(to_floats<N>(packs[i]));
        } else if (slab.active) {
#pragma unroll 1
            for (int i = 0; k == 0 && i < existing; i++)
                own.expect(load<N>(at + i * step, slab.valid), existing);
#pragma unroll 1
            for (int i = 0; i < existing; i++) own.add(load<N>(at + i * step, slab.valid));
        }
    }
    return own.moments();
}

// Normalises a block's rows by this thread's channels' scale, `factor`, shift, `offset`, mean and
// variance, squares * share. The first `held` chunks are kept; when one of them has been read, f(k)
// may put another in its place.
template <class T, bool ADDEND, int N, class F>
__device__ __forceinline__ void normalise(const T* x, const T* addend, Floats<N> factor,
                                          Floats<N> offset, const float* mean,
                                          const float* squares, float share, T* y,
                                          unsigned char* __restrict__ mask, int channels,
                                          float epsilon, int relu, int held, const Slab<N>& slab,
                                          const Rows& rows, F f) {
    constexpr int ROWS = ADDEND ? AHEAD / 2 : AHEAD;  // at once: as many loads either way
    const Floats<N> average = load<N>(mean, slab.valid);
    const Floats<N> distances = load<N>(squares, slab.valid);
#pragma unroll
    for (int j = 0; j < N; j++) factor.at[j] *= rsqrtf(distances.at[j] * share + epsilon);
    // With (x - mean) * factor + offset no digits are lost where the mean is large. A bf16 with a
    // digit of its own is no more than 2^8 deviations from 0, which float32 has to spare.
    if (sizeof(T) < sizeof(float)) {
#pragma unroll
        for (int j = 0; j < N; j++) offset.at[j] -= average.at[j] * factor.at[j];
    }
    const auto normalised = [&](Floats<N> values, const Floats<N>& added) {
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float x = values.at[j];
            values.at[j] =
                (sizeof(T) < sizeof(float) ? x : x - average.at[j]) * factor.at[j] + offset.at[j];
            if (ADDEND) values.at[j] += added.at[j];
        }
        return values;
    };
    const auto mark = [&](unsigned row, const Fetched<T>& pack) {
        if (mask != nullptr)
            mask[(rows.first + row) * slab.packs + slab.pack] = (unsigned char)positive(pack);
    };
    const bool whole = slab.moves_whole(x, channels) && slab.moves_whole(y, channels) &&
                       (!ADDEND || slab.moves_whole(addend, channels));
    const long long step = (long long)slab.rows * channels;
    const auto some = [&](unsigned row, int k, int first) {
        const long long at = (rows.first + row) * channels + slab.channel;
        const auto exists = [&](int i) { return row + i * slab.rows < rows.count; };
        if (whole) {
            Fetched<T> packs[ROWS]{}, others[ROWS]{};
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                if (!exists(i)) continue;
                packs[i] = k < held ? *kept_pack<T>(k, first + i) : fetch_last(x + at + i * step);
                if (ADDEND) others[i] = fetch_last(addend + at + i * step);
            }
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                if (!exists(i)) continue;
                Fetched<T> pack =
                    packed<T>(normalised(to_floats<N>(packs[i]), to_floats<N>(others[i])));
                if (relu) pack = rectified(pack);
                put(y + at + i * step, pack);
                mark(row + i * slab.rows, pack);
            }
        } else if (slab.active) {
#pragma unroll 1
            for (int i = 0; i < ROWS && exists(i); i++) {
                Floats<N> values = load<N>(x + at + i * step, slab.valid), added{};
                if (ADDEND) added = load<N>(addend + at + i * step, slab.valid);
                values = normalised(values, added);
#pragma unroll
                for (int j = 0; j < N; j++)
                    if (j >= slab.valid) values.at[j] = 0.0f;
                Fetched<T> pack = packed<T>(values);
                if (relu) pack = rectified(pack);
                store<N>(y + at + i * step, to_floats<N>(pack), slab.valid);
                mark(row + i * slab.rows, pack);
            }
        }
    };
    const int mine = rows.mine();
#pragma unroll 1
    for (int j = 0; j < mine; j++) {
        const int k = again(j, mine, held);
#pragma unroll 1
        for (int i = AHEAD - ROWS; i >= 0; i -= ROWS)
            some(rows.begin(k) + i * slab.rows + slab.row, k, i);
        if (k < held) f(k);
    }
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
// f(group, channel of the slab) gives mean and variance.
template <int N, class F>
__device__ __forceinline__ void update_running(Found (&parts)[THREADS], float* runningMean,
                                               float* runningVariance, int samples, int channels,
                                               int plane, int ghostBatch, float momentum,
                                               const Slab<N>& slab, F f) {
    const int groups = groups_of(samples, ghostBatch);
    const float unbias = unbiasing(ghostBatch * plane);
    const float lastUnbias = unbiasing((samples - (groups - 1) * ghostBatch) * plane);
    const Merger merger(slab.width * N, parts);
    const int c = slab.first * N + merger.channel;
    const bool exists = merger.active && c < channels;
    const float mean = exists ? runningMean[c] : 0.0f;
    const float variance = exists ? runningVariance[c] : 0.0f;
    const Found moved = merger.merge<0>(groups, [&](int i) {
        Found part = exists ? f(groups - 1 - i, merger.channel) : Found{};
        const float share = momentum * power(1.0f - momentum, i);
        part.first = share * (part.first - mean);
        part.second = share * (part.second * (i == 0 ? lastUnbias : unbias) - variance);
        return part;
    });
    if (!exists || merger.share != 0) return;
    runningMean[c] = mean + moved.first;
    runningVariance[c] = variance + moved.second;
}

template <class T, bool ADDEND>
__device__ __forceinline__ void ghost_norm_forward(
    const T* x, const T* addend, const float* __restrict__ scale, const float* __restrict__ shift,
    float* mean, float* variance, T* y, unsigned char* __restrict__ mask, float* runningMean,
    float* runningVariance, float* partials, unsigned* tickets, int samples, int channels,
    int plane, int ghostBatch, float epsilon, float momentum, int relu, int kept) {
    constexpr int N = Width<T>::OF_PACK;
    __shared__ float shared[THREADS * Team<N>::OF_THREAD], found[2][Team<N>::CHANNELS];
    __shared__ Found parts[THREADS];
    const int groups = groups_of(samples, ghostBatch), units = groups * slabs_of<N>(channels);
    const Team<N> team(partials, tickets);
    Floats<N> factor, offset;
    const auto unit_of = [&](int number) {
        return Unit<N>(number, AHEAD, samples, forgotten(channels), plane, ghostBatch);
    };
    const auto keep = [&](const Unit<N>& u, int k) { keep_values(x, channels, u, k); };
    const auto find = [&](const Unit<N>& u, int held, int turn) {
        const Moments<N> own = moments_of(x, channels, held, u.slab, u.rows);
        // On their way while the team exchanges what it found.
        factor = load<N>(scale + u.slab.channel, u.slab.valid);
        offset = load<N>(shift + u.slab.channel, u.slab.valid);
        team.template merge<true>(shared, parts, found, own.count, own.mean, own.squares, turn,
                                  channels, u.slab, u.rows);
    };
    const auto use = [&](const Unit<N>& u, int held, auto f) {
        const int own = u.slab.channel - u.slab.first * N;
        const float share = 1.0f / (float)u.rows.count;
        normalise<T, ADDEND>(x, addend, factor, offset, found[0] + own, found[1] + own, share, y,
                             mask, channels, epsilon, relu, held, u.slab, u.rows, f);
        if (!team.speaks()) return;
        // All have read what was found; from here on it is mean and variance.
        __syncthreads();
        if ((int)threadIdx.x < Team<N>::CHANNELS) found[1][threadIdx.x] *= share;
        __syncthreads();
        write_found(found, mean + u.statistic, variance + u.statistic, channels, u.slab);
        if (runningMean == nullptr) return;
        const bool alone = groups == 1;
        if (!alone && !last_block(tickets + u.slab.number, (unsigned)groups)) return;
        update_running(parts, runningMean, runningVariance, samples, channels, plane, ghostBatch,
                       momentum, u.slab, [&](int group, int j) {
                           const long long at =
                               (long long)group * channels + u.slab.first * N + j;
                           return alone ? Found{0.0f, found[0][j], found[1][j]}
                                        : Found{0.0f, read_written(mean + at),
                                                read_written(variance + at)};
                       });
    };
    team.finish(for_units(units, kept, unit_of, keep, find, use), channels);
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
    constexpr int N = Width<T>::OF_PACK;
    normalise<T, ADDEND>(x, addend, load<N>(scale + slab.channel, slab.valid),
                         load<N>(shift + slab.channel, slab.valid), mean + slab.channel,
                         variance + slab.channel, 1.0f, y, nullptr, channels, epsilon, relu, 0,
                         slab, rows, [](int) {});
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

// Begins to copy this block's chunk k of a unit to where it is kept: x and dy of a row side by side.
template <class T, int N>
__device__ __forceinline__ void keep_both(const T* x, const T* dy, int channels, const Unit<N>& u,
                                          int k) {
    if (u.slab.moves_whole(x, channels) && u.slab.moves_whole(dy, channels)) {
        const unsigned row = u.rows.begin(k) + u.slab.row;
        const long long first = (u.rows.first + row) * channels + u.slab.channel;
#pragma unroll
        for (int i = 0; i < BOTH_AHEAD; i++) {
            if (row + i * u.slab.rows >= u.rows.count) continue;
            const long long at = first + (long long)i * u.slab.rows * channels;
            copy_ahead(kept_pack<T>(k, 2 * i), x + at);
            copy_ahead(kept_pack<T>(k, 2 * i + 1), dy + at);
        }
    }
    close_copies();
}

// Calls f(where, x, dz, whether the packs move whole) for the rows of a thread: the first time, when
// the `held` chunks that are kept may still be on their way, or again and for the last time, when
// after each of these g(k) may put another in its place. `whole`: whether what f writes takes whole
// packs.
template <bool AGAIN, class T, int N, class F, class G>
__device__ __forceinline__ void for_rows(const T* x, const T* dy, const unsigned char* mask,
                                         int channels, bool whole, int held, const Slab<N>& slab,
                                         const Rows& rows, F f, G g) {
    const int mine = rows.mine();
    const auto number = [&](int j) { return AGAIN ? again(j, mine, held) : j; };
    // A chunk's bits are looked up while the one before is worked on.
    const auto look_up = [&](unsigned (&positive)[BOTH_AHEAD], int j) {
        if (mask == nullptr || j >= mine || !slab.active) return;
        const unsigned row = rows.begin(number(j)) + slab.row;
#pragma unroll
        for (int i = 0; i < BOTH_AHEAD; i++)
            if (row + i * slab.rows < rows.count)
                positive[i] = mask[(rows.first + row + i * slab.rows) * slab.packs + slab.pack];
    };
    const bool reads = slab.moves_whole(x, channels) && slab.moves_whole(dy, channels);
    whole = whole && reads;
    const long long step = (long long)slab.rows * channels;
    unsigned positive[BOTH_AHEAD], following[BOTH_AHEAD];
#pragma unroll
    for (int i = 0; i < BOTH_AHEAD; i++) positive[i] = following[i] = ~0u;
    look_up(positive, 0);
#pragma unroll 1
    for (int j = 0; j < mine; j++) {
        const int k = number(j);
        look_up(following, j + 1);
        if (!AGAIN && k < held) wait_for_copies(held - 1 - k);
        const unsigned row = rows.begin(k) + slab.row;
        const long long at = (rows.first + row) * channels + slab.channel;
        const auto exists = [&](int i) { return row + i * slab.rows < rows.count; };
        if (whole) {
            Fetched<T> values[BOTH_AHEAD]{}, gradients[BOTH_AHEAD]{};
#pragma unroll
            for (int i = 0; i < BOTH_AHEAD; i++) {
                if (!exists(i)) continue;
                const T *from = x + at + i * step, *other = dy + at + i * step;
                if (k < held) {
                    values[i] = *kept_pack<T>(k, 2 * i);
                    gradients[i] = *kept_pack<T>(k, 2 * i + 1);
                } else {
                    values[i] = AGAIN ? fetch_last(from) : fetch(from);
                    gradients[i] = AGAIN ? fetch_last(other) : fetch(other);
                }
            }
#pragma unroll
            for (int i = 0; i < BOTH_AHEAD; i++)
                if (exists(i))
                    f(at + i * step, to_floats<N>(values[i]),
                      masked(to_floats<N>(gradients[i]), positive[i]), true);
        } else if (slab.active) {
#pragma unroll
            for (int i = 0; i < BOTH_AHEAD; i++)
                if (exists(i))
                    f(at + i * step, load<N>(x + at + i * step, slab.valid),
                      masked(load<N>(dy + at + i * step, slab.valid), positive[i]), false);
        }
#pragma unroll
        for (int i = 0; i < BOTH_AHEAD; i++) positive[i] = following[i];
        if (AGAIN && k < held) g(k);
    }
}

// The gradients of a block's rows, by the sums over their group for this thread's channels.
template <class T, int N, class G>
__device__ __forceinline__ void write_gradients(
    const T* __restrict__ x, const T* dy, Floats<N> factor, const Floats<N>& average,
    const Floats<N>& inverse, const unsigned char* __restrict__ mask, const float* dzSums,
    const float* dotSums, const T* residual, T* dx, T* __restrict__ daddend, int channels,
    int held, const Slab<N>& slab, const Rows& rows, G g) {
    // dx = factor * dz + slope * (x - mean) + offset: the formula above, by what depends on x. Of a
    // bf16 the mean is taken off all at once.
    Floats<N> offset = load<N>(dzSums, slab.valid);
    Floats<N> slope = load<N>(dotSums, slab.valid);
    const float share = 1.0f / (float)rows.count;
#pragma unroll
    for (int j = 0; j < N; j++) {
        factor.at[j] *= inverse.at[j];
        offset.at[j] *= -share * factor.at[j];
        slope.at[j] *= -share * inverse.at[j] * factor.at[j];
        if (sizeof(T) < sizeof(float)) offset.at[j] -= slope.at[j] * average.at[j];
    }
    for_rows<true>(
        x, dy, mask, channels,
        slab.moves_whole(dx, channels) && slab.moves_whole(daddend, channels) &&
            slab.moves_whole(residual, channels),
        held, slab, rows,
        [&](long long at, const Floats<N>& values, const Floats<N>& dz, bool whole) {
            Floats<N> gradients{};
            if (residual != nullptr)
                gradients = whole ? to_floats<N>(fetch_last(residual + at))
                                  : load<N>(residual + at, slab.valid);
#pragma unroll
            for (int j = 0; j < N; j++)
                gradients.at[j] +=
                    factor.at[j] * dz.at[j] +
                    (slope.at[j] *
                         (sizeof(T) < sizeof(float) ? values.at[j] : values.at[j] - average.at[j]) +
                     offset.at[j]);
            if (whole) {
                if (daddend != nullptr) put(daddend + at, packed<T>(dz));
                put(dx + at, packed<T>(gradients));
            } else {
                if (daddend != nullptr) store<N>(daddend + at, dz, slab.valid);
                store<N>(dx + at, gradients, slab.valid);
            }
        },
        g);
}

// Two sums for each channel of a pack.
template <int N>
struct Sums {
    float first[N];
    float second[N];
};

// The sums of dz and of dz * n over a thread's rows.
template <class T, int N>
__device__ __forceinline__ Sums<N> sums_of(const T* __restrict__ x, const T* dy,
                                           const Floats<N>& average, const Floats<N>& inverse,
                                           const unsigned char* __restrict__ mask, int channels,
                                           int held, const Slab<N>& slab, const Rows& rows) {
    Sums<N> own{};
    for_rows<false>(
        x, dy, mask, channels, true, held, slab, rows,
        [&](long long, const Floats<N>& values, const Floats<N>& dz, bool) {
#pragma unroll
            for (int j = 0; j < N; j++) {
                own.first[j] += dz.at[j];
                own.second[j] +=
                    dz.at[j] *
                    (sizeof(T) < sizeof(float) ? values.at[j] : values.at[j] - average.at[j]);
            }
        },
        [](int) {});
#pragma unroll
    for (int j = 0; j < N; j++) {
        if (sizeof(T) < sizeof(float)) own.second[j] -= average.at[j] * own.first[j];
        own.second[j] *= inverse.at[j];
    }
    return own;
}

// What all groups add to the gradients of a slab's channels. f(group, channel of the slab) gives the
// sums of dz and of dz * n.
template <int N, class F>
__device__ __forceinline__ void add_channel_gradients(Found (&parts)[THREADS], float* dscale,
                                                      float* dshift, int groups, int channels,
                                                      const Slab<N>& slab, F f) {
    const Merger merger(slab.width * N, parts);
    const int c = slab.first * N + merger.channel;
    const bool exists = merger.active && c < channels;
    const Found all = merger.merge<0>(groups, [&](int i) {
        return exists ? f(groups - 1 - i, merger.channel) : Found{};
    });
    if (!exists || merger.share != 0) return;
    dshift[c] += all.first;
    dscale[c] += all.second;
}

template <class T>
__device__ __forceinline__ void ghost_norm_backward(
    const T* __restrict__ x, const T* dy, const float* __restrict__ scale,
    const float* __restrict__ mean, const float* __restrict__ variance,
    const unsigned char* __restrict__ mask, float* sums, const T* residual, T* dx,
    T* __restrict__ daddend, float* dscale, float* dshift, float* partials, unsigned* tickets,
    int samples, int channels, int plane, int ghostBatch, float epsilon, int kept) {
    constexpr int N = Width<T>::OF_PACK;
    __shared__ float shared[THREADS * Team<N>::OF_THREAD], found[2][Team<N>::CHANNELS];
    __shared__ Found parts[THREADS];
    const int groups = groups_of(samples, ghostBatch), units = groups * slabs_of<N>(channels);
    const Team<N> team(partials, tickets);
    Floats<N> average, inverse, factor;
    const auto unit_of = [&](int number) {
        return Unit<N>(number, BOTH_AHEAD, samples, forgotten(channels), plane, ghostBatch);
    };
    const auto keep = [&](const Unit<N>& u, int k) { keep_both(x, dy, channels, u, k); };
    const auto find = [&](const Unit<N>& u, int held, int turn) {
        const long long at = u.statistic + u.slab.channel;
        average = load<N>(mean + at, u.slab.valid);
        inverse = inverse_deviation<N>(variance + at, u.slab.valid, epsilon);
        const Sums<N> own =
            sums_of(x, dy, average, inverse, mask, channels, held, u.slab, u.rows);
        // On its way while the team exchanges what it found.
        factor = load<N>(scale + u.slab.channel, u.slab.valid);
        team.template merge<false>(shared, parts, found, 0.0f, own.first, own.second, turn,
                                   channels, u.slab, u.rows);
    };
    const auto use = [&](const Unit<N>& u, int held, auto f) {
        const int own = u.slab.channel - u.slab.first * N;
        write_gradients(x, dy, factor, average, inverse, mask, found[0] + own, found[1] + own,
                        residual, dx, daddend, channels, held, u.slab, u.rows, f);
        if (!team.speaks()) return;
        const bool alone = groups == 1;
        float* const dots = sums + (long long)groups * channels;
        if (!alone) {
            write_found(found, sums + u.statistic, dots + u.statistic, channels, u.slab);
            if (!last_block(tickets + u.slab.number, (unsigned)groups)) return;
        }
        add_channel_gradients(
            parts, dscale, dshift, groups, channels, u.slab, [&](int group, int j) {
                const long long at = (long long)group * channels + u.slab.first * N + j;
                return alone ? Found{0.0f, found[0][j], found[1][j]}
                             : Found{0.0f, read_written(sums + at), read_written(dots + at)};
            });
    };
    team.finish(for_units(units, kept, unit_of, keep, find, use), channels);
}

// Two blocks on a multiprocessor: more would leave fewer registers than there are without spills,
// and copies into shared memory keep its memory busy. Those that read one activation have room for
// three.
#define GHOST_NORM(DTYPE, T)                                                                       \
    KERNEL_OF(2) ghost_norm_forward_##DTYPE(                                                       \
        const T* x, const float* scale, const float* shift, float* mean, float* variance, T* y,    \
        unsigned char* mask, float* runningMean, float* runningVariance, float* partials,          \
        unsigned* tickets, int samples, int channels, int plane, int ghostBatch, float epsilon,    \
        float momentum, int relu, int kept) {                                                      \
        ghost_norm_forward<T, false>(x, nullptr, scale, shift, mean, variance, y, mask,            \
                                     runningMean, runningVariance, partials, tickets, samples,     \
                                     channels, plane, ghostBatch, epsilon, momentum, relu, kept);  \
    }                                                                                              \
    KERNEL_OF(2) ghost_norm_forward_add_##DTYPE(                                                   \
        const T* x, const T* addend, const float* scale, const float* shift, float* mean,          \
        float* variance, T* y, unsigned char* mask, float* runningMean, float* runningVariance,    \
        float* partials, unsigned* tickets, int samples, int channels, int plane, int ghostBatch,  \
        float epsilon, float momentum, int relu, int kept) {                                       \
        ghost_norm_forward<T, true>(x, addend, scale, shift, mean, variance, y, mask, runningMean, \
                                    runningVariance, partials, tickets, samples, channels, plane,  \
                                    ghostBatch, epsilon, momentum, relu, kept);                    \
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
    KERNEL_OF(2) ghost_norm_backward_##DTYPE(                                                      \
        const T* x, const T* dy, const float* scale, const float* mean, const float* variance,     \
        const unsigned char* mask, float* sums, const T* residual, T* dx, T* daddend,              \
        float* dscale, float* dshift, float* partials, unsigned* tickets, int samples,             \
        int channels, int plane, int ghostBatch, float epsilon, int kept) {                        \
        ghost_norm_backward<T>(x, dy, scale, mean, variance, mask, sums, residual, dx, daddend,    \
                               dscale, dshift, partials, tickets, samples, channels, plane,        \
                               ghostBatch, epsilon, kept);                                         \
    }
GHOST_NORM(f32, float)
GHOST_NORM(bf16, bf16)
