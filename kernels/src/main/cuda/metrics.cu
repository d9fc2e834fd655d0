// Closes the sums of loss and hits, so that the next update's start at zero, and tells the host:
//
//   n <- *count;  *count <- n + 1
//   ring[n % places] <- (notFinite ? NaN : loss, hits, n + 1);  loss <- 0;  hits <- 0
//   notFinite <- 1 if loss is not finite
//
// loss, hits  a double and a long long, to which cross_entropy adds.
// notFinite   an int; stays 1 once it is. The update kernels take it as `skip`: what follows a loss
//             or a gradient that is not finite must not touch the weights, and the host learns of
//             it too late. clip_gradient and gradient_sum raise it, too: a loss taken after that is
//             NaN, or nobody would notice that the weights stand still.
// count       how many sums were taken, in device memory.
// ring        (places) TakenSums in pinned memory; the host waits for a number to appear, and sees
//             what was written before it.
// Launch      one block, one thread of which works.
// Traffic     76 bytes, 24 of them over the bus.
// Twin        none; io.crescendo.cuda.CudaStepMetrics reads the ring
#include "common.cuh"

struct TakenSums {
    double loss;
    long long hits;
    unsigned long long number;
    unsigned long long unused;
};
static_assert(sizeof(TakenSums) == 32, "CudaStepMetrics.java reads 32 bytes");

KERNEL take_sums(double* loss, long long* hits, int* notFinite, unsigned long long* count,
                 TakenSums* ring, int places) {
    if (thread_of_grid() != 0) return;
    const unsigned long long number = *count;
    volatile TakenSums* place = ring + number % (unsigned)places;
    const double sum = *loss;
    place->loss = *notFinite != 0 ? (double)__uint_as_float(0x7fc00000u) : sum;
    place->hits = *hits;
    // Infinity and NaN are the only numbers whose difference with themselves is not zero.
    if (!(sum - sum == 0.0)) *notFinite = 1;
    *loss = 0.0;
    *hits = 0;
    *count = number + 1;
    __threadfence_system();
    place->number = number + 1;
}
