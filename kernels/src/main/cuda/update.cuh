// What the kernels of a parameter update share.
#pragma once
#include "common.cuh"

struct UpdateScalars {
    float learningRate;
    float momentum;  // m, or b1
    float gradientScale;
    float weightDecay;
    float oneMinusMomentum;  // computed in double: 1 - 0.999f is wrong in the fifth digit
    float firstCorrection;   // 1 / (1 - b1^t), computed once per update and in double
    float secondCorrection;  // 1 / (1 - b2^t)
    float clipNorm;          // see clip.cu; the update itself does not look at it
};

// Whether the element decays: one bit per 16 elements (the alignment of a ParameterPack), bit i %
// 32 of word i / 32 for elements 16 i to 16 i + 15. Null if nothing decays.
__device__ __forceinline__ bool decays(const unsigned* __restrict__ decayed, long long element) {
    return decayed != nullptr && (decayed[element / 512] >> (element / 16 % 32) & 1u) != 0;
}
