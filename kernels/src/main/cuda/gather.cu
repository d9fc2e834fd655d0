// Batch gather with augmentation from a data set that lies on the device: permutation, padded crop,
// flip, normalisation, conversion and NHWC in one pass; the same batches as the host's stream.
//
//   s = order[place.position + n]
//   u = words of Philox(place.clock.seed, stream AUGMENTATION, step place.epoch, index s)
//   down = high(u[1] * (2 * padding + 1)) - padding,  right = the same of u[2]
//   v = W - 1 - w where flip and the top bit of u[0] is set, else w
//   y[n,h,w,c] = table[c][pixels[s, c, mirror(h + down), mirror(v + right)]]
//
// mirror leaves lines of the image alone, mirror(-i) = i, mirror(L - 1 + i) = L - 1 - i.
//
// pixels      (samples, C, H, W) uint8.
// labels      (samples) int32.
// order       (samples) int32: the permutation of the epoch.
// table       (C, 256) float32: the normalised value of every level.
// place       one BatchPlace in device memory: the run's seed and where the batch's first sample is.
// y           (batch, H, W, C) T.
// outLabels   (batch) int32, or null.
// clock       one DropoutClock, or null: receives place.clock, which the program behind this launch
//             reads.
// Launch      1-D, grid-stride, one block per sample; meant: `batch` blocks. padding < H and W.
// Traffic     1 + S per element.
// Twin        io.crescendo.data.BatchStream
#include "step.cuh"

__device__ __forceinline__ int mirrored(int line, int lines) {
    if (line < 0) return -line;
    return line >= lines ? 2 * (lines - 1) - line : line;
}

template <class T>
__device__ __forceinline__ void gather(
    const unsigned char* __restrict__ pixels, const int* __restrict__ labels,
    const int* __restrict__ order, const float* __restrict__ table,
    const BatchPlace* __restrict__ place, T* __restrict__ y, int* __restrict__ outLabels,
    DropoutClock* clock, int batch, int channels, int height, int width, int padding, int flip) {
    if (clock != nullptr && thread_of_grid() == 0) *clock = place->clock;
    const int plane = height * width;
    for (int n = (int)blockIdx.x; n < batch; n += (int)gridDim.x) {
        const int sample = order[place->position + n];
        // Every thread draws for itself: ten rounds cost less than a barrier.
        const Words draw =
            philox(place->clock.seed, AUGMENTATION, (unsigned)place->epoch, sample);
        const unsigned places = 2u * (unsigned)padding + 1u;
        const int down = (int)__umulhi(draw.at[1], places) - padding;
        const int right = (int)__umulhi(draw.at[2], places) - padding;
        const bool flipped = flip && draw.at[0] >> 31 != 0;
        const unsigned char* image = pixels + (long long)sample * channels * plane;
        T* out = y + (long long)n * plane * channels;
        for (int pixel = (int)threadIdx.x; pixel < plane; pixel += THREADS) {
            int h = pixel / width, w = pixel % width;
            int from = mirrored(h + down, height) * width +
                       mirrored((flipped ? width - 1 - w : w) + right, width);
            for (int c = 0; c < channels; c++)
                out[pixel * channels + c] = from_float<T>(table[c * 256 + image[c * plane + from]]);
        }
        if (threadIdx.x == 0 && outLabels != nullptr) outLabels[n] = labels[sample];
    }
}

// Six blocks to a multiprocessor: left alone, ptxas aims at eight, and spills.
#define GATHER(NAME, T)                                                                        \
    KERNEL_OF(6) NAME(const unsigned char* pixels, const int* labels, const int* order,        \
                      const float* table, const BatchPlace* place, T* y, int* outLabels,       \
                      DropoutClock* clock, int batch, int channels, int height, int width,     \
                      int padding, int flip) {                                                 \
        gather<T>(pixels, labels, order, table, place, y, outLabels, clock, batch, channels,   \
                  height, width, padding, flip);                                               \
    }
GATHER(gather_f32, float)
GATHER(gather_bf16, bf16)
