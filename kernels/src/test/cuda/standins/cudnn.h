// What the two halves of the stand-in of cuDNN 9 share. A test double.
#pragma once
#include "convolution.h"
#include "stand_in.h"

namespace stand_in_cudnn {

enum Cudnn {
    OK = 0,
    NOT_READY_YET = 1001,
    BAD_PARAM = 2000,
    BAD_NULL = 2002,
    MISALIGNED = 2003,
    UNSUPPORTED = 3000,
    INTERNAL = 4000,
    DEVICE_ALLOCATION_FAILED = 4004,
    EXECUTION_FAILED = 5000,
};

constexpr int DATA_FLOAT = 0, DATA_BFLOAT16 = 9;
constexpr int CROSS_CORRELATION = 1;

struct Handle {
    void* stream = nullptr;
};

int translated(int driverStatus);
int cudnn_call(const char* name, unsigned traits, const std::function<int()>& body);
bool is_handle(void* handle);
std::string graph_leaks();

// Whether an operand may lie there: 16-byte alignment, as its fast engines want. Says so if not.
bool placed(const char* name, const char* operand, const void* address);

// While work runs: whether the operand's memory is there; ends the work if not.
bool present(const std::string& name, const char* operand, const void* address, size_t bytes);

// While work runs: writes over a workspace, in which nobody else may keep anything.
bool scribbled(const std::string& name, void* workspace, size_t bytes);

}  // namespace stand_in_cudnn
