// Fused parameter update, one launch for all parameters of a model. With s = gradientScale
// (1 / batch), d = weightDecay where the element decays and 0 elsewhere, g = s * dw + d * w:
//
//   sgd        w <- w - lr * g
//   momentum   v <- m * v + g;  w <- w - lr * v
//   nesterov   v <- m * v + g;  w <- w - lr * (g + m * v)
//   adam       a <- b1 * a + (1 - b1) * g;  b <- b2 * b + (1 - b2) * g * g
//              w <- w - lr * (a / (1 - b1^t)) / (sqrt(b / (1 - b2^t)) + epsilon)
//   adamw      w <- w - lr * d * w, then adam with s * dw in place of g
//
// w, v, a, b  (count) float32, flat packs.
// dw          (count) float32, the SUM over the batch; left at zero for the next one if `clear`.
// shadow      (count) bf16 copy of the new w for the next forward pass, or null.
// scalars     one UpdateScalars in device memory.
// decayed     one bit per 16 elements (the alignment of a ParameterPack): bit i % 32 of word i / 32
//             for elements 16 i to 16 i + 15. Null if nothing decays. Gaps may carry either bit,
//             they are zero.
// skip        an int in device memory, or null. Not zero: a loss or a gradient was not finite, so
//             nothing but the clearing of dw happens. take_sums, clip_gradient and gradient_sum set it;
//             the host reads it later, and nobody waits.
// Launch      1-D, grid-stride, 4 elements per thread; meant: a thread for every 4 elements.
// Traffic     per element: sgd 12, momentum and nesterov 20, adam and adamw 28; + 4 with clear,
//             + 2 with shadow, + 1/128 with decayed.
// Twin        io.crescendo.reference.ReferenceUpdate
#include "update.cuh"

struct Sgd {
    static constexpr int STATES = 0;
    __device__ __forceinline__ void apply(const UpdateScalars& s, float decay, float dw, float& w,
                                          float&, float&) const {
        w -= s.learningRate * (s.gradientScale * dw + decay * w);
    }
};

struct Momentum {
    static constexpr int STATES = 1;
    __device__ __forceinline__ void apply(const UpdateScalars& s, float decay, float dw, float& w,
                                          float& v, float&) const {
        v = s.momentum * v + (s.gradientScale * dw + decay * w);
        w -= s.learningRate * v;
    }
};

struct Nesterov {
    static constexpr int STATES = 1;
    __device__ __forceinline__ void apply(const UpdateScalars& s, float decay, float dw, float& w,
                                          float& v, float&) const {
        float g = s.gradientScale * dw + decay * w;
        v = s.momentum * v + g;
        w -= s.learningRate * (g + s.momentum * v);
    }
};

struct Adam {
    static constexpr int STATES = 2;
    float beta2, oneMinusBeta2, epsilon;

    __device__ __forceinline__ void step(const UpdateScalars& s, float g, float& w, float& a,
                                         float& b) const {
        a = s.momentum * a + s.oneMinusMomentum * g;
        b = beta2 * b + oneMinusBeta2 * g * g;
        w -= s.learningRate * (a * s.firstCorrection) / (sqrtf(b * s.secondCorrection) + epsilon);
    }

    __device__ __forceinline__ void apply(const UpdateScalars& s, float decay, float dw, float& w,
                                          float& a, float& b) const {
        step(s, s.gradientScale * dw + decay * w, w, a, b);
    }
};

struct AdamW : Adam {
    __device__ __forceinline__ AdamW(float beta2, float oneMinusBeta2, float epsilon)
        : Adam{beta2, oneMinusBeta2, epsilon} {}

    __device__ __forceinline__ void apply(const UpdateScalars& s, float decay, float dw, float& w,
                                          float& a, float& b) const {
        w -= s.learningRate * decay * w;
        step(s, s.gradientScale * dw, w, a, b);
    }
};

template <class Rule>
__device__ __forceinline__ void update(Rule rule, float* __restrict__ w, float* __restrict__ first,
                                       float* __restrict__ second, float* __restrict__ dw,
                                       bf16* __restrict__ shadow, long long count,
                                       const UpdateScalars* __restrict__ scalars,
                                       const unsigned* __restrict__ decayed,
                                       const int* __restrict__ skip, int clear) {
    constexpr int N = 4;
    const UpdateScalars s = *scalars;
    const bool skipped = skip != nullptr && *skip != 0;
    for_packs<N>(count, [&](long long i, int valid) {
        if (!skipped) {
            Floats<N> weights = load<N>(w + i, valid), gradients = load<N>(dw + i, valid), a{}, b{};
            if (Rule::STATES > 0) a = load<N>(first + i, valid);
            if (Rule::STATES > 1) b = load<N>(second + i, valid);
            float decay = decays(decayed, i) ? s.weightDecay : 0.0f;
#pragma unroll
            for (int j = 0; j < N; j++)
                rule.apply(s, decay, gradients.at[j], weights.at[j], a.at[j], b.at[j]);
            store<N>(w + i, weights, valid);
            if (Rule::STATES > 0) store<N>(first + i, a, valid);
            if (Rule::STATES > 1) store<N>(second + i, b, valid);
            if (shadow != nullptr) store<N>(shadow + i, weights, valid);
        }
        if (clear) store<N>(dw + i, Floats<N>{}, valid);
    });
}

KERNEL update_sgd(float* w, float* dw, bf16* shadow, long long count, const UpdateScalars* scalars,
                  const unsigned* decayed, const int* skip, int clear) {
    update(Sgd{}, w, nullptr, nullptr, dw, shadow, count, scalars, decayed, skip, clear);
}

KERNEL update_momentum(float* w, float* v, float* dw, bf16* shadow, long long count,
                       const UpdateScalars* scalars, const unsigned* decayed, const int* skip,
                       int clear) {
    update(Momentum{}, w, v, nullptr, dw, shadow, count, scalars, decayed, skip, clear);
}

KERNEL update_nesterov(float* w, float* v, float* dw, bf16* shadow, long long count,
                       const UpdateScalars* scalars, const unsigned* decayed, const int* skip,
                       int clear) {
    update(Nesterov{}, w, v, nullptr, dw, shadow, count, scalars, decayed, skip, clear);
}

KERNEL update_adam(float* w, float* a, float* b, float* dw, bf16* shadow, long long count,
                   const UpdateScalars* scalars, const unsigned* decayed, const int* skip,
                   int clear, float beta2, float oneMinusBeta2, float epsilon) {
    update(Adam{beta2, oneMinusBeta2, epsilon}, w, a, b, dw, shadow, count, scalars, decayed, skip,
           clear);
}

KERNEL update_adamw(float* w, float* a, float* b, float* dw, bf16* shadow, long long count,
                    const UpdateScalars* scalars, const unsigned* decayed, const int* skip,
                    int clear, float beta2, float oneMinusBeta2, float epsilon) {
    update(AdamW(beta2, oneMinusBeta2, epsilon), w, a, b, dw, shadow, count, scalars, decayed, skip,
           clear);
}
