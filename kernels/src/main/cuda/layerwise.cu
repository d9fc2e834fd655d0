// Parameter updates whose rate follows the norms of each tensor, two launches for all of a model:
// the first finds the norms, the second makes the step. With s = gradientScale (1 / batch), d =
// weightDecay where the tensor decays and 0 elsewhere, |.| the Euclidean norm of one tensor:
//
//   lars_norms    r = trust * |w| / (s * |dw| + d * |w|)
//   update_lars   v <- m * v + r * (s * dw + d * w);  w <- w - lr * v
//   lamb_norms    g = s * dw;  a <- b1 * a + (1 - b1) * g;  b <- b2 * b + (1 - b2) * g * g
//                 u = (a / (1 - b1^t)) / (sqrt(b / (1 - b2^t)) + epsilon) + d * w;  r = |w| / |u|
//   update_lamb   w <- w - lr * r * u, u from a and b once more
//
// r = 1 for tensors that do not decay, and where a norm that is divided or divided by is zero.
//
// w, v, a, b, dw, shadow, scalars, decayed, skip
//             as in update.cu. dw is left at zero by update_lars and by lamb_norms if `clear`.
// pieces      (pieceCount) Piece in device memory: every tensor cut up, in order; meant: 4096
//             elements each. A piece starts at a multiple of 16. Gaps belong to no piece.
// firstPiece  (tensors + 1) int32: tensor t has the pieces firstPiece[t] to firstPiece[t + 1] - 1.
// partials    (pieceCount, 2) double, scratch.
// localRates  (tensors) float32: r, from the first launch to the second.
// ticket      an unsigned, zero before and after.
// Launch      1-D, a block per piece, grid-stride over pieces; meant: a block for every piece.
// Traffic     per element: lars 8 + 20, lamb 24 + 16; + 4 with clear, + 2 with shadow.
// Twin        io.crescendo.reference.ReferenceUpdate
#include "update.cuh"

struct Piece {
    long long first;
    int count;
    int tensor;
};

// The sums of one piece over its block, in double from the warps on; for thread 0.
struct PieceSums {
    double weights;
    double others;
};

__device__ __forceinline__ PieceSums piece_sums(float weights, float others) {
    __shared__ float shared[WARPS][2];
    weights = warp_sum(weights);
    others = warp_sum(others);
    __syncthreads();  // thread 0 has read the sums of the piece before
    if (threadIdx.x % LANES == 0) {
        shared[threadIdx.x / LANES][0] = weights;
        shared[threadIdx.x / LANES][1] = others;
    }
    __syncthreads();
    PieceSums sums{};
    for (int warp = 0; warp < WARPS && threadIdx.x == 0; warp++) {
        sums.weights += shared[warp][0];
        sums.others += shared[warp][1];
    }
    return sums;
}

// Calls f(index of the pack's first element, elements of it) for the packs of 4 of a piece.
template <class F>
__device__ __forceinline__ void for_packs_of(const Piece& piece, F f) {
    for (int i = (int)threadIdx.x * 4; i < piece.count; i += THREADS * 4)
        f(piece.first + i, valid_of<4>(i, piece.count));
}

// The last block turns the sums of pieces into local rates: f(|w|, |other|) where the tensor
// decays, else 1.
template <class F>
__device__ __forceinline__ void local_rates(const Piece* pieces, const int* firstPiece, int tensors,
                                            const unsigned* decayed, const double* partials,
                                            float* localRates, unsigned* ticket, F f) {
    if (!last_block(ticket, gridDim.x)) return;
    const volatile double* written = partials;
    const int lane = threadIdx.x % LANES;
    for (int tensor = threadIdx.x / LANES; tensor < tensors; tensor += WARPS) {
        double weights = 0.0, others = 0.0;
        for (int p = firstPiece[tensor] + lane; p < firstPiece[tensor + 1]; p += LANES) {
            weights += written[2 * (long long)p];
            others += written[2 * (long long)p + 1];
        }
        weights = warp_sum(weights);
        others = warp_sum(others);
        if (lane == 0)
            localRates[tensor] = decays(decayed, pieces[firstPiece[tensor]].first)
                                     ? f(sqrtf((float)weights), sqrtf((float)others))
                                     : 1.0f;
    }
}

KERNEL lars_norms(const float* w, const float* dw, const Piece* pieces, int pieceCount,
                  const int* firstPiece, int tensors, const UpdateScalars* scalars,
                  const unsigned* decayed, double* partials, float* localRates, unsigned* ticket,
                  float trust) {
    for (int p = (int)blockIdx.x; p < pieceCount; p += (int)gridDim.x) {
        float weightSquares = 0.0f, gradientSquares = 0.0f;
        for_packs_of(pieces[p], [&](long long i, int valid) {
            Floats<4> weights = load<4>(w + i, valid), gradients = load<4>(dw + i, valid);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float g = scalars->gradientScale * gradients.at[j];
                weightSquares += weights.at[j] * weights.at[j];
                gradientSquares += g * g;
            }
        });
        PieceSums sums = piece_sums(weightSquares, gradientSquares);
        if (threadIdx.x == 0) {
            partials[2 * (long long)p] = sums.weights;
            partials[2 * (long long)p + 1] = sums.others;
        }
    }
    local_rates(pieces, firstPiece, tensors, decayed, partials, localRates, ticket,
                [&](float weightNorm, float gradientNorm) {
                    float pull = gradientNorm + scalars->weightDecay * weightNorm;
                    return weightNorm > 0.0f && pull > 0.0f ? trust * weightNorm / pull : 1.0f;
                });
}

KERNEL update_lars(float* __restrict__ w, float* __restrict__ v, float* __restrict__ dw,
                   bf16* __restrict__ shadow, const Piece* __restrict__ pieces, int pieceCount,
                   const float* __restrict__ localRates, const UpdateScalars* __restrict__ scalars,
                   const unsigned* __restrict__ decayed, const int* __restrict__ skip, int clear) {
    const UpdateScalars s = *scalars;
    const bool skipped = skip != nullptr && *skip != 0;
    for (int p = (int)blockIdx.x; p < pieceCount; p += (int)gridDim.x) {
        const Piece piece = pieces[p];
        const float localRate = localRates[piece.tensor];
        const float decay = decays(decayed, piece.first) ? s.weightDecay : 0.0f;
        for_packs_of(piece, [&](long long i, int valid) {
            if (!skipped) {
                Floats<4> weights = load<4>(w + i, valid), gradients = load<4>(dw + i, valid);
                Floats<4> velocities = load<4>(v + i, valid);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    float g = s.gradientScale * gradients.at[j] + decay * weights.at[j];
                    velocities.at[j] = s.momentum * velocities.at[j] + localRate * g;
                    weights.at[j] -= s.learningRate * velocities.at[j];
                }
                store<4>(w + i, weights, valid);
                store<4>(v + i, velocities, valid);
                if (shadow != nullptr) store<4>(shadow + i, weights, valid);
            }
            if (clear) store<4>(dw + i, Floats<4>{}, valid);
        });
    }
}

// u of one element.
__device__ __forceinline__ float lamb_direction(const UpdateScalars& s, float decay, float epsilon,
                                                float w, float a, float b) {
    return a * s.firstCorrection / (sqrtf(b * s.secondCorrection) + epsilon) + decay * w;
}

KERNEL lamb_norms(const float* w, float* __restrict__ a, float* __restrict__ b,
                  float* __restrict__ dw, const Piece* pieces, int pieceCount,
                  const int* firstPiece, int tensors, const UpdateScalars* scalars,
                  const unsigned* decayed, const int* skip, int clear, double* partials,
                  float* localRates, unsigned* ticket, float beta2, float oneMinusBeta2,
                  float epsilon) {
    const UpdateScalars s = *scalars;
    const bool skipped = skip != nullptr && *skip != 0;
    for (int p = (int)blockIdx.x; p < pieceCount; p += (int)gridDim.x) {
        const Piece piece = pieces[p];
        const float decay = decays(decayed, piece.first) ? s.weightDecay : 0.0f;
        float weightSquares = 0.0f, directionSquares = 0.0f;
        for_packs_of(piece, [&](long long i, int valid) {
            if (!skipped) {
                Floats<4> weights = load<4>(w + i, valid), gradients = load<4>(dw + i, valid);
                Floats<4> first = load<4>(a + i, valid), second = load<4>(b + i, valid);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    float g = s.gradientScale * gradients.at[j];
                    first.at[j] = s.momentum * first.at[j] + s.oneMinusMomentum * g;
                    second.at[j] = beta2 * second.at[j] + oneMinusBeta2 * g * g;
                    float u =
                        lamb_direction(s, decay, epsilon, weights.at[j], first.at[j], second.at[j]);
                    weightSquares += weights.at[j] * weights.at[j];
                    // Behind the end all is zero, and without an epsilon 0 / 0.
                    if (j < valid) directionSquares += u * u;
                }
                store<4>(a + i, first, valid);
                store<4>(b + i, second, valid);
            }
            if (clear) store<4>(dw + i, Floats<4>{}, valid);
        });
        PieceSums sums = piece_sums(weightSquares, directionSquares);
        if (threadIdx.x == 0) {
            partials[2 * (long long)p] = sums.weights;
            partials[2 * (long long)p + 1] = sums.others;
        }
    }
    local_rates(pieces, firstPiece, tensors, decayed, partials, localRates, ticket,
                [&](float weightNorm, float directionNorm) {
                    return weightNorm > 0.0f && directionNorm > 0.0f ? weightNorm / directionNorm
                                                                     : 1.0f;
                });
}

KERNEL update_lamb(float* __restrict__ w, const float* __restrict__ a, const float* __restrict__ b,
                   bf16* __restrict__ shadow, const Piece* __restrict__ pieces, int pieceCount,
                   const float* __restrict__ localRates, const UpdateScalars* __restrict__ scalars,
                   const unsigned* __restrict__ decayed, const int* __restrict__ skip,
                   float epsilon) {
    if (skip != nullptr && *skip != 0) return;
    const UpdateScalars s = *scalars;
    for (int p = (int)blockIdx.x; p < pieceCount; p += (int)gridDim.x) {
        const Piece piece = pieces[p];
        const float rate = s.learningRate * localRates[piece.tensor];
        const float decay = decays(decayed, piece.first) ? s.weightDecay : 0.0f;
        for_packs_of(piece, [&](long long i, int valid) {
            Floats<4> weights = load<4>(w + i, valid);
            Floats<4> first = load<4>(a + i, valid), second = load<4>(b + i, valid);
#pragma unroll
            for (int j = 0; j < 4; j++)
                weights.at[j] -= rate * lamb_direction(s, decay, epsilon, weights.at[j],
                                                       first.at[j], second.at[j]);
            store<4>(w + i, weights, valid);
            if (shadow != nullptr) store<4>(shadow + i, weights, valid);
        });
    }
}
