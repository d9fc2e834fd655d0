// Dropout by counter: y = x / (1 - rate) where kept, else 0; its own gradient with dy for x.
//
// Element e of a sample, counted in (C, H, W) order whatever the layout, of sample s of the
// training clock is kept if word e % 4 of Philox(seed, stream DROPOUT + 256 * key, step e / 4,
// index s) is at least threshold = floor(rate * 2^32). No mask is stored.
//
// x, y        (samples, plane, C) T, plane = H * W; (N, F) is C = F with plane = 1. y may lie on x.
// clock       one DropoutClock in device memory.
// factor      1 / (1 - rate), computed in double.
// Launch      1-D, grid-stride, four elements e (one Philox block) per thread; neighbouring threads
//             take neighbouring channels where plane is a multiple of 4.
// Traffic     2 S per element.
// Twin        io.crescendo.autograd.Dropouts
#include "clock.cuh"

template <class T>
__device__ __forceinline__ void dropout(T* y, const T* x, const DropoutClock* __restrict__ clock,
                                        int samples, int channels, int plane, unsigned key,
                                        unsigned threshold, float factor) {
    const unsigned elements = (unsigned)channels * (unsigned)plane;
    const unsigned quads = (elements + 3) / 4;
    const long long count = (long long)samples * quads;
    for (long long i = thread_of_grid(); i < count; i += threads_of_grid()) {
        long long n = i / quads;
        unsigned place = (unsigned)(i % quads), quad = place;
        if (plane % 4 == 0)
            quad = place % channels * (unsigned)(plane / 4) + place / (unsigned)channels;
        Words words = philox(clock->seed, DROPOUT + (key << 8), quad, clock->firstSample + n);
#pragma unroll
        for (unsigned j = 0; j < 4; j++) {
            unsigned e = 4 * quad + j;
            if (e >= elements) break;
            long long at = (n * plane + e % plane) * channels + e / plane;
            y[at] = from_float<T>(words.at[j] >= threshold ? to_float(x[at]) * factor : 0.0f);
        }
    }
}

#define DROPOUT_KERNEL(NAME, T)                                                                    \
    KERNEL NAME(T* y, const T* x, const DropoutClock* clock, int samples, int channels, int plane, \
                unsigned key, unsigned threshold, float factor) {                                  \
        dropout<T>(y, x, clock, samples, channels, plane, key, threshold, factor);                 \
    }
DROPOUT_KERNEL(dropout_f32, float)
DROPOUT_KERNEL(dropout_bf16, bf16)
