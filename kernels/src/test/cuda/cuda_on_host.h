// Runs CUDA C++ kernels on the host, to test their logic: no GPU, no toolkit, no claims of speed.
//
// One block at a time, one fiber per thread. A fiber runs until it meets a barrier (a shuffle is
// one for its warp) and goes on when all have come. Blocks and the threads of a block take their
// turns in an order that is drawn anew for every block, so that a kernel that lacks a barrier, or
// counts on an order, gives other numbers than its twin. What hardware leaves undefined is an error
// here: a barrier that not all threads reach, and a shuffle with lanes that have returned.
//
// Shared memory is static memory: what the block before left in it is still there.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

struct uint3_of_host {
    unsigned x, y, z;
};

namespace cuda_on_host {

constexpr int LANES_OF_WARP = 32;
constexpr size_t STACK_BYTES = 128 << 10;

enum class State { READY, AT_BLOCK_BARRIER, AT_WARP_BARRIER, RETURNED };

struct Fiber {
    ucontext_t start;
    jmp_buf place;
    bool started;
    State state;
    uint3_of_host thread;
    int number;
    uint64_t offered;  // to the other lanes in a shuffle
    std::vector<char> stack;
};

// A launch that is under way. One at a time: the tests call from one thread.
struct Machine {
    std::vector<Fiber> fibers;
    Fiber* current = nullptr;
    jmp_buf scheduler;
    ucontext_t creator;
    uint3_of_host block, blocks, threads;
    void (*body)(void*) = nullptr;
    void* arguments = nullptr;
    uint64_t random = 1;
    std::string error;
};

inline Machine machine;

inline unsigned below(unsigned bound) {  // SplitMix64
    uint64_t z = machine.random += 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return (unsigned)((z ^ z >> 31) % bound);
}

inline std::vector<int> shuffled(int count) {
    std::vector<int> order(count);
    for (int i = 0; i < count; i++) {
        int other = (int)below(i + 1);
        order[i] = order[other];
        order[other] = i;
    }
    return order;
}

// Gives the turn back to the scheduler until it is this fiber's again. _setjmp and _longjmp, unlike
// swapcontext, make no system call.
inline void wait_as(State state) {
    Fiber* self = machine.current;
    self->state = state;
    if (_setjmp(self->place) == 0) _longjmp(machine.scheduler, 1);
}

inline void fiber_main() {
    for (;;) {  // a fiber lives on for the next block
        machine.body(machine.arguments);
        wait_as(State::RETURNED);
    }
}

inline void resume(Fiber& fiber) {
    machine.current = &fiber;
    if (_setjmp(machine.scheduler) != 0) return;
    if (fiber.started) _longjmp(fiber.place, 1);
    fiber.started = true;
    if (fiber.stack.empty()) fiber.stack.resize(STACK_BYTES);
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.data();
    fiber.start.uc_stack.ss_size = fiber.stack.size();
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, fiber_main, 0);
    swapcontext(&machine.creator, &fiber.start);
}

// Lets go whoever waits at a barrier that all have reached. False if nobody could.
inline bool open_barriers(int count) {
    int atBlock = 0, returned = 0;
    for (int i = 0; i < count; i++) {
        atBlock += machine.fibers[i].state == State::AT_BLOCK_BARRIER;
        returned += machine.fibers[i].state == State::RETURNED;
    }
    bool opened = false;
    if (atBlock > 0 && atBlock + returned == count) {
        if (returned > 0) return false;
        for (int i = 0; i < count; i++) machine.fibers[i].state = State::READY;
        return true;
    }
    for (int first = 0; first < count; first += LANES_OF_WARP) {
        int end = first + LANES_OF_WARP < count ? first + LANES_OF_WARP : count, waiting = 0;
        for (int i = first; i < end; i++)
            waiting += machine.fibers[i].state == State::AT_WARP_BARRIER;
        if (waiting != end - first) continue;
        for (int i = first; i < end; i++) machine.fibers[i].state = State::READY;
        opened = true;
    }
    return opened;
}

inline void run_block(int count) {
    std::vector<int> order = shuffled(count);
    for (int i = 0; i < count; i++) machine.fibers[i].state = State::READY;
    for (;;) {
        for (int i : order)
            if (machine.fibers[i].state == State::READY) resume(machine.fibers[i]);
        bool finished = true;
        for (int i = 0; i < count; i++) finished &= machine.fibers[i].state == State::RETURNED;
        if (finished) return;
        if (!open_barriers(count)) {
            char text[160];
            snprintf(text, sizeof text,
                     "block (%u, %u, %u): some threads wait at a barrier or shuffle that others "
                     "never reach",
                     machine.block.x, machine.block.y, machine.block.z);
            machine.error = text;
            return;
        }
    }
}

// Returns an empty text, or what went wrong.
inline const char* launch(uint3_of_host blocks, uint3_of_host threads, void (*body)(void*),
                          void* arguments, uint64_t seed) {
    Machine& m = machine;
    int count = (int)(threads.x * threads.y * threads.z);
    if ((int)m.fibers.size() < count || !m.error.empty()) {
        // After an error fibers are left in the middle of a kernel: begin with new ones.
        m.fibers.clear();
        m.fibers.resize(count);
    }
    m.error.clear();
    m.blocks = blocks;
    m.threads = threads;
    m.body = body;
    m.arguments = arguments;
    m.random = seed;
    for (int i = 0; i < count; i++) {
        m.fibers[i].number = i;
        m.fibers[i].thread = {i % threads.x, i / threads.x % threads.y,
                              i / (threads.x * threads.y)};
    }
    for (int i : shuffled((int)(blocks.x * blocks.y * blocks.z))) {
        m.block = {i % blocks.x, i / blocks.x % blocks.y, i / (blocks.x * blocks.y)};
        run_block(count);
        if (!m.error.empty()) break;
    }
    return m.error.c_str();
}

// The value that lane `from` of this thread's warp offers.
template <class T>
T exchange(T value, int from) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "shuffles move at most 8 bytes");
    Fiber* self = machine.current;
    memcpy(&self->offered, &value, sizeof(T));
    wait_as(State::AT_WARP_BARRIER);
    int warp = machine.current->number / LANES_OF_WARP * LANES_OF_WARP;
    T result;
    memcpy(&result, &machine.fibers[warp + from].offered, sizeof(T));
    wait_as(State::AT_WARP_BARRIER);
    return result;
}

inline int lane() { return machine.current->number % LANES_OF_WARP; }

// ---- Calls a kernel with arguments as cuLaunchKernel takes them: an array of pointers to their
// values.

template <class Kernel>
struct Caller;

template <class... A>
struct Caller<void (*)(A...)> {
    using Kernel = void (*)(A...);

    struct Bound {
        Kernel kernel;
        void** arguments;
    };

    template <size_t... I>
    static void call(Bound& bound, std::index_sequence<I...>) {
        bound.kernel(*static_cast<A*>(bound.arguments[I])...);
    }

    static const char* launch(void* kernel, uint3_of_host blocks, uint3_of_host threads,
                              void** arguments, uint64_t seed) {
        Bound bound{reinterpret_cast<Kernel>(kernel), arguments};
        auto body = [](void* b) { call(*static_cast<Bound*>(b), std::index_sequence_for<A...>()); };
        return cuda_on_host::launch(blocks, threads, body, &bound, seed);
    }

    static void describe(int* sizes, int* pointers) {
        int i = 0;
        ((sizes[i] = (int)sizeof(A), pointers[i] = std::is_pointer<A>::value, i++), ...);
    }
};

struct Entry {
    const char* name;
    void* kernel;
    int parameters;
    const char* (*launch)(void*, uint3_of_host, uint3_of_host, void**, uint64_t);
    void (*describe)(int*, int*);
};

template <class... A>
Entry entry(const char* name, void (*kernel)(A...)) {
    return {name, reinterpret_cast<void*>(kernel), (int)sizeof...(A),
            Caller<void (*)(A...)>::launch, Caller<void (*)(A...)>::describe};
}

}  // namespace cuda_on_host

// ---- What CUDA C++ has built in, as far as the kernels use it.

#define threadIdx (cuda_on_host::machine.current->thread)
#define blockIdx (cuda_on_host::machine.block)
#define blockDim (cuda_on_host::machine.threads)
#define gridDim (cuda_on_host::machine.blocks)

inline void __syncthreads() { cuda_on_host::wait_as(cuda_on_host::State::AT_BLOCK_BARRIER); }

inline void __syncwarp(unsigned = 0xffffffffu) {
    cuda_on_host::wait_as(cuda_on_host::State::AT_WARP_BARRIER);
}

// The device's is right to two units in the last place.
inline float rsqrtf(float value) { return 1.0f / sqrtf(value); }

inline void __threadfence() {}

template <class T>
T __shfl_sync(unsigned, T value, int from) {
    return cuda_on_host::exchange(value, from & 31);
}

template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    return cuda_on_host::exchange(value, cuda_on_host::lane() ^ mask);
}

template <class T>
T __shfl_down_sync(unsigned, T value, int distance) {
    int from = cuda_on_host::lane() + distance;
    return cuda_on_host::exchange(value, from < 32 ? from : cuda_on_host::lane());
}

inline unsigned __ballot_sync(unsigned, bool predicate) {
    unsigned ballot = 0;
    for (int i = 0; i < 32; i++) ballot |= (unsigned)cuda_on_host::exchange((int)predicate, i) << i;
    return ballot;
}

template <class T>
T atomicAdd(T* address, T value) {
    T before = *address;
    *address = before + value;
    return before;
}

inline float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
