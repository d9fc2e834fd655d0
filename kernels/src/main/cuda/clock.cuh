// Where training stands when a program runs, in device memory: written with the images, read by
// dropout.
#pragma once
#include "common.cuh"

struct DropoutClock {
    long long seed;
    long long firstSample;
};
