// Dropout by counter: y = x / (1 - rate) where kept, else 0; its own gradient with dy for x.
//
// Element e of a sample, counted in (C, H, W) order whatever the layout, of sample s of the
// training clock is kept if word e % 4 of Philox(seed, stream DROPOUT + 256 * key, step e / 4,
// index s) is at least threshold = floor(rate * 2^32). No mask is stored.
//
// x, y        (samples, plane, C) T, plane = H * W; (N, F) is C = F with plane = 1. y may lie on x.
// clock       one DropoutClock in device memory.
// factor      1 / (1 - rate), computed in double.
// Launch      1-D, grid-stride. A Philox block is for four pixels of one channel where plane is a
//             multiple of 4: then a thread takes a pack of channels of four pixels. Where plane is
//             1 it is for four channels, which lie side by side: then a thread takes a pack of
//             them. Elsewhere it takes the four elements of one block, one by one. Meant: 8 blocks per
//             multiprocessor, or as many as have work.
// Traffic     2 S per element.
// Twin        io.crescendo.autograd.Dropouts
#include "clock.cuh"

// Places of this thread: `i` of a sample's `items` and the sample n. Divides once, then goes on by
// the stride's quotient and remainder: a 64-bit division takes longer than a block of Philox.
struct Walk {
    long long n;
    unsigned i;

    __device__ __forceinline__ Walk(unsigned items)
        : n(thread_of_grid() / items), i((unsigned)(thread_of_grid() % items)) {}

    __device__ __forceinline__ void go(unsigned items, unsigned samples, unsigned rest) {
        n += samples;
        i += rest;
        if (i >= items) {
            i -= items;
            n++;
        }
    }
};

// Calls f(sample, item) for this thread's share of samples * items. items < 2^31.
template <class F>
__device__ __forceinline__ void for_items(int samples, unsigned items, F f) {
    const unsigned stride = (unsigned)threads_of_grid();  // grids are far smaller than 2^32 threads
    const unsigned whole = stride / items, rest = stride % items;
    for (Walk at(items); at.n < samples; at.go(items, whole, rest)) f(at.n, at.i);
}

template <class T>
__device__ __forceinline__ void dropout(T* y, const T* x, const DropoutClock* __restrict__ clock,
                                        int samples, int channels, int plane, unsigned key,
                                        unsigned threshold, float factor) {
    constexpr int N = Width<T>::OF_PACK;
    const long long seed = clock->seed, firstSample = clock->firstSample;
    const unsigned elements = (unsigned)channels * (unsigned)plane;
    const unsigned packs = ((unsigned)channels + N - 1) / N;
    const auto words = [&](long long n, unsigned quad) {
        return philox(seed, DROPOUT + (key << 8), quad, firstSample + n);
    };
    const auto dropped = [&](unsigned word, float value) {
        return word >= threshold ? value * factor : 0.0f;
    };
    if (plane == 1) {
        for_items(samples, packs, [&](long long n, unsigned pack) {
            const int c = (int)pack * N, valid = channels - c < N ? channels - c : N;
            const long long at = n * channels + c;
            Floats<N> values = load<N>(x + at, valid);
#pragma unroll
            for (int first = 0; first < N; first += 4) {
                if (first >= valid) break;
                const Words kept = words(n, (unsigned)(c + first) / 4);
#pragma unroll
                for (int j = 0; j < 4; j++)
                    values.at[first + j] = dropped(kept.at[j], values.at[first + j]);
            }
            store<N>(y + at, values, valid);
        });
    } else if (plane % 4 == 0) {
        const unsigned quadsOfPlane = (unsigned)plane / 4;
        for_items(samples, packs * quadsOfPlane, [&](long long n, unsigned item) {
            const unsigned quad = item / packs;
            const int c = (int)(item % packs) * N, valid = channels - c < N ? channels - c : N;
            const long long at = (n * plane + 4LL * quad) * channels + c;
            Floats<N> values[4];
#pragma unroll
            for (int p = 0; p < 4; p++)
                values[p] = load<N>(x + at + (long long)p * channels, valid);
#pragma unroll
            for (int j = 0; j < N; j++) {
                const Words kept = words(n, (unsigned)(c + j) * quadsOfPlane + quad);
#pragma unroll
                for (int p = 0; p < 4; p++) values[p].at[j] = dropped(kept.at[p], values[p].at[j]);
            }
#pragma unroll
            for (int p = 0; p < 4; p++)
                store<N>(y + at + (long long)p * channels, values[p], valid);
        });
    } else {
        for_items(samples, (elements + 3) / 4, [&](long long n, unsigned quad) {
            const Words kept = words(n, quad);
#pragma unroll
            for (unsigned j = 0; j < 4; j++) {
                const unsigned e = 4 * quad + j;
                if (e >= elements) break;
                const unsigned c = e / (unsigned)plane, p = e - c * (unsigned)plane;
                const long long at = (n * plane + p) * channels + c;
                y[at] = from_float<T>(dropped(kept.at[j], to_float(x[at])));
            }
        });
    }
}

#define DROPOUT_KERNEL(NAME, T)                                                                    \
    KERNEL NAME(T* y, const T* x, const DropoutClock* clock, int samples, int channels, int plane, \
                unsigned key, unsigned threshold, float factor) {                                  \
        dropout<T>(y, x, clock, samples, channels, plane, key, threshold, factor);                 \
    }
DROPOUT_KERNEL(dropout_f32, float)
DROPOUT_KERNEL(dropout_bf16, bf16)
