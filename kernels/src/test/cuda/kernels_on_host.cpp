// All kernels as one library for the host, called by name as the driver would call them.
#include "cuda_on_host.h"
//
#include "kernels.cu"

// Kernels for the tests of the emulation itself.

// Right: reverses the numbers of a block through shared memory.
extern "C" void probe_barrier(int* y, const int* x) {
    __shared__ int shared[THREADS];
    shared[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = shared[THREADS - 1 - threadIdx.x];
}

// Wrong: the same without the barrier.
extern "C" void probe_missing_barrier(int* y, const int* x) {
    __shared__ int shared[THREADS];
    shared[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = shared[THREADS - 1 - threadIdx.x];
}

// Wrong: half of the threads return before the barrier.
extern "C" void probe_divergent_barrier(int* y, const int* x) {
    if (threadIdx.x % 2) return;
    __syncthreads();
    y[threadIdx.x] = x[threadIdx.x];
}

// Wrong: writes one element too many.
extern "C" void probe_overrun(int* y, const int* x) { y[threadIdx.x + 1] = x[threadIdx.x]; }

// Right: y[i] is the sum over the blocks of what block b has in shared memory, b * b and x[i], which
// each adds when the block before it has; with a word for whose turn it is, zero before and after.
extern "C" void probe_turns(int* y, const int* x, unsigned* turn) {
    __shared__ int own[THREADS];
    own[threadIdx.x] = (int)(blockIdx.x * blockIdx.x) + x[threadIdx.x];
    if (threadIdx.x == 0) wait_until(turn, 0, blockIdx.x);
    __syncthreads();
    y[threadIdx.x] += own[threadIdx.x];
    __syncthreads();
    if (threadIdx.x == 0) *turn = blockIdx.x + 1 < gridDim.x ? blockIdx.x + 1 : 0;
}

// Wrong: the first block waits for the last one.
extern "C" void probe_deadlock(unsigned* turn) {
    if (threadIdx.x == 0) wait_until(turn, 0, blockIdx.x == 0 ? gridDim.x : blockIdx.x);
    __syncthreads();
    if (threadIdx.x == 0) *turn = blockIdx.x + 1;
}

#define ENTRY(NAME) cuda_on_host::entry(#NAME, NAME)
#define BOTH(NAME) ENTRY(NAME##_f32), ENTRY(NAME##_bf16)

static const cuda_on_host::Entry ENTRIES[] = {
    BOTH(add_bias),
    BOTH(bias_gradient),
    BOTH(copy_channels),
    BOTH(transpose),
    ENTRY(transpose_f32_to_bf16),
    ENTRY(transpose_bf16_to_f32),
    BOTH(pad),
    ENTRY(accumulate_bf16),
    BOTH(convolution),
    BOTH(convolution_input_gradient),
    BOTH(convolution_weight_gradient),
    BOTH(cross_entropy),
    BOTH(difference),
    BOTH(dropout),
    BOTH(few_channels),
    BOTH(few_channels_weight_gradient),
    ENTRY(add_partials_f32),
    BOTH(gather),
    BOTH(ghost_norm_forward),
    BOTH(ghost_norm_forward_add),
    BOTH(ghost_norm_apply),
    BOTH(ghost_norm_apply_add),
    BOTH(ghost_norm_backward),
    BOTH(gradient_sum),
    ENTRY(take_sums),
    ENTRY(begin_step),
    BOTH(relu),
    BOTH(relu_gradient),
    BOTH(add),
    BOTH(scale),
    BOTH(fill),
    ENTRY(cast_f32_to_bf16),
    ENTRY(cast_bf16_to_f32),
    BOTH(max_pool),
    BOTH(max_pool_gradient),
    BOTH(average_pool),
    BOTH(average_pool_gradient),
    ENTRY(update_sgd),
    ENTRY(update_momentum),
    ENTRY(update_nesterov),
    ENTRY(update_adam),
    ENTRY(update_adamw),
    ENTRY(clip_gradient),
    ENTRY(lars_norms),
    ENTRY(update_lars),
    ENTRY(lamb_norms),
    ENTRY(update_lamb),
    ENTRY(probe_barrier),
    ENTRY(probe_missing_barrier),
    ENTRY(probe_divergent_barrier),
    ENTRY(probe_overrun),
    ENTRY(probe_turns),
    ENTRY(probe_deadlock),
};

// The name of kernel `index`, or null past the last.
extern "C" const char* kernel_name(int index) {
    return index < (int)(sizeof ENTRIES / sizeof *ENTRIES) ? ENTRIES[index].name : nullptr;
}

// Fills in how many bytes each parameter of a kernel has and whether it is a pointer; gives their
// number, or -1 if there is no such kernel.
extern "C" int kernel_parameters(const char* name, int* sizes, int* pointers) {
    for (const cuda_on_host::Entry& entry : ENTRIES) {
        if (strcmp(entry.name, name) != 0) continue;
        entry.describe(sizes, pointers);
        return entry.parameters;
    }
    return -1;
}

// After a launch that was left in the middle (by a jump): its threads are given up.
extern "C" void abandon_launch() { cuda_on_host::machine.error = "abandoned"; }

// Launches a kernel on a grid of (x, y) blocks of `threads` threads, cooperatively or not;
// `arguments` points to the values of its `count` parameters. An empty answer is success, anything else says what was wrong.
extern "C" const char* launch_kernel(const char* name, unsigned x, unsigned y, unsigned threads,
                                     void** arguments, int count, uint64_t seed,
                                     int cooperative) {
    for (const cuda_on_host::Entry& entry : ENTRIES) {
        if (strcmp(entry.name, name) != 0) continue;
        if (entry.parameters != count) return "wrong number of arguments";
        return entry.launch(entry.kernel, {x, y, 1}, {threads, 1, 1}, arguments, seed,
                            cooperative != 0);
    }
    return "no such kernel";
}
