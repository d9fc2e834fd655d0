// Operations that treat every element alone.
//
//   relu           y = max(x, 0)
//   relu_gradient  dx = dy where the forward output y was positive, else 0
//   add            y = relu?(left + right)
//   scale          y = factor * x
//   fill           y = value
//   cast           y = x in the other type; float32 rounds to the nearest bf16, ties to even
//
// x, y, ...   (count) T each; an output may lie on an input, but not with cast.
// Launch      1-D, grid-stride, 16 bytes of T per thread; meant: a thread for every 16 bytes.
// Traffic     per element: relu and scale 2 S, relu_gradient and add 3 S, fill S, cast 6.
// Twin        io.crescendo.reference.Elementwise
#include "common.cuh"

template <class T, class F>
__device__ __forceinline__ void map(T* y, const T* x, long long count, F f) {
    constexpr int N = Width<T>::OF_PACK;
    for_packs<N>(count, [&](long long i, int valid) {
        Floats<N> values = load<N>(x + i, valid);
#pragma unroll
        for (int j = 0; j < N; j++) values.at[j] = f(values.at[j]);
        store<N>(y + i, values, valid);
    });
}

template <class T, class F>
__device__ __forceinline__ void map(T* y, const T* left, const T* right, long long count, F f) {
    constexpr int N = Width<T>::OF_PACK;
    for_packs<N>(count, [&](long long i, int valid) {
        Floats<N> a = load<N>(left + i, valid), b = load<N>(right + i, valid);
#pragma unroll
        for (int j = 0; j < N; j++) a.at[j] = f(a.at[j], b.at[j]);
        store<N>(y + i, a, valid);
    });
}

// 8 elements, 16 bytes of bf16, per thread.
template <class To, class From>
__device__ __forceinline__ void cast(To* __restrict__ y, const From* __restrict__ x,
                                     long long count) {
    for_packs<8>(count,
                 [&](long long i, int valid) { store<8>(y + i, load<8>(x + i, valid), valid); });
}

template <class T>
__device__ __forceinline__ void fill(T* y, float value, long long count) {
    constexpr int N = Width<T>::OF_PACK;
    Floats<N> values;
#pragma unroll
    for (int j = 0; j < N; j++) values.at[j] = value;
    for_packs<N>(count, [&](long long i, int valid) { store<N>(y + i, values, valid); });
}

#define POINTWISE(DTYPE, T)                                                              \
    KERNEL relu_##DTYPE(T* y, const T* x, long long count) {                             \
        map(y, x, count, [](float v) { return rectified(v); });                          \
    }                                                                                    \
    KERNEL relu_gradient_##DTYPE(T* dx, const T* y, const T* dy, long long count) {      \
        map(dx, y, dy, count,                                                            \
            [](float out, float gradient) { return out > 0.0f ? gradient : 0.0f; });     \
    }                                                                                    \
    KERNEL add_##DTYPE(T* y, const T* left, const T* right, long long count, int relu) { \
        map(y, left, right, count,                                                       \
            [relu](float a, float b) { return relu ? rectified(a + b) : a + b; });       \
    }                                                                                    \
    KERNEL scale_##DTYPE(T* y, const T* x, long long count, float factor) {              \
        map(y, x, count, [factor](float v) { return factor * v; });                      \
    }                                                                                    \
    KERNEL fill_##DTYPE(T* y, long long count, float value) { fill(y, value, count); }
POINTWISE(f32, float)
POINTWISE(bf16, bf16)

KERNEL cast_f32_to_bf16(bf16* y, const float* x, long long count) { cast(y, x, count); }
KERNEL cast_bf16_to_f32(float* y, const bf16* x, long long count) { cast(y, x, count); }
