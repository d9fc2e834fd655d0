// Softmax cross-entropy with label smoothing, summed over samples: loss, hits and gradient in one
// launch. With p = softmax(logits[n]), l = labels[n] and the target
// t[k] = smoothing / K + (1 - smoothing) * [k = l]:
//
//   loss += sum over n and k of -t[k] * log p[k]
//   hits += samples whose first largest logit is that of l
//   dlogits[n,k] = p[k] - t[k]
//
// logits      (N, K) T.
// labels      (N) int32; one outside [0, K) makes the loss NaN.
// dlogits     (N, K) T, or null; may lie on logits.
// loss, hits  a double and a long long: added to, so micro-batches add up.
// partials    (blocks, 2) double, scratch.
// ticket      an unsigned, zero before and after.
// Launch      1-D, grid-stride, one warp per sample; meant: ceil(N / 8) blocks.
// Traffic     2 S per logit: readings of a row after the first are served by the caches.
// Twin        io.crescendo.reference.CrossEntropy
#include "common.cuh"

template <class T>
__device__ __forceinline__ void cross_entropy(const T* logits, const int* __restrict__ labels,
                                              T* dlogits, double* loss, long long* hits,
                                              double* partials, unsigned* ticket, int samples,
                                              int classes, float smoothing) {
    __shared__ double warpLoss[WARPS];
    __shared__ int warpHits[WARPS];
    const int warp = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    double lossSum = 0.0;
    int hitSum = 0;

    for (int n = (int)blockIdx.x * WARPS + warp; n < samples; n += (int)gridDim.x * WARPS) {
        const T* row = logits + (long long)n * classes;
        const int label = labels[n];
        float top = __uint_as_float(0xff800000u);  // minus infinity
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

        float exponentials = 0.0f, distances = 0.0f;
        for (int k = lane; k < classes; k += LANES) {
            float distance = to_float(row[k]) - top;
            exponentials += expf(distance);
            distances += distance;
        }
        const float logSum = logf(warp_sum(exponentials));
        distances = warp_sum(distances);
        const bool known = label >= 0 && label < classes;
        if (lane == 0) {
            float logProbability =
                known ? to_float(row[label]) - top - logSum : __uint_as_float(0x7fc00000u);
            float average = distances / (float)classes - logSum;
            lossSum -= (1.0f - smoothing) * logProbability + smoothing * average;
            hitSum += largest == label ? 1 : 0;
        }

        if (dlogits == nullptr) continue;
        // Lane 0 has read its label's logit before the gradient may overwrite it.
        __syncwarp();
        const float even = smoothing / (float)classes;
        for (int k = lane; k < classes; k += LANES) {
            float target = even + (k == label ? 1.0f - smoothing : 0.0f);
            float probability = expf(to_float(row[k]) - top - logSum);
            dlogits[(long long)n * classes + k] = from_float<T>(probability - target);
        }
    }

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
