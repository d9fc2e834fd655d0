// The extents of a convolution, as its kernels take them.
#pragma once
#include "common.cuh"

struct Filter {
    int height, width, channels, filters, outHeight, outWidth;
    int kernelH, kernelW, strideH, strideW, padTop, padLeft, groups;

    __device__ __forceinline__ int channels_of_group() const { return channels / groups; }
    __device__ __forceinline__ int filters_of_group() const { return filters / groups; }

    // Pixel of x under tap (r, s) of window (p, q) of sample n, or -1 outside the image.
    __device__ __forceinline__ long long pixel(long long n, int p, int q, int r, int s) const {
        const int h = p * strideH + r - padTop, w = q * strideW + s - padLeft;
        return h < 0 || h >= height || w < 0 || w >= width ? -1 : (n * height + h) * width + w;
    }
};

#define FILTER_PARAMETERS                                                                       \
    int samples, int channels, int height, int width, int filters, int outHeight, int outWidth, \
        int kernelH, int kernelW, int strideH, int strideW, int padTop, int padLeft, int groups
#define FILTER                                                                                     \
    samples, Filter {                                                                              \
        height, width, channels, filters, outHeight, outWidth, kernelH, kernelW, strideH, strideW, \
            padTop, padLeft, groups                                                                \
    }
