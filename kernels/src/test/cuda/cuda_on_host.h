// Runs CUDA C++ kernels on the host, to test their logic: no GPU, no toolkit, no claims of speed.
//
// One fiber per thread. A fiber runs until it meets a barrier (a shuffle is one for its warp) and
// goes on when all have come. Blocks and the threads of a block take their turns in an order that is
// drawn anew for every block, so that a kernel that lacks a barrier, or counts on an order, gives
// other numbers than its twin. What hardware leaves undefined is an error here: a barrier that not
// all threads reach, and a shuffle with lanes that have returned.
//
// An ordinary launch runs one block after the other. In a cooperative one all blocks are alive at
// once: turns go from block to block at random, at barriers and where a thread sleeps (__nanosleep,
// that is, while it waits for another block). Errors: all blocks sleep and none can wake another,
// and a thread of an ordinary launch that sleeps. Memory is the same for all at once: what only a
// missing fence does is not seen.
//
// A copy that goes on while its thread does arrives as late as it may: when the thread waits for it.
// Until then its place holds what no kernel can take for data.
//
// Shared memory is static memory of the thread that runs the launch: what the block before left in
// it is still there. All of it lies together, in this library's thread-local storage, which is
// exchanged when a cooperative launch goes on with another block.
#pragma once
#include <link.h>
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local

struct uint3_of_host {
    unsigned x, y, z;
};

namespace cuda_on_host {

constexpr int LANES_OF_WARP = 32;
constexpr size_t STACK_BYTES = 128 << 10;

enum class State { READY, AT_BLOCK_BARRIER, AT_WARP_BARRIER, ASLEEP, RETURNED };

// A copy that has begun.
struct Copy {
    void* to;
    const void* from;
    size_t bytes;
};

struct Fiber {
    ucontext_t start;
    jmp_buf place;
    bool started;
    State state;
    uint3_of_host thread;
    int number;
    uint64_t offered;  // to the other lanes in a shuffle
    char* stack;
    std::vector<std::vector<Copy>> copies;  // groups that nobody has waited for; the last is open
};

// The fibers of one block. Stacks that were never used cost no memory.
struct Fibers {
    std::vector<Fiber> all;
    std::unique_ptr<char[]> stacks;

    explicit Fibers(int count) : all(count), stacks(new char[count * STACK_BYTES]) {
        for (int i = 0; i < count; i++) all[i].stack = stacks.get() + i * STACK_BYTES;
    }
};

// A block that has begun.
struct Block {
    uint3_of_host index;
    std::unique_ptr<Fibers> fibers;
    std::vector<int> order;    // in which its threads take their turns
    std::vector<char> shared;  // its shared memory while another block has the turn
    bool stuck = false;        // sleeps, and did nothing else since any block did something
};

// A launch that is under way. One at a time: the tests call from one thread.
struct Machine {
    std::vector<std::unique_ptr<Block>> running;
    std::vector<std::unique_ptr<Fibers>> idle;  // between two blocks
    Fiber* current = nullptr;
    std::vector<Fiber>* fibers = nullptr;  // of the block whose turn it is
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
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack;
    fiber.start.uc_stack.ss_size = STACK_BYTES;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, fiber_main, 0);
    swapcontext(&machine.creator, &fiber.start);
}

// Lets go whoever waits at a barrier that all have reached. False if nobody could.
inline bool open_barriers(int count) {
    int atBlock = 0, returned = 0;
    for (int i = 0; i < count; i++) {
        atBlock += (*machine.fibers)[i].state == State::AT_BLOCK_BARRIER;
        returned += (*machine.fibers)[i].state == State::RETURNED;
    }
    bool opened = false;
    if (atBlock > 0 && atBlock + returned == count) {
        if (returned > 0) return false;
        for (int i = 0; i < count; i++) (*machine.fibers)[i].state = State::READY;
        return true;
    }
    for (int first = 0; first < count; first += LANES_OF_WARP) {
        int end = first + LANES_OF_WARP < count ? first + LANES_OF_WARP : count, waiting = 0;
        for (int i = first; i < end; i++)
            waiting += (*machine.fibers)[i].state == State::AT_WARP_BARRIER;
        if (waiting != end - first) continue;
        for (int i = first; i < end; i++) (*machine.fibers)[i].state = State::READY;
        opened = true;
    }
    return opened;
}

inline std::string name_of(const uint3_of_host& block) {
    return "block (" + std::to_string(block.x) + ", " + std::to_string(block.y) + ", " +
           std::to_string(block.z) + ")";
}

inline bool finished(const std::vector<Fiber>& fibers) {
    for (const Fiber& fiber : fibers)
        if (fiber.state != State::RETURNED) return false;
    return true;
}

// Gives every thread of the block that can go on a turn, and opens barriers. False if nothing
// happened but that threads slept on.
inline bool step(const std::vector<int>& order) {
    std::vector<Fiber>& fibers = *machine.fibers;
    bool moved = false, asleep = false;
    for (int i : order) {
        State before = fibers[i].state;
        if (before != State::READY && before != State::ASLEEP) continue;
        resume(fibers[i]);
        asleep |= fibers[i].state == State::ASLEEP;
        moved |= before != State::ASLEEP || fibers[i].state != State::ASLEEP;
    }
    if (finished(fibers)) return true;
    moved |= open_barriers((int)fibers.size());
    if (!moved && !asleep)
        machine.error = name_of(machine.block) +
                        ": some threads wait at a barrier or shuffle that others never reach";
    return moved;
}

inline void begin(Block& block, int number, int count) {
    Machine& m = machine;
    block.index = {number % m.blocks.x, number / m.blocks.x % m.blocks.y,
                   number / (m.blocks.x * m.blocks.y)};
    if (m.idle.empty()) {
        block.fibers = std::make_unique<Fibers>(count);
    } else {
        block.fibers = std::move(m.idle.back());
        m.idle.pop_back();
    }
    for (int i = 0; i < count; i++) {
        Fiber& fiber = block.fibers->all[i];
        fiber.number = i;
        fiber.thread = {i % m.threads.x, i / m.threads.x % m.threads.y,
                        i / (m.threads.x * m.threads.y)};
        fiber.state = State::READY;
        fiber.copies.assign(1, {});
    }
    block.order = shuffled(count);
}

// Gives a block the turn.
inline void turn_to(Block& block) {
    machine.block = block.index;
    machine.fibers = &block.fibers->all;
}

// One block after the other.
inline void run_blocks(int blocks, int count) {
    for (int number : shuffled(blocks)) {
        machine.running.push_back(std::make_unique<Block>());
        Block& block = *machine.running.back();
        begin(block, number, count);
        turn_to(block);
        while (machine.error.empty() && !finished(block.fibers->all))
            if (!step(block.order) && machine.error.empty())
                machine.error = name_of(block.index) +
                                " waits for another, which only a cooperative launch may do";
        if (!machine.error.empty()) return;
        machine.idle.push_back(std::move(block.fibers));
        machine.running.pop_back();
    }
}

// All shared memory of this library, for this thread: what is thread-local in it.
struct SharedMemory {
    char* begin = nullptr;
    size_t bytes = 0;

    SharedMemory() {
        static thread_local char touched;
        *const_cast<volatile char*>(&touched) = 1;  // now it exists
        dl_iterate_phdr(
            [](dl_phdr_info* library, size_t, void* result) {
                bool ours = false;
                size_t bytes = 0;
                for (int i = 0; i < library->dlpi_phnum; i++) {
                    const ElfW(Phdr)& part = library->dlpi_phdr[i];
                    uintptr_t from = library->dlpi_addr + part.p_vaddr;
                    uintptr_t here = (uintptr_t)&machine;
                    if (part.p_type == PT_LOAD) ours |= here >= from && here < from + part.p_memsz;
                    if (part.p_type == PT_TLS) bytes = part.p_memsz;
                }
                if (!ours) return 0;
                SharedMemory* found = static_cast<SharedMemory*>(result);
                found->begin = static_cast<char*>(library->dlpi_tls_data);
                found->bytes = bytes;
                return 1;
            },
            this);
    }
};

// All blocks at once.
inline void run_together(int blocks, int count) {
    constexpr unsigned MOST_STEPS = 8;  // of a block before another has the turn
    constexpr unsigned TO_ONE_NEW = 8;  // turns of blocks that run: all at once take much memory
    const SharedMemory shared;
    std::vector<int> waiting = shuffled(blocks);  // to begin
    std::vector<std::unique_ptr<Block>>& running = machine.running;
    Block* last = nullptr;  // whose shared memory is in place
    while (!running.empty() || !waiting.empty()) {
        unsigned atWork = (unsigned)running.size();
        unsigned drawn = below(atWork + (waiting.empty() ? 0 : 1 + atWork / TO_ONE_NEW));
        if (drawn >= running.size()) {
            drawn = (unsigned)running.size();
            running.push_back(std::make_unique<Block>());
            begin(*running.back(), waiting.back(), count);
            waiting.pop_back();
        }
        Block& block = *running[drawn];
        if (last != &block) {
            if (last != nullptr) last->shared.assign(shared.begin, shared.begin + shared.bytes);
            if (!block.shared.empty())
                memcpy(shared.begin, block.shared.data(), block.shared.size());
            last = &block;
        }
        turn_to(block);
        bool over = false;
        for (unsigned steps = 1 + below(MOST_STEPS); steps > 0 && !over; steps--) {
            bool moved = step(block.order);
            if (!machine.error.empty()) return;
            over = finished(block.fibers->all);
            if (moved) {
                for (auto& other : running) other->stuck = false;
            } else {
                block.stuck = true;
                break;
            }
        }
        if (over) {
            machine.idle.push_back(std::move(block.fibers));
            running.erase(running.begin() + drawn);
            last = nullptr;
        }
        bool stuck = waiting.empty() && !running.empty();
        for (auto& other : running) stuck &= other->stuck;
        if (stuck) {
            for (auto& other : running)
                machine.error += (machine.error.empty() ? "" : ", ") + name_of(other->index);
            machine.error += " wait for each other and for nobody else";
            return;
        }
    }
}

// Returns an empty text, or what went wrong.
inline const char* launch(uint3_of_host blocks, uint3_of_host threads, void (*body)(void*),
                          void* arguments, uint64_t seed, bool cooperative) {
    Machine& m = machine;
    int count = (int)(threads.x * threads.y * threads.z);
    // After an error fibers are left in the middle of a kernel: begin with new ones.
    m.running.clear();
    if (!m.error.empty() || (!m.idle.empty() && (int)m.idle.back()->all.size() != count))
        m.idle.clear();
    m.error.clear();
    m.blocks = blocks;
    m.threads = threads;
    m.body = body;
    m.arguments = arguments;
    m.random = seed;
    int number = (int)(blocks.x * blocks.y * blocks.z);
    if (cooperative) {
        run_together(number, count);
    } else {
        run_blocks(number, count);
    }
    constexpr size_t MOST_IDLE = 16;
    if (m.idle.size() > MOST_IDLE) m.idle.resize(MOST_IDLE);
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
    memcpy(&result, &(*machine.fibers)[warp + from].offered, sizeof(T));
    wait_as(State::AT_WARP_BARRIER);
    return result;
}

// ---- Shared memory whose size the launch says. Every launch may have all of it.

constexpr size_t DYNAMIC_BYTES = 64 << 10;

inline void* dynamic_shared() {
    alignas(16) static thread_local unsigned char memory[DYNAMIC_BYTES];
    return memory;
}

inline void copy_ahead(void* to, const void* from, size_t bytes) {
    unsigned char* first = static_cast<unsigned char*>(dynamic_shared());
    unsigned char* place = static_cast<unsigned char*>(to);
    if (place < first || place + bytes > first + DYNAMIC_BYTES)
        machine.error = name_of(machine.block) + " copies past its dynamic shared memory";
    else
        memset(to, 0xff, bytes);
    machine.current->copies.back().push_back({to, from, bytes});
}

inline void close_copies() { machine.current->copies.emplace_back(); }

inline void wait_for_copies(int open) {
    auto& groups = machine.current->copies;
    while ((int)groups.size() - 1 > open) {
        if (machine.error.empty())
            for (const Copy& copy : groups.front()) memcpy(copy.to, copy.from, copy.bytes);
        groups.erase(groups.begin());
    }
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
                              void** arguments, uint64_t seed, bool cooperative) {
        Bound bound{reinterpret_cast<Kernel>(kernel), arguments};
        auto body = [](void* b) { call(*static_cast<Bound*>(b), std::index_sequence_for<A...>()); };
        return cuda_on_host::launch(blocks, threads, body, &bound, seed, cooperative);
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
    const char* (*launch)(void*, uint3_of_host, uint3_of_host, void**, uint64_t, bool);
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

// Whoever waits for another block lets it go on.
inline void __nanosleep(unsigned) { cuda_on_host::wait_as(cuda_on_host::State::ASLEEP); }

// The device's is right to two units in the last place.
inline float rsqrtf(float value) { return 1.0f / sqrtf(value); }

inline void __threadfence() {}

inline void __threadfence_system() {}

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

inline int __clz(int value) { return value == 0 ? 32 : __builtin_clz((unsigned)value); }

inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
