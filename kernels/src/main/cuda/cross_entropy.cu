// Softmax cross-entropy with label smoothing, summed over samples: loss, hits and gradient in one
// launch. With p = softmax(logits[n]), l = labels[n] and the target
// t[k] = smoothing / K + (1 - smoothing) * [k = l]:
//
//   loss += sum over n and k of -t[k] * log p[k]
//   hits += samples whose first largest logit is that of l
//   dlogits[n,k] = p[k] - t[k]
//
// A logit of minus infinity has p = 0, and without smoothing no part in the loss of another label.
//
// logits      (N, K) T.
// labels      (N) int32; one outside [0, K) makes the loss NaN.
// dlogits     (N, K) T, or null; may lie on logits.
// loss, hits  a double and a long long: added to, so micro-batches add up.
// partials    (blocks, 2) double, scratch.
// ticket      an unsigned, zero before and after.
// Launch      1-D, grid-stride, one warp per sample, meant: ceil(N / 8) blocks; from 2048 classes
//             on a block per sample, 16 bytes at a time, meant: N blocks.
// Traffic     2 S per logit where the caches serve readings of a row after the first, of which a
//             warp makes two and a block, whose sums are scaled anew when a larger logit comes
//             (Milakov and Gimelshein 2018, arXiv 1805.02867), one.
// Twin        io.crescendo.reference.CrossEntropy
#include "common.cuh"

// From so many classes on a row is worth a whole block.
constexpr int CLASSES_OF_BLOCK = 2048;
// Packs of it that a thread has on their way.
constexpr int ROW_PACKS = 4;

__device__ __forceinline__ float minus_infinity() { return __uint_as_float(0xff800000u); }

// p - t of a class. Of the label's, p - 1 keeps its digits where p is nearly 1.
__device__ __forceinline__ float gradient_of(float logProbability, bool isLabel, float even,
                                             float smoothing) {
    return isLabel ? expm1f(logProbability) + (smoothing - even) : expf(logProbability) - even;
}

// sum of t[k] * log p[k], with the average of log p. Where a logit is minus infinity, so is that.
__device__ __forceinline__ float mixed(float logProbability, float average, float smoothing) {
    return smoothing == 0.0f ? logProbability
                             : (1.0f - smoothing) * logProbability + smoothing * average;
}

// What is known of some logits of a row.
struct RowSums {
    float top;        // the largest
    int largest;      // its place, the first if there are several; their number if there is none
    float rest;       // sum of exp(logit - top) of all others: its own 1 would cost small ones digits
    float distances;  // sum of logit - the row's first logit

    // The logit at a place behind all before.
    __device__ __forceinline__ void see(float logit, int place, int classes) {
        if (logit > top || largest == classes) {
            top = logit;
            largest = place;
        }
    }

    // exp(logit - top), and 0 for minus infinity even where nothing larger was seen.
    __device__ __forceinline__ float exponential(float logit) const {
        return expf(logit - (top == minus_infinity() ? 0.0f : top));
    }

    __device__ __forceinline__ void add(const RowSums& other) {
        const bool others = other.top > top || (other.top == top && other.largest < largest);
        const float before = top;
        if (others) {
            top = other.top;
            largest = other.largest;
        }
        // Where there is none yet, exp is 0.
        if (others)
            rest = other.rest + (rest + 1.0f) * exponential(before);
        else
            rest += (other.rest + 1.0f) * exponential(other.top);
        distances += other.distances;
    }
};

// Adds valid logits, of which the first has the place k; the others of the N are left out.
template <int N>
__device__ __forceinline__ void add_logits(RowSums& sums, const Floats<N>& logits, int k, int valid,
                                           int classes, float first) {
    const float before = sums.top;
    const int place = sums.largest;
#pragma unroll
    for (int j = 0; j < N; j++)
        if (j < valid) sums.see(logits.at[j], k + j, classes);
    if (sums.largest != place) sums.rest = (sums.rest + 1.0f) * sums.exponential(before);
#pragma unroll
    for (int j = 0; j < N; j++) {
        if (j >= valid) continue;
        if (k + j != sums.largest) sums.rest += sums.exponential(logits.at[j]);
        sums.distances += logits.at[j] - first;
    }
}

// The sums of a row over its block, for all threads.
template <class T>
__device__ __forceinline__ RowSums row_sums(const T* row, int lead, int classes) {
    constexpr int N = Width<T>::OF_PACK;
    __shared__ RowSums shared[WARPS];
    const float first = to_float(row[0]);
    RowSums sums{minus_infinity(), classes, 0.0f, 0.0f};
    const int thread = (int)threadIdx.x;
    if (thread < lead)
        add_logits(sums, Floats<1>{{to_float(row[thread])}}, thread, 1, classes, first);
    int k = lead + thread * N;
    for (; k + (ROW_PACKS - 1) * THREADS * N + N <= classes; k += ROW_PACKS * THREADS * N) {
        Fetched<T> packs[ROW_PACKS];
#pragma unroll
        for (int i = 0; i < ROW_PACKS; i++) packs[i] = fetch(row + k + i * THREADS * N);
#pragma unroll
        for (int i = 0; i < ROW_PACKS; i++)
            add_logits(sums, to_floats<N>(packs[i]), k + i * THREADS * N, N, classes, first);
    }
    for (; k < classes; k += THREADS * N) {
        const int valid = classes - k < N ? classes - k : N;
        add_logits(sums, load<N>(row + k, valid), k, valid, classes, first);
    }
#pragma unroll
    for (int distance = LANES / 2; distance > 0; distance /= 2)
        sums.add({__shfl_down_sync(ALL_LANES, sums.top, distance),
                  __shfl_down_sync(ALL_LANES, sums.largest, distance),
                  __shfl_down_sync(ALL_LANES, sums.rest, distance),
                  __shfl_down_sync(ALL_LANES, sums.distances, distance)});
    __syncthreads();  // all have read what the row before left
    if (thread % LANES == 0) shared[thread / LANES] = sums;
    __syncthreads();
    sums = shared[0];
    for (int warp = 1; warp < WARPS; warp++) sums.add(shared[warp]);
    sums.distances += (float)classes * (first - sums.top);  // to distances from the largest
    return sums;
}

// Rows by blocks. Returns the loss of this block's rows to thread 0 and counts their hits.
template <class T>
__device__ __forceinline__ double long_rows(const T* logits, const int* __restrict__ labels,
                                            T* dlogits, int samples, int classes, float smoothing,
                                            int& hitSum) {
    constexpr int N = Width<T>::OF_PACK;
    double lossSum = 0.0;
    for (int n = (int)blockIdx.x; n < samples; n += (int)gridDim.x) {
        const T* row = logits + (long long)n * classes;
        const int label = labels[n];
        // Logits before the first aligned address; a row is longer than a pack.
        const int lead =
            (int)((16 - (unsigned long long)row % 16) % 16 / (unsigned long long)sizeof(T));
        const RowSums sums = row_sums(row, lead, classes);
        const float logSum = log1pf(sums.rest);
        const bool known = label >= 0 && label < classes;
        if (threadIdx.x == 0) {
            float logProbability =
                known ? to_float(row[label]) - sums.top - logSum : __uint_as_float(0x7fc00000u);
            float average = sums.distances / (float)classes - logSum;
            lossSum -= mixed(logProbability, average, smoothing);
            hitSum += sums.largest == label ? 1 : 0;
        }

        if (dlogits == nullptr) continue;
        // Thread 0 has read its label's logit before the gradient may overwrite it.
        __syncthreads();
        T* drow = dlogits + (long long)n * classes;
        const float even = smoothing / (float)classes;
        const auto gradient = [&](float logit, int k) {
            return gradient_of(logit - sums.top - logSum, k == label, even, smoothing);
        };
        if ((int)threadIdx.x < lead) {
            const int k = (int)threadIdx.x;
            drow[k] = from_float<T>(gradient(to_float(row[k]), k));
        }
        const auto gradients = [&](Floats<N> values, int k, int valid) {
#pragma unroll
            for (int j = 0; j < N; j++) values.at[j] = gradient(values.at[j], k + j);
            store<N>(drow + k, values, valid);
        };
        int k = lead + (int)threadIdx.x * N;
        for (; k + (ROW_PACKS - 1) * THREADS * N + N <= classes; k += ROW_PACKS * THREADS * N) {
            Fetched<T> packs[ROW_PACKS];
#pragma unroll
            for (int i = 0; i < ROW_PACKS; i++) packs[i] = fetch(row + k + i * THREADS * N);
#pragma unroll
            for (int i = 0; i < ROW_PACKS; i++)
                gradients(to_floats<N>(packs[i]), k + i * THREADS * N, N);
        }
        for (; k < classes; k += THREADS * N) {
            const int valid = classes - k < N ? classes - k : N;
            gradients(load<N>(row + k, valid), k, valid);
        }
    }
    return lossSum;
}

// Rows by warps. Returns the loss of this warp's rows to its first lane and counts their hits.
template <class T>
__device__ __forceinline__ double short_rows(const T* logits, const int* __restrict__ labels,
                                             T* dlogits, int samples, int classes, float smoothing,
                                             int& hitSum) {
    const int warp = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    double lossSum = 0.0;
    for (int n = (int)blockIdx.x * WARPS + warp; n < samples; n += (int)gridDim.x * WARPS) {
        const T* row = logits + (long long)n * classes;
        const int label = labels[n];
        float top = minus_infinity();
        int largest = classes;
        for (int k = lane; k < classes; k += LANES) {
            float logit = to_float(row[k]);
            if (logit > top || largest == classes) {
                top = logit;
                largest = k;
            }
        }
#pragma unroll
        for (int mask = LANES / 2; mask > 0; mask /= 2) {
            float otherTop = __shfl_xor_sync(ALL_LANES, top, mask);
            int other = __shfl_xor_sync(ALL_LANES, largest, mask);
            if (otherTop > top || (otherTop == top && other < largest)) {
                top = otherTop;
                largest = other;
            }
        }

        float rest = 0.0f, distances = 0.0f;
        for (int k = lane; k < classes; k += LANES) {
            float distance = to_float(row[k]) - top;
            if (k != largest) rest += expf(distance);
            distances += distance;
        }
        const float logSum = log1pf(warp_sum(rest));
        distances = warp_sum(distances);
        const bool known = label >= 0 && label < classes;
        if (lane == 0) {
            float logProbability =
                known ? to_float(row[label]) - top - logSum : __uint_as_float(0x7fc00000u);
            float average = distances / (float)classes - logSum;
            lossSum -= mixed(logProbability, average, smoothing);
            hitSum += largest == label ? 1 : 0;
        }

        if (dlogits == nullptr) continue;
        // Lane 0 has read its label's logit before the gradient may overwrite it.
        __syncwarp();
        const float even = smoothing / (float)classes;
        for (int k = lane; k < classes; k += LANES) {
            const float logProbability = to_float(row[k]) - top - logSum;
            dlogits[(long long)n * classes + k] =
                from_float<T>(gradient_of(logProbability, k == label, even, smoothing));
        }
    }
    return lossSum;
}

template <class T>
__device__ __forceinline__ void cross_entropy(const T* logits, const int* __restrict__ labels,
                                              T* dlogits, double* loss, long long* hits,
                                              double* partials, unsigned* ticket, int samples,
                                              int classes, float smoothing) {
    __shared__ double warpLoss[WARPS];
    __shared__ int warpHits[WARPS];
    const int warp = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    int hitSum = 0;
    const double lossSum =
        classes >= CLASSES_OF_BLOCK
            ? long_rows(logits, labels, dlogits, samples, classes, smoothing, hitSum)
            : short_rows(logits, labels, dlogits, samples, classes, smoothing, hitSum);

    if (lane == 0) {
        warpLoss[warp] = lossSum;
        warpHits[warp] = hitSum;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        double blockLoss = 0.0, blockHits = 0.0;  // hits as a double too: exact up to 2^53
        for (int w = 0; w < WARPS; w++) {
            blockLoss += warpLoss[w];
            blockHits += warpHits[w];
        }
        partials[2 * blockIdx.x] = blockLoss;
        partials[2 * blockIdx.x + 1] = blockHits;
    }
    if (!last_block(ticket, gridDim.x) || warp != 0) return;
    const double totalLoss = sum_of_blocks(partials, (int)gridDim.x, 2);
    const double totalHits = sum_of_blocks(partials + 1, (int)gridDim.x, 2);
    if (lane == 0) {
        *loss += totalLoss;
        *hits += (long long)totalHits;
    }
}

#define CROSS_ENTROPY(NAME, T)                                                                    \
    KERNEL NAME(const T* logits, const int* labels, T* dlogits, double* loss, long long* hits,    \
                double* partials, unsigned* ticket, int samples, int classes, float smoothing) {  \
        cross_entropy<T>(logits, labels, dlogits, loss, hits, partials, ticket, samples, classes, \
                         smoothing);                                                              \
    }
CROSS_ENTROPY(cross_entropy_f32, float)
CROSS_ENTROPY(cross_entropy_bf16, bf16)
