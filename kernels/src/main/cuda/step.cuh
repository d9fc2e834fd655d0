// What changes from one replay of a recorded step to the next, as the host hands it over and as
// kernels read it: begin_step brings it to where they look.
#pragma once
#include "clock.cuh"
#include "update.cuh"

// Which samples of a data set on the device make up the batch.
struct BatchPlace {
    DropoutClock clock;
    long long epoch;
    long long position;  // of the first sample in the epoch's order
};

struct StepNumbers {
    BatchPlace place;
    UpdateScalars update;
};
static_assert(sizeof(StepNumbers) == 64, "StepNumbers.java writes 64 bytes");
