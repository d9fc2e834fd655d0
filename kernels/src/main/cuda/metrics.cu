// Closes the sums of loss and hits, so that the next update's start at zero while these are on
// their way to the host:
//
//   taken <- (notFinite ? NaN : loss, hits);  loss <- 0;  hits <- 0
//   notFinite <- 1 if loss is not finite
//
// loss, hits  a double and a long long, to which cross_entropy adds.
// taken       a double, then a long long.
// notFinite   an int; stays 1 once it is. The update kernels take it as `skip`: what follows a loss
//             or a gradient that is not finite must not touch the weights, and the host learns of
//             it too late. clip_gradient raises it, too: a loss taken after that is NaN, or nobody
//             would notice that the weights stand still.
// Launch      one block, one thread of which works.
// Traffic     48 bytes.
// Twin        io.crescendo.backend.StepMetrics
#include "common.cuh"

KERNEL take_sums(double* loss, long long* hits, double* taken, int* notFinite) {
    if (thread_of_grid() != 0) return;
    const double sum = *loss;
    taken[0] = *notFinite != 0 ? (double)__uint_as_float(0x7fc00000u) : sum;
    reinterpret_cast<long long*>(taken)[1] = *hits;
    // Infinity and NaN are the only numbers whose difference with themselves is not zero.
    if (!(sum - sum == 0.0)) *notFinite = 1;
    *loss = 0.0;
    *hits = 0;
}
