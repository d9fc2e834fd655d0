// Stand-in of libcuda.so.1: devices, contexts, modules and launches of the real kernels on the
// host. A test double: it says it is an H200 where the backend looks, and nothing about speed or
// numbers rests on it.
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <set>

#include "stand_in.h"

// kernels_on_host.cpp
extern "C" const char* kernel_name(int index);
extern "C" int kernel_parameters(const char* name, int* sizes, int* pointers);
extern "C" const char* launch_kernel(const char* name, unsigned x, unsigned y, unsigned threads,
                                     void** arguments, int count, uint64_t seed,
                                     int cooperative);

namespace stand_in {

constexpr int THREADS = 256;
constexpr int MAX_PARAMETERS = 64;
constexpr int MAX_DYNAMIC_SHARED_BYTES = 8;  // attribute of a function
constexpr int MAX_SHARED_OF_BLOCK = 97;      // attribute of a device
constexpr int BLOCKS_OF_MULTIPROCESSOR = 2048 / THREADS;  // of any kernel

struct Context {
    int users;
};

static bool initialized = false;
static Context primary{0};
static std::set<Context*> created;
static thread_local std::vector<Context*> current;
std::string leftBehind;

static std::map<int, int> attributes = {
    {1, 1024},  // threads per block
    {2, 1024},      {3, 1024},  {4, 64},      {5, 2147483647},
    {6, 65535},     {7, 65535}, {8, 49152},                   // shared memory per block
    {10, 32},                                                 // warp
    {12, 65536},                                              // registers per block
    {13, 1980000},                                            // clock, kHz
    {16, 132},                                                // multiprocessors
    {18, 0},                                                  // integrated
    {19, 1},                                                  // maps host memory
    {20, 0},                                                  // compute mode: default
    {31, 1},                                                  // concurrent kernels
    {32, 1},                                                  // ECC
    {33, 1},        {34, 0},    {50, 0},      {36, 3201000},  // memory clock, kHz
    {37, 6144},                                               // memory bus, bits
    {38, 62914560},                                           // level 2 cache
    {39, 2048},                                               // threads per multiprocessor
    {40, 3},                                                  // copy engines
    {41, 1},                                                  // unified addresses
    {75, 9},        {76, 0},                                  // compute capability
    {81, 233472},                                             // shared memory per multiprocessor
    {82, 65536},    {95, 1},    {97, 65536},                  // shared memory per block on request
    {102, 1},                                                 // virtual memory management
    {106, 32},      {111, 1024},                              // blocks per multiprocessor; their due
    {115, 1},                                                 // memory pools
};

static bool lives(Context* context) {
    return context == &primary ? primary.users > 0 : created.count(context) > 0;
}

void* this_context() {
    return initialized && !current.empty() && lives(current.back()) ? current.back() : nullptr;
}

static void gone() {
    if (primary.users > 0 || !created.empty()) return;
    list_memory(leftBehind);
    list_streams(leftBehind);
    list_modules(leftBehind);
    destroy_streams();
    destroy_memory();
    destroy_modules();
    forget_sticky();
}

struct Module {
    std::string image;
    bool destroyed = false;
};

struct Function {
    std::string name;
    Module* module;
    std::vector<int> sizes;
    std::vector<bool> pointers;
    unsigned sharedBytes = 0;  // that a launch may ask for
};

static std::set<Module*> modules;
static std::set<Function*> functions;

void list_modules(std::string& text) {
    size_t count = 0;
    for (Module* module : modules) count += !module->destroyed;
    if (count > 0) text += std::to_string(count) + " modules\n";
}

void destroy_modules() {
    for (Module* module : modules) module->destroyed = true;
}

static int no_device(const char* name, int device) {
    return wrong(INVALID_DEVICE, "%s: there is no device %d", name, device);
}

// The name without the types at its end, as it stands in the source: relu for relu_bf16.
static std::string stem(std::string name) {
    for (const char* end : {"_f32_to_bf16", "_bf16_to_f32", "_f32", "_bf16"}) {
        size_t length = strlen(end);
        if (name.size() > length && name.compare(name.size() - length, length, end) == 0)
            return name.substr(0, name.size() - length);
    }
    return name;
}

}  // namespace stand_in

using namespace stand_in;

#define EXPORT extern "C" int

// What is called before cuInit says so.
static int early_call(const char* name, const std::function<int()>& body) {
    return driver_call(name, ANYWHERE, [&]() -> int {
        return initialized ? body() : wrong(NOT_INITIALIZED, "%s before cuInit", name);
    });
}

EXPORT cuInit(unsigned flags) {
    return driver_call("cuInit", ANYWHERE, [&]() -> int {
        if (flags != 0) return wrong(INVALID_VALUE, "cuInit: flags");
        initialized = true;
        return SUCCESS;
    });
}

EXPORT cuDriverGetVersion(int* version) {
    return driver_call("cuDriverGetVersion", ANYWHERE, [&]() -> int {
        *version = 12060;
        return SUCCESS;
    });
}

EXPORT cuDeviceGetCount(int* count) {
    return early_call("cuDeviceGetCount", [&]() -> int {
        *count = 1;
        return SUCCESS;
    });
}

EXPORT cuDeviceGet(int* device, int ordinal) {
    return early_call("cuDeviceGet", [&]() -> int {
        if (ordinal != 0) return no_device("cuDeviceGet", ordinal);
        *device = 0;
        return SUCCESS;
    });
}

EXPORT cuDeviceGetName(char* name, int length, int device) {
    return early_call("cuDeviceGetName", [&]() -> int {
        if (device != 0) return no_device("cuDeviceGetName", device);
        snprintf(name, (size_t)length, "Stand-in for a GPU (host)");
        return SUCCESS;
    });
}

EXPORT cuDeviceGetUuid(unsigned char* uuid, int device) {
    return early_call("cuDeviceGetUuid", [&]() -> int {
        if (device != 0) return no_device("cuDeviceGetUuid", device);
        for (int i = 0; i < 16; i++) uuid[i] = (unsigned char)i;
        return SUCCESS;
    });
}

EXPORT cuDeviceGetPCIBusId(char* text, int length, int device) {
    return early_call("cuDeviceGetPCIBusId", [&]() -> int {
        if (device != 0) return no_device("cuDeviceGetPCIBusId", device);
        snprintf(text, (size_t)length, "0000:01:00.0");
        return SUCCESS;
    });
}

EXPORT cuDeviceGetAttribute(int* value, int attribute, int device) {
    return early_call("cuDeviceGetAttribute", [&]() -> int {
        if (device != 0) return no_device("cuDeviceGetAttribute", device);
        auto found = attributes.find(attribute);
        if (found == attributes.end())
            return wrong(INVALID_VALUE, "cuDeviceGetAttribute: %d has no stand-in", attribute);
        *value = found->second;
        return SUCCESS;
    });
}

EXPORT cuDeviceComputeCapability(int* major, int* minor, int) {
    *major = attributes[75];
    *minor = attributes[76];
    return SUCCESS;
}

// ---- Contexts. What belongs to a context is what all of them share: they are told apart only to
// see that calls are made with one, and when the last has gone.

EXPORT cuDevicePrimaryCtxRetain(void** context, int device) {
    return early_call("cuDevicePrimaryCtxRetain", [&]() -> int {
        if (device != 0) return no_device("cuDevicePrimaryCtxRetain", device);
        primary.users++;
        *context = &primary;
        return SUCCESS;
    });
}

EXPORT cuDevicePrimaryCtxRelease_v2(int device) {
    return driver_call("cuDevicePrimaryCtxRelease_v2", ANYWHERE | RELEASES, [&]() -> int {
        if (device != 0) return no_device("cuDevicePrimaryCtxRelease", device);
        if (primary.users == 0)
            return wrong(INVALID_CONTEXT, "cuDevicePrimaryCtxRelease: not retained");
        if (--primary.users == 0) gone();
        return SUCCESS;
    });
}

EXPORT cuDevicePrimaryCtxReset_v2(int) {
    return driver_call("cuDevicePrimaryCtxReset_v2", ANYWHERE, [&]() -> int {
        return wrong(NOT_SUPPORTED, "cuDevicePrimaryCtxReset would take others' memory away");
    });
}

EXPORT cuDevicePrimaryCtxGetState(int, unsigned* flags, int* active) {
    return early_call("cuDevicePrimaryCtxGetState", [&]() -> int {
        *flags = 0;
        *active = primary.users > 0;
        return SUCCESS;
    });
}

EXPORT cuDevicePrimaryCtxSetFlags_v2(int, unsigned) {
    return early_call("cuDevicePrimaryCtxSetFlags_v2", [] { return (int)SUCCESS; });
}

EXPORT cuCtxCreate_v2(void** context, unsigned, int device) {
    return early_call("cuCtxCreate_v2", [&]() -> int {
        if (device != 0) return no_device("cuCtxCreate", device);
        Context* made = new Context{1};
        created.insert(made);
        current.push_back(made);
        *context = made;
        return SUCCESS;
    });
}

EXPORT cuCtxDestroy_v2(void* context) {
    return driver_call("cuCtxDestroy_v2", ANYWHERE | RELEASES, [&]() -> int {
        if (created.erase((Context*)context) == 0)
            return wrong(INVALID_CONTEXT, "cuCtxDestroy: no context made by cuCtxCreate");
        if (!current.empty() && current.back() == context) current.pop_back();
        gone();
        return SUCCESS;
    });
}

EXPORT cuCtxSetCurrent(void* context) {
    return early_call("cuCtxSetCurrent", [&]() -> int {
        if (context != nullptr && !lives((Context*)context))
            return wrong(INVALID_CONTEXT, "cuCtxSetCurrent: %p is no context", context);
        if (!current.empty()) current.pop_back();
        if (context != nullptr) current.push_back((Context*)context);
        return SUCCESS;
    });
}

EXPORT cuCtxGetCurrent(void** context) {
    return early_call("cuCtxGetCurrent", [&]() -> int {
        *context = current.empty() ? nullptr : current.back();
        return SUCCESS;
    });
}

EXPORT cuCtxPushCurrent_v2(void* context) {
    return early_call("cuCtxPushCurrent_v2", [&]() -> int {
        if (!lives((Context*)context))
            return wrong(INVALID_CONTEXT, "cuCtxPushCurrent: %p is no context", context);
        current.push_back((Context*)context);
        return SUCCESS;
    });
}

EXPORT cuCtxPopCurrent_v2(void** context) {
    return early_call("cuCtxPopCurrent_v2", [&]() -> int {
        if (current.empty()) return wrong(INVALID_CONTEXT, "cuCtxPopCurrent: none is current");
        if (context != nullptr) *context = current.back();
        current.pop_back();
        return SUCCESS;
    });
}

EXPORT cuCtxGetDevice(int* device) {
    return driver_call("cuCtxGetDevice", PLAIN, [&]() -> int {
        *device = 0;
        return SUCCESS;
    });
}

EXPORT cuCtxGetApiVersion(void*, unsigned* version) {
    *version = 3020;
    return SUCCESS;
}

// ---- Modules: any image that the stand-in of NVRTC made, or that nvcc did, holds the kernels of
// the sources it was made from.

static int load(const char* name, void** handle, const void* image) {
    return driver_call(name, UNSAFE_IN_CAPTURE, [&]() -> int {
        if (image == nullptr) return wrong(INVALID_VALUE, "%s: no image", name);
        unsigned magic;
        memcpy(&magic, image, sizeof magic);
        Module* module = new Module;
        const char* text = (const char*)image;
        if (magic == 0xBA55ED50 || magic == 0x464C457F) {
            // A fat binary or an ELF file: made by the real compiler from all sources.
        } else if (strncmp(text, "// stand-in of NVRTC\n", 21) == 0) {
            module->image = text;
        } else {
            delete module;
            return wrong(INVALID_IMAGE, "%s: neither a binary of nvcc nor made by the stand-in",
                         name);
        }
        modules.insert(module);
        *handle = module;
        return SUCCESS;
    });
}

EXPORT cuModuleLoadData(void** module, const void* image) {
    return load("cuModuleLoadData", module, image);
}

EXPORT cuModuleLoadDataEx(void** module, const void* image, unsigned, int*, void**) {
    return load("cuModuleLoadDataEx", module, image);
}

EXPORT cuModuleLoadFatBinary(void** module, const void* image) {
    return load("cuModuleLoadFatBinary", module, image);
}

EXPORT cuModuleUnload(void* handle) {
    return driver_call("cuModuleUnload", RELEASES | UNSAFE_IN_CAPTURE, [&]() -> int {
        Module* module = (Module*)handle;
        if (!modules.count(module) || module->destroyed)
            return wrong(INVALID_HANDLE, "cuModuleUnload: %p is no module", handle);
        synchronize_everything();
        module->destroyed = true;
        return SUCCESS;
    });
}

EXPORT cuModuleGetFunction(void** handle, void* moduleHandle, const char* name) {
    return driver_call("cuModuleGetFunction", PLAIN, [&]() -> int {
        Module* module = (Module*)moduleHandle;
        if (!modules.count(module) || module->destroyed)
            return wrong(INVALID_HANDLE, "cuModuleGetFunction: %p is no module", moduleHandle);
        int sizes[MAX_PARAMETERS], pointers[MAX_PARAMETERS];
        int count = kernel_parameters(name, sizes, pointers);
        bool inImage = module->image.empty() ||
                       module->image.find(stem(name) + "_") != std::string::npos ||
                       module->image.find(stem(name) + "(") != std::string::npos;
        if (count < 0 || !inImage)
            return wrong(NOT_FOUND, "cuModuleGetFunction: no kernel %s in this module", name);
        Function* function = new Function{name, module, {}, {}};
        for (int i = 0; i < count; i++) {
            function->sizes.push_back(sizes[i]);
            function->pointers.push_back(pointers[i] != 0);
        }
        functions.insert(function);
        *handle = function;
        return SUCCESS;
    });
}

EXPORT cuFuncGetAttribute(int* value, int attribute, void* function) {
    return driver_call("cuFuncGetAttribute", PLAIN, [&]() -> int {
        if (!functions.count((Function*)function))
            return wrong(INVALID_HANDLE, "cuFuncGetAttribute: no function");
        *value = attribute == 0 ? THREADS : attribute == 4 ? 32 : 0;
        return SUCCESS;
    });
}

EXPORT cuFuncSetAttribute(void* function, int attribute, int value) {
    return driver_call("cuFuncSetAttribute", PLAIN, [&]() -> int {
        if (!functions.count((Function*)function))
            return wrong(INVALID_HANDLE, "cuFuncSetAttribute: no function");
        if (attribute != MAX_DYNAMIC_SHARED_BYTES) return SUCCESS;
        if (value < 0 || value > attributes[MAX_SHARED_OF_BLOCK])
            return wrong(INVALID_VALUE, "cuFuncSetAttribute: %d bytes of shared memory", value);
        ((Function*)function)->sharedBytes = (unsigned)value;
        return SUCCESS;
    });
}

EXPORT cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void*, int threads, size_t) {
    return driver_call("cuOccupancyMaxActiveBlocksPerMultiprocessor", PLAIN, [&]() -> int {
        *blocks = BLOCKS_OF_MULTIPROCESSOR * THREADS / threads;
        return SUCCESS;
    });
}

// ---- Launches.

static int launch(Function* function, unsigned gridX, unsigned gridY, void* stream, void** from,
                  bool cooperative) {
    struct Values {
        std::vector<uint64_t> values;
        std::vector<void*> addresses;
    };
    // The driver copies the values before the call returns.
    auto held = std::make_shared<Values>();
    size_t count = function->sizes.size();
    std::vector<size_t> begins;
    for (int size : function->sizes) {
        begins.push_back(held->values.size());
        held->values.resize(held->values.size() + 2 * (((size_t)size + 15) / 16));
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(&held->values[begins[i]], from[i], (size_t)function->sizes[i]);
        held->addresses.push_back(&held->values[begins[i]]);
    }
    std::string name = function->name;
    std::vector<bool> pointers = function->pointers;
    return enqueue(stream, name, 3, [=] {
        for (size_t i = 0; i < count; i++) {
            void* pointer = *(void**)held->addresses[i];
            if (pointers[i] && pointer != nullptr && !points_into_memory(pointer)) {
                char text[200];
                snprintf(text, sizeof text, "%s: argument %zu, %p, is no memory of the device",
                         name.c_str(), i, pointer);
                work_failed(ILLEGAL_ADDRESS, text);
                return;
            }
        }
        const char* error = launch_kernel(name.c_str(), gridX, gridY, THREADS,
                                          held->addresses.data(), (int)count, below(1u << 31),
                                          cooperative);
        if (*error != 0) work_failed(LAUNCH_FAILED, name + ": " + error);
    });
}

static int checked_launch(const char* call, void* handle, unsigned gridX, unsigned gridY,
                          unsigned gridZ, unsigned blockX, unsigned blockY, unsigned blockZ,
                          unsigned shared, void* stream, void** values, bool cooperative) {
    Function* function = (Function*)handle;
    if (!functions.count(function) || function->module->destroyed)
        return wrong(INVALID_HANDLE, "%s: %p is no function", call, handle);
    const char* name = function->name.c_str();
    if (blockX != THREADS || blockY != 1 || blockZ != 1)
        return wrong(INVALID_VALUE, "%s: block (%u, %u, %u), kernels are made for 256 threads",
                     name, blockX, blockY, blockZ);
    if (gridX == 0 || gridX > 2147483647u || gridY == 0 || gridY > 65535 || gridZ != 1)
        return wrong(INVALID_VALUE, "%s: grid (%u, %u, %u)", name, gridX, gridY, gridZ);
    // Shared memory limits how many blocks a multiprocessor holds, too.
    const int fit = attributes[81] / ((int)shared + attributes[111]);
    unsigned long long most =
        (unsigned long long)std::min(BLOCKS_OF_MULTIPROCESSOR, fit) * attributes[16];
    if (cooperative && (unsigned long long)gridX * gridY > most)
        return wrong(COOPERATIVE_LAUNCH_TOO_LARGE, "%s: %u x %u blocks, the device holds %llu",
                     name, gridX, gridY, most);
    if (shared > function->sharedBytes)
        return wrong(INVALID_VALUE, "%s: %u bytes of shared memory, allowed are %u", name, shared,
                     function->sharedBytes);
    if (values == nullptr && !function->sizes.empty())
        return wrong(INVALID_VALUE, "%s: no arguments", name);
    for (size_t i = 0; i < function->sizes.size(); i++)
        if (values[i] == nullptr) return wrong(INVALID_VALUE, "%s: argument %zu", name, i);
    return launch(function, gridX, gridY, stream, values, cooperative);
}

EXPORT cuLaunchKernel(void* handle, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX,
                      unsigned blockY, unsigned blockZ, unsigned shared, void* stream,
                      void** values, void** extra) {
    return driver_call("cuLaunchKernel", PLAIN, [&]() -> int {
        if (extra != nullptr) return wrong(INVALID_VALUE, "cuLaunchKernel: extra arguments");
        return checked_launch("cuLaunchKernel", handle, gridX, gridY, gridZ, blockX, blockY,
                              blockZ, shared, stream, values, false);
    });
}

// In a capture it becomes a node like another: a graph that is replayed launches it as it was.
EXPORT cuLaunchCooperativeKernel(void* handle, unsigned gridX, unsigned gridY, unsigned gridZ,
                                 unsigned blockX, unsigned blockY, unsigned blockZ,
                                 unsigned shared, void* stream, void** values) {
    return driver_call("cuLaunchCooperativeKernel", PLAIN, [&]() -> int {
        return checked_launch("cuLaunchCooperativeKernel", handle, gridX, gridY, gridZ, blockX,
                              blockY, blockZ, shared, stream, values, true);
    });
}

// ---- Texts.

static const std::map<int, const char*> NAMES = {
    {SUCCESS, "CUDA_SUCCESS"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
    {ALREADY_MAPPED, "CUDA_ERROR_ALREADY_MAPPED"},
    {NOT_MAPPED, "CUDA_ERROR_NOT_MAPPED"},
    {ECC_UNCORRECTABLE, "CUDA_ERROR_ECC_UNCORRECTABLE"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
    {ILLEGAL_STATE, "CUDA_ERROR_ILLEGAL_STATE"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
    {NOT_READY, "CUDA_ERROR_NOT_READY"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
    {LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
    {CONTEXT_IS_DESTROYED, "CUDA_ERROR_CONTEXT_IS_DESTROYED"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
    {COOPERATIVE_LAUNCH_TOO_LARGE, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED"},
    {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
    {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
    {CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED"},
    {CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED"},
    {CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION"},
    {CAPTURE_IMPLICIT, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT"},
    {CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT"},
    {CAPTURE_WRONG_THREAD, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD"},
};

EXPORT cuGetErrorName(int status, const char** name) {
    auto found = NAMES.find(status);
    *name = found == NAMES.end() ? nullptr : found->second;
    return found == NAMES.end() ? INVALID_VALUE : SUCCESS;
}

EXPORT cuGetErrorString(int status, const char** text) {
    auto found = NAMES.find(status);
    *text = found == NAMES.end() ? nullptr : status == SUCCESS ? "no error" : "an error (stand-in)";
    return found == NAMES.end() ? INVALID_VALUE : SUCCESS;
}

// What a function without a stand-in does; the build makes a weak one of each that JCuda knows.
extern "C" int standin_missing(const char* name) {
    return wrong(NOT_SUPPORTED, "%s has no stand-in", name);
}

// ---- What tests call.

// What the device says of itself from now on.
extern "C" void standin_attribute(int attribute, int value) { attributes[attribute] = value; }
