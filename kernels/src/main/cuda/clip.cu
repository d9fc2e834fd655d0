// The first launch of an update: finds the norm of the whole gradient without asking the host:
// whether all of it is finite, and gradient clipping, whose factor goes into the scale that the
// kernels behind it read. With s = given.gradientScale (1 / batch):
//
//   norm <- |s * dw|^2
//   scalars <- given, but gradientScale <- s * min(1, given.clipNorm / |s * dw|)
//   notFinite <- 1 if norm is infinite or NaN
//
// Squares are float32: scaled gradients beyond 1e19 in size count as not finite, and those below
// 1e-23 as zero. No training that is of use comes near either.
//
// A pass of its own: an update that looked for itself would have changed other weights by the time
// it found the NaN among its last.
//
// dw          (count) float32, the SUM over the batch.
// given       one UpdateScalars in device memory; clipNorm infinite leaves the scale alone.
// scalars     another, written.
// norm        a double, or null.
// notFinite   an int in device memory, or null; else left alone.
// partials    (blocks) double, scratch.
// ticket      an unsigned, zero before and after.
// Launch      1-D, grid-stride, 4 elements per thread, twice; meant: 8 blocks per multiprocessor.
// Traffic     4 per element.
// Twin        io.crescendo.reference.ReferenceUpdate
#include "update.cuh"

KERNEL clip_gradient(const float* dw, long long count, const UpdateScalars* given,
                     UpdateScalars* scalars, double* norm, int* notFinite, double* partials,
                     unsigned* ticket) {
    __shared__ float shared[WARPS];
    const float scale = given->gradientScale;
    float square = 0.0f;
    const auto add = [&](const Floats<4>& gradients) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float g = scale * gradients.at[j];
            square += g * g;
        }
    };
    // Two packs on their way at once.
    const long long stride = threads_of_grid() * 4;
    long long i = thread_of_grid() * 4;
    for (; is_aligned<4>(dw) && i + stride + 4 <= count; i += 2 * stride) {
        const Fetched<float> here = fetch(dw + i), there = fetch(dw + i + stride);
        add(to_floats<4>(here));
        add(to_floats<4>(there));
    }
    for (; i < count; i += stride) add(load<4>(dw + i, valid_of<4>(i, count)));
    square = warp_sum(square);
    if (threadIdx.x % LANES == 0) shared[threadIdx.x / LANES] = square;
    __syncthreads();
    if (threadIdx.x == 0) {
        double sum = 0.0;
        for (int warp = 0; warp < WARPS; warp++) sum += shared[warp];
        partials[blockIdx.x] = sum;
    }
    if (!last_block(ticket, gridDim.x) || threadIdx.x >= LANES) return;
    const double total = sum_of_blocks(partials, (int)gridDim.x, 1);
    if (threadIdx.x != 0) return;
    if (norm != nullptr) *norm = total;
    // Infinity and NaN are the only numbers whose difference with themselves is not zero.
    if (notFinite != nullptr && !(total - total == 0.0)) *notFinite = 1;
    float length = (float)sqrt(total);
    UpdateScalars clipped = *given;
    if (length > clipped.clipNorm) clipped.gradientScale = scale * (clipped.clipNorm / length);
    *scalars = clipped;
}
