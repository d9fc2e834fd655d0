// Stand-in of libcuda.so.1: memory. Device memory is host memory between two pages that fault and
// guard zones that are compared; fresh memory is full of NaN, and freed memory is gone, so reading
// what was never written, or is no longer there, shows. A test double.
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>

#include "stand_in.h"

namespace stand_in {

constexpr size_t PAGE = 4096;
constexpr size_t ALIGNMENT = 256;
constexpr size_t GRANULARITY = 2 << 20;
constexpr size_t GUARD = 256;
constexpr unsigned char GUARD_BYTE = 0xC5;
constexpr unsigned char FRESH_BYTE = 0xFF;  // NaN in float32 and in bf16

enum class Kind { DEVICE, PINNED };

struct Block {
    Kind kind;
    char* start;
    size_t bytes;
    char* mapped;
    size_t mappedBytes;
    char* guardEnd;  // the guard zones are [mapped + PAGE, start) and [start + bytes, guardEnd)
};

struct Physical {
    int file;
    size_t bytes;
    int mappings;
    bool released;
};

struct Mapping {
    size_t bytes;
    uint64_t physical;
    bool access;
};

struct Reservation {
    size_t bytes;
    std::map<char*, Mapping> mappings;
};

static std::map<char*, Block> blocks;
static std::map<uint64_t, Physical> physicals;
static std::map<char*, Reservation> reservations;
static uint64_t nextPhysical = 0xA110C000;
static size_t totalBytes = size_t(2) << 30;
static size_t usedBytes = 0;
static size_t peakBytes = 0;

static size_t rounded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

// Gives memory back, but not its addresses: whoever still writes there faults, instead of writing
// into what somebody else was given.
static void vacate(char* address, size_t bytes) {
    mmap(address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

static void use(size_t bytes) {
    usedBytes += bytes;
    if (usedBytes > peakBytes) peakBytes = usedBytes;
}

static Block* allocate(Kind kind, size_t bytes) {
    // The end lies within ALIGNMENT bytes of a page that faults.
    size_t inner = rounded(GUARD + rounded(bytes, ALIGNMENT), PAGE);
    size_t whole = inner + 2 * PAGE;
    char* mapped = (char*)mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    mprotect(mapped + PAGE, inner, PROT_READ | PROT_WRITE);
    char* end = mapped + PAGE + inner;
    char* start = end - rounded(bytes, ALIGNMENT);
    memset(mapped + PAGE, GUARD_BYTE, start - mapped - PAGE);
    memset(start + bytes, GUARD_BYTE, end - start - bytes);
    // Of a large block only the ends: touching all of it would take longer than most tests.
    constexpr size_t ENDS = 1 << 20;
    size_t ends = bytes < ENDS ? bytes : ENDS;
    memset(start, FRESH_BYTE, ends);
    memset(start + bytes - ends, FRESH_BYTE, ends);
    return &(blocks[start] = {kind, start, bytes, mapped, whole, end});
}

static bool holds(const char* from, const char* to) {
    for (; from < to; from++)
        if (*(const unsigned char*)from != GUARD_BYTE) return false;
    return true;
}

static std::string damage_of(const Block& block) {
    char text[160];
    const char* side = nullptr;
    // Only the bytes next to it: the rest of the page would cost time and finds little more.
    if (!holds(block.start - GUARD, block.start)) side = "before";
    if (!holds(block.start + block.bytes, block.guardEnd)) side = "behind";
    if (side == nullptr) return "";
    snprintf(text, sizeof text, "the guard zone %s the %zu bytes at %p was overwritten", side,
             block.bytes, (void*)block.start);
    return text;
}

std::string damage() {
    for (auto& entry : blocks) {
        std::string text = damage_of(entry.second);
        if (!text.empty()) {
            // Told once.
            const Block& block = entry.second;
            memset(block.start - GUARD, GUARD_BYTE, GUARD);
            memset(block.start + block.bytes, GUARD_BYTE,
                   block.guardEnd - block.start - block.bytes);
            return text;
        }
    }
    return "";
}

template <class T>
static typename std::map<char*, T>::iterator at_or_before(std::map<char*, T>& map, char* address) {
    auto found = map.upper_bound(address);
    return found == map.begin() ? map.end() : --found;
}

static Block* block_of(const void* address) {
    auto found = at_or_before(blocks, (char*)address);
    // The end counts: it is where an empty range may point.
    return found != blocks.end() && (char*)address <= found->second.start + found->second.bytes
               ? &found->second
               : nullptr;
}

static Reservation* reservation_of(const void* address, char** start) {
    auto found = at_or_before(reservations, (char*)address);
    if (found == reservations.end() || (char*)address >= found->first + found->second.bytes)
        return nullptr;
    *start = found->first;
    return &found->second;
}

bool points_into_memory(const void* address) {
    char* start;
    return block_of(address) != nullptr || reservation_of(address, &start) != nullptr;
}

bool accessible(const void* address, size_t bytes, const char* what) {
    char* from = (char*)address;
    Block* block = block_of(address);
    if (block != nullptr && (bytes == 0 || from < block->start + block->bytes)) {
        if (from + bytes <= block->start + block->bytes) return true;
        wrong(INVALID_VALUE, "%s: %zu bytes at %p reach past the %zu bytes allocated at %p", what,
              bytes, address, block->bytes, (void*)block->start);
        return false;
    }
    char* start;
    Reservation* reservation = reservation_of(address, &start);
    if (reservation == nullptr) {
        wrong(INVALID_VALUE, "%s: %p is no memory of the device", what, address);
        return false;
    }
    char* end = from + bytes;
    while (from < end) {
        auto found = at_or_before(reservation->mappings, from);
        if (found == reservation->mappings.end() || from >= found->first + found->second.bytes ||
            !found->second.access) {
            wrong(INVALID_VALUE, "%s: %zu bytes at %p: nothing is mapped, or without access, at %p",
                  what, bytes, address, (void*)from);
            return false;
        }
        from = found->first + found->second.bytes;
    }
    return true;
}

static int release(const char* what, Kind kind, void* address) {
    auto found = blocks.find((char*)address);
    if (found == blocks.end() || found->second.kind != kind)
        return wrong(INVALID_VALUE, "%s: %p was not allocated that way, or is freed already", what,
                     address);
    synchronize_everything();  // as the driver does
    std::string text = damage_of(found->second);
    if (!text.empty()) wrong(ILLEGAL_ADDRESS, "%s: %s", what, text.c_str());
    if (kind == Kind::DEVICE) usedBytes -= rounded(found->second.bytes, ALIGNMENT);
    vacate(found->second.mapped, found->second.mappedBytes);
    blocks.erase(found);
    return SUCCESS;
}

static void drop_if_unused(uint64_t handle) {
    auto found = physicals.find(handle);
    if (!found->second.released || found->second.mappings > 0) return;
    usedBytes -= found->second.bytes;
    close(found->second.file);
    physicals.erase(found);
}

static void unmap(char* address, const Mapping& mapping) {
    mmap(address, mapping.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
         -1, 0);
    physicals[mapping.physical].mappings--;
    drop_if_unused(mapping.physical);
}

void list_memory(std::string& text) {
    char line[160];
    for (auto& entry : blocks) {
        snprintf(line, sizeof line, "%zu bytes of %s memory\n", entry.second.bytes,
                 entry.second.kind == Kind::DEVICE ? "device" : "pinned");
        text += line;
    }
    for (auto& entry : reservations) {
        snprintf(line, sizeof line, "%zu bytes of reserved addresses with %zu mappings\n",
                 entry.second.bytes, entry.second.mappings.size());
        text += line;
    }
    for (auto& entry : physicals) {
        snprintf(line, sizeof line, "%zu bytes of physical memory (cuMemCreate)%s\n",
                 entry.second.bytes, entry.second.released ? ", released but still mapped" : "");
        text += line;
    }
}

void destroy_memory() {
    for (auto& entry : reservations) {
        for (auto& mapping : entry.second.mappings) unmap(mapping.first, mapping.second);
        vacate(entry.first, entry.second.bytes);
    }
    for (auto& entry : physicals) close(entry.second.file);
    for (auto& entry : blocks) vacate(entry.second.mapped, entry.second.mappedBytes);
    reservations.clear();
    physicals.clear();
    blocks.clear();
    usedBytes = 0;
}

// ---- Copies. Pageable host memory is read or written before the call returns; pinned memory when
// the work runs, so it must stay as it is until then.

static bool is_pinned(const void* host, size_t bytes) {
    Block* block = block_of(host);
    return block != nullptr && block->kind == Kind::PINNED &&
           (char*)host + bytes <= block->start + block->bytes;
}

static double cost_of_copy(size_t bytes) { return 2 + bytes / 40000.0; }

static int copy_async(const char* name, void* to, const void* from, size_t bytes, bool fromHost,
                      bool toHost, void* stream) {
    if (!toHost && !accessible(to, bytes, name)) return INVALID_VALUE;
    if (!fromHost && !accessible(from, bytes, name)) return INVALID_VALUE;
    double cost = cost_of_copy(bytes);
    std::string label = name;
    if (fromHost && !is_pinned(from, bytes)) {
        if (is_capturing(stream))
            return wrong(CAPTURE_UNSUPPORTED, "%s: memory that is not pinned, in a capture", name);
        auto staged =
            std::make_shared<std::vector<char>>((const char*)from, (const char*)from + bytes);
        return enqueue(stream, label, cost, [=] { memcpy(to, staged->data(), bytes); });
    }
    if (toHost && !is_pinned(to, bytes)) {
        if (is_capturing(stream))
            return wrong(CAPTURE_UNSUPPORTED, "%s: memory that is not pinned, in a capture", name);
        std::vector<char> through(bytes);
        int status = enqueue(stream, label, cost, [&] { memcpy(through.data(), from, bytes); });
        if (status == SUCCESS) status = synchronize_stream(stream);
        if (status == SUCCESS) memcpy(to, through.data(), bytes);
        return status;
    }
    return enqueue(stream, label, cost, [=] { memmove(to, from, bytes); });
}

// The default stream's, and done when the call returns.
static int copy_now(const char* name, void* to, const void* from, size_t bytes, bool fromHost,
                    bool toHost) {
    int status = copy_async(name, to, from, bytes, fromHost, toHost, nullptr);
    return status == SUCCESS ? synchronize_stream(nullptr) : status;
}

template <class T>
static int set(const char* name, uint64_t to, T value, size_t count, void* stream) {
    if (!accessible((void*)to, count * sizeof(T), name)) return INVALID_VALUE;
    if (to % sizeof(T) != 0) return wrong(INVALID_VALUE, "%s: the address is not aligned", name);
    return enqueue(stream, name, cost_of_copy(count * sizeof(T)), [=] {
        for (size_t i = 0; i < count; i++) ((T*)to)[i] = value;
    });
}

}  // namespace stand_in

using namespace stand_in;

#define EXPORT extern "C" int

EXPORT cuMemAlloc_v2(uint64_t* address, size_t bytes) {
    return driver_call("cuMemAlloc_v2", UNSAFE_IN_CAPTURE, [&]() -> int {
        if (bytes == 0) return wrong(INVALID_VALUE, "cuMemAlloc of 0 bytes");
        if (usedBytes + rounded(bytes, ALIGNMENT) > totalBytes) return OUT_OF_MEMORY;
        Block* block = allocate(Kind::DEVICE, bytes);
        if (block == nullptr) return OUT_OF_MEMORY;
        use(rounded(bytes, ALIGNMENT));
        *address = (uint64_t)block->start;
        return SUCCESS;
    });
}

EXPORT cuMemFree_v2(uint64_t address) {
    return driver_call("cuMemFree_v2", RELEASES | UNSAFE_IN_CAPTURE, [&]() -> int {
        return address == 0 ? SUCCESS : release("cuMemFree", Kind::DEVICE, (void*)address);
    });
}

EXPORT cuMemHostAlloc(void** address, size_t bytes, unsigned) {
    return driver_call("cuMemHostAlloc", UNSAFE_IN_CAPTURE, [&]() -> int {
        if (bytes == 0) return wrong(INVALID_VALUE, "cuMemHostAlloc of 0 bytes");
        Block* block = allocate(Kind::PINNED, bytes);
        if (block == nullptr) return OUT_OF_MEMORY;
        *address = block->start;
        return SUCCESS;
    });
}

EXPORT cuMemAllocHost_v2(void** address, size_t bytes) { return cuMemHostAlloc(address, bytes, 0); }

EXPORT cuMemFreeHost(void* address) {
    return driver_call("cuMemFreeHost", RELEASES | UNSAFE_IN_CAPTURE,
                       [&] { return release("cuMemFreeHost", Kind::PINNED, address); });
}

EXPORT cuMemHostGetDevicePointer_v2(uint64_t* device, void* host, unsigned) {
    return driver_call("cuMemHostGetDevicePointer_v2", PLAIN, [&]() -> int {
        if (!is_pinned(host, 0)) return wrong(INVALID_VALUE, "%p is not pinned memory", host);
        *device = (uint64_t)host;
        return SUCCESS;
    });
}

EXPORT cuMemGetInfo_v2(size_t* free, size_t* total) {
    return driver_call("cuMemGetInfo_v2", PLAIN, [&]() -> int {
        *free = totalBytes - usedBytes;
        *total = totalBytes;
        return SUCCESS;
    });
}

EXPORT cuMemGetAddressRange_v2(uint64_t* base, size_t* bytes, uint64_t address) {
    return driver_call("cuMemGetAddressRange_v2", PLAIN, [&]() -> int {
        Block* block = block_of((void*)address);
        if (block == nullptr) return NOT_FOUND;
        if (base != nullptr) *base = (uint64_t)block->start;
        if (bytes != nullptr) *bytes = block->bytes;
        return SUCCESS;
    });
}

EXPORT cuDeviceTotalMem_v2(size_t* bytes, int device) {
    return driver_call("cuDeviceTotalMem_v2", ANYWHERE, [&]() -> int {
        if (device != 0) return wrong(INVALID_DEVICE, "cuDeviceTotalMem: device %d", device);
        *bytes = totalBytes;
        return SUCCESS;
    });
}

// ---- Virtual memory.

struct AllocationProperties {
    int type, handleTypes, locationType, locationId;
};

static bool on_this_device(const AllocationProperties* p) {
    return p != nullptr && p->type == 1 && p->handleTypes == 0 && p->locationType == 1 &&
           p->locationId == 0;
}

EXPORT cuMemGetAllocationGranularity(size_t* bytes, const AllocationProperties* p, int) {
    return driver_call("cuMemGetAllocationGranularity", ANYWHERE, [&]() -> int {
        if (!on_this_device(p)) return wrong(INVALID_VALUE, "granularity: not of this device");
        *bytes = GRANULARITY;
        return SUCCESS;
    });
}

EXPORT cuMemAddressReserve(uint64_t* address, size_t bytes, size_t alignment, uint64_t,
                           unsigned long long flags) {
    return driver_call("cuMemAddressReserve", UNSAFE_IN_CAPTURE, [&]() -> int {
        if (bytes == 0 || bytes % GRANULARITY != 0 || flags != 0)
            return wrong(INVALID_VALUE, "cuMemAddressReserve of %zu bytes, flags %llu", bytes,
                         flags);
        size_t align = alignment > GRANULARITY ? alignment : GRANULARITY;
        size_t whole = bytes + align;
        char* mapped = (char*)mmap(nullptr, whole, PROT_NONE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped == MAP_FAILED) return OUT_OF_MEMORY;
        char* start = (char*)rounded((size_t)mapped, align);
        if (start > mapped) munmap(mapped, start - mapped);
        munmap(start + bytes, mapped + whole - start - bytes);
        reservations[start] = {bytes, {}};
        *address = (uint64_t)start;
        return SUCCESS;
    });
}

EXPORT cuMemAddressFree(uint64_t address, size_t bytes) {
    return driver_call("cuMemAddressFree", RELEASES | UNSAFE_IN_CAPTURE, [&]() -> int {
        auto found = reservations.find((char*)address);
        if (found == reservations.end() || found->second.bytes != bytes)
            return wrong(INVALID_VALUE, "cuMemAddressFree: no %zu bytes are reserved at %p", bytes,
                         (void*)address);
        if (!found->second.mappings.empty())
            return wrong(INVALID_VALUE, "cuMemAddressFree: something is still mapped at %p",
                         (void*)address);
        vacate(found->first, bytes);
        reservations.erase(found);
        return SUCCESS;
    });
}

EXPORT cuMemCreate(uint64_t* handle, size_t bytes, const AllocationProperties* p,
                   unsigned long long flags) {
    return driver_call("cuMemCreate", UNSAFE_IN_CAPTURE, [&]() -> int {
        if (!on_this_device(p) || flags != 0)
            return wrong(INVALID_VALUE, "cuMemCreate: properties or flags");
        if (bytes == 0 || bytes % GRANULARITY != 0)
            return wrong(INVALID_VALUE, "cuMemCreate: %zu bytes are no multiple of %zu", bytes,
                         GRANULARITY);
        if (usedBytes + bytes > totalBytes) return OUT_OF_MEMORY;
        int file = memfd_create("stand-in", 0);
        if (file < 0 || ftruncate(file, (off_t)bytes) != 0) return OUT_OF_MEMORY;
        void* view = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (view == MAP_FAILED) {
            close(file);
            return OUT_OF_MEMORY;
        }
        memset(view, FRESH_BYTE, bytes);
        munmap(view, bytes);
        use(bytes);
        *handle = nextPhysical++;
        physicals[*handle] = {file, bytes, 0, false};
        return SUCCESS;
    });
}

EXPORT cuMemRelease(uint64_t handle) {
    return driver_call("cuMemRelease", RELEASES | UNSAFE_IN_CAPTURE, [&]() -> int {
        auto found = physicals.find(handle);
        if (found == physicals.end() || found->second.released)
            return wrong(INVALID_VALUE, "cuMemRelease: no such handle, or released already");
        found->second.released = true;
        drop_if_unused(handle);
        return SUCCESS;
    });
}

EXPORT cuMemMap(uint64_t address, size_t bytes, size_t offset, uint64_t handle,
                unsigned long long flags) {
    return driver_call("cuMemMap", UNSAFE_IN_CAPTURE, [&]() -> int {
        char* start;
        Reservation* reservation = reservation_of((void*)address, &start);
        auto found = physicals.find(handle);
        if (reservation == nullptr || (char*)address + bytes > start + reservation->bytes)
            return wrong(INVALID_VALUE, "cuMemMap: %p is not reserved that far", (void*)address);
        if (found == physicals.end() || found->second.released)
            return wrong(INVALID_VALUE, "cuMemMap: no such handle");
        if (offset != 0 || flags != 0 || bytes != found->second.bytes || address % GRANULARITY != 0)
            return wrong(INVALID_VALUE, "cuMemMap: offset, flags, size or alignment");
        for (auto& other : reservation->mappings)
            if ((char*)address < other.first + other.second.bytes &&
                other.first < (char*)address + bytes)
                return wrong(ALREADY_MAPPED, "cuMemMap: %p is mapped already", (void*)address);
        void* mapped =
            mmap((void*)address, bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, found->second.file, 0);
        if (mapped == MAP_FAILED) return OUT_OF_MEMORY;
        found->second.mappings++;
        reservation->mappings[(char*)address] = {bytes, handle, false};
        return SUCCESS;
    });
}

// Calls f(address, mapping) for the mappings that make up exactly the range; false if none do.
template <class F>
static bool for_range(uint64_t address, size_t bytes, F f) {
    char* start;
    Reservation* reservation = reservation_of((void*)address, &start);
    if (reservation == nullptr) return false;
    auto first = reservation->mappings.find((char*)address);
    char *at = (char*)address, *end = at + bytes;
    auto last = first;
    for (; last != reservation->mappings.end() && last->first == at && at < end; ++last)
        at += last->second.bytes;
    if (at != end || bytes == 0) return false;
    f(*reservation, first, last);
    return true;
}

EXPORT cuMemUnmap(uint64_t address, size_t bytes) {
    return driver_call("cuMemUnmap", RELEASES | UNSAFE_IN_CAPTURE, [&]() -> int {
        // Waits for nothing: work that still needs the memory faults when it runs.
        bool done = for_range(address, bytes, [](Reservation& reservation, auto first, auto last) {
            for (auto it = first; it != last; ++it) unmap(it->first, it->second);
            reservation.mappings.erase(first, last);
        });
        return done ? SUCCESS
                    : wrong(INVALID_VALUE, "cuMemUnmap: %zu bytes at %p are not whole mappings",
                            bytes, (void*)address);
    });
}

struct AccessDescription {
    int locationType, locationId, flags;
};

EXPORT cuMemSetAccess(uint64_t address, size_t bytes, const AccessDescription* d, size_t count) {
    return driver_call("cuMemSetAccess", UNSAFE_IN_CAPTURE, [&]() -> int {
        if (d == nullptr || count != 1 || d->locationType != 1 || d->locationId != 0)
            return wrong(INVALID_VALUE, "cuMemSetAccess: the description names no device here");
        if (d->flags != 0 && d->flags != 1 && d->flags != 3)
            return wrong(INVALID_VALUE, "cuMemSetAccess: flags %d", d->flags);
        int protection = d->flags == 3 ? PROT_READ | PROT_WRITE : d->flags == 1 ? PROT_READ : 0;
        bool done = for_range(address, bytes, [&](Reservation&, auto first, auto last) {
            for (auto it = first; it != last; ++it) {
                mprotect(it->first, it->second.bytes, protection);
                it->second.access = d->flags == 3;
            }
        });
        return done ? SUCCESS
                    : wrong(INVALID_VALUE, "cuMemSetAccess: %zu bytes at %p are not mapped", bytes,
                            (void*)address);
    });
}

// ---- Copies and fills.

EXPORT cuMemcpyHtoD_v2(uint64_t to, const void* from, size_t bytes) {
    return driver_call("cuMemcpyHtoD_v2", UNSAFE_IN_CAPTURE, [&] {
        return copy_now("cuMemcpyHtoD", (void*)to, from, bytes, true, false);
    });
}

EXPORT cuMemcpyDtoH_v2(void* to, uint64_t from, size_t bytes) {
    return driver_call("cuMemcpyDtoH_v2", UNSAFE_IN_CAPTURE, [&] {
        return copy_now("cuMemcpyDtoH", to, (void*)from, bytes, false, true);
    });
}

EXPORT cuMemcpyDtoD_v2(uint64_t to, uint64_t from, size_t bytes) {
    // As in the driver, the host does not wait for it.
    return driver_call("cuMemcpyDtoD_v2", UNSAFE_IN_CAPTURE, [&] {
        return copy_async("cuMemcpyDtoD", (void*)to, (void*)from, bytes, false, false, nullptr);
    });
}

EXPORT cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void* stream) {
    return driver_call("cuMemcpyHtoDAsync_v2", PLAIN, [&] {
        return copy_async("cuMemcpyHtoDAsync", (void*)to, from, bytes, true, false, stream);
    });
}

EXPORT cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void* stream) {
    return driver_call("cuMemcpyDtoHAsync_v2", PLAIN, [&] {
        return copy_async("cuMemcpyDtoHAsync", to, (void*)from, bytes, false, true, stream);
    });
}

EXPORT cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void* stream) {
    return driver_call("cuMemcpyDtoDAsync_v2", PLAIN, [&] {
        return copy_async("cuMemcpyDtoDAsync", (void*)to, (void*)from, bytes, false, false, stream);
    });
}

static bool is_host(uint64_t address) { return !points_into_memory((void*)address); }

EXPORT cuMemcpy(uint64_t to, uint64_t from, size_t bytes) {
    return driver_call("cuMemcpy", UNSAFE_IN_CAPTURE, [&] {
        return copy_now("cuMemcpy", (void*)to, (void*)from, bytes, is_host(from), is_host(to));
    });
}

EXPORT cuMemcpyAsync(uint64_t to, uint64_t from, size_t bytes, void* stream) {
    return driver_call("cuMemcpyAsync", PLAIN, [&] {
        return copy_async("cuMemcpyAsync", (void*)to, (void*)from, bytes, is_host(from),
                          is_host(to), stream);
    });
}

#define FILL(BITS, T)                                                                          \
    EXPORT cuMemsetD##BITS##_v2(uint64_t to, T value, size_t count) {                          \
        return driver_call("cuMemsetD" #BITS "_v2", UNSAFE_IN_CAPTURE,                         \
                           [&] { return set("cuMemsetD" #BITS, to, value, count, nullptr); }); \
    }                                                                                          \
    EXPORT cuMemsetD##BITS##Async(uint64_t to, T value, size_t count, void* stream) {          \
        return driver_call("cuMemsetD" #BITS "Async", PLAIN, [&] {                             \
            return set("cuMemsetD" #BITS "Async", to, value, count, stream);                   \
        });                                                                                    \
    }
FILL(8, unsigned char)
FILL(16, unsigned short)
FILL(32, unsigned)

// ---- What tests call.

// How much memory the device has from now on.
extern "C" void standin_memory(size_t total) { totalBytes = total; }

// Bytes of device memory that are taken: every allocation rounded up to 256 bytes.
extern "C" size_t standin_used() { return usedBytes; }

// The most that was ever taken since the last call with a reset.
extern "C" size_t standin_peak(int reset) {
    size_t peak = peakBytes;
    if (reset) peakBytes = usedBytes;
    return peak;
}
