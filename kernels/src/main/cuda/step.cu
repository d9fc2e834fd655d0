// The first launch of a recorded step: fetches the step's numbers from a ring in the host's memory.
// So a step is one graph, and its numbers cost no call of the driver.
//
//   n <- *begun;  told <- n;  numbers <- ring[n % places];  *begun <- n + 1
//
// ring        (places) StepNumbers in pinned memory. The host fills place n % places before it launches
//             step n.
// begun       how many steps have begun; in device memory, for the host does not know when one does.
// told        the same without this one, in pinned memory: places of those before it may be filled
//             anew. They have been read, for their launches have ended.
// numbers     one StepNumbers in device memory.
// Launch      one block.
// Traffic     152 bytes, 72 of them over the bus.
// Twin        none; io.crescendo.cuda.StepNumbers fills the ring
#include "step.cuh"

KERNEL begin_step(const StepNumbers* ring, int places, unsigned long long* begun,
                  unsigned long long* told, StepNumbers* numbers) {
    constexpr int WORDS = (int)(sizeof(StepNumbers) / sizeof(unsigned));
    const unsigned long long number = *begun;
    // Volatile: the host wrote it since a launch before may have read it.
    const volatile unsigned* from =
        reinterpret_cast<const volatile unsigned*>(ring + number % (unsigned)places);
    unsigned* to = reinterpret_cast<unsigned*>(numbers);
    if (threadIdx.x < WORDS) to[threadIdx.x] = from[threadIdx.x];
    __syncthreads();
    if (threadIdx.x == 0) {
        *begun = number + 1;
        *reinterpret_cast<volatile unsigned long long*>(told) = number;
    }
}
