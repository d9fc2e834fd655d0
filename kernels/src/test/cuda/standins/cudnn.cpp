// Stand-in of libcudnn.so.9: handles, descriptors and the classic convolutions, NHWC, float32 and
// bf16. Which algorithms exist and what workspace they want is made up, close to what the
// documentation says; the convolutions are plain loops. A test double: no speed and no numerical
// claim rests on it.
#include "cudnn.h"

#include <stdio.h>
#include <string.h>

#include <set>

using namespace stand_in;
using namespace stand_in_cudnn;

namespace stand_in_cudnn {

static std::set<Handle*> handles;

int translated(int status) {
    switch (status) {
        case SUCCESS:
            return OK;
        case OUT_OF_MEMORY:
            return DEVICE_ALLOCATION_FAILED;
        case INVALID_CONTEXT:
        case NOT_INITIALIZED:
            return NOT_READY_YET;
        case INVALID_VALUE:
        case INVALID_HANDLE:
            return BAD_PARAM;
        case stand_in::NOT_SUPPORTED:
            return UNSUPPORTED;
        default:
            return EXECUTION_FAILED;
    }
}

int cudnn_call(const char* name, unsigned traits, const std::function<int()>& body) {
    return call(name, traits, translated, body);
}

bool is_handle(void* handle) { return handles.count((Handle*)handle) > 0; }

bool placed(const char* name, const char* operand, const void* address) {
    if (address == nullptr) {
        wrong(BAD_NULL, "%s: no %s", name, operand);
        return false;
    }
    if ((size_t)address % 16 != 0) {
        wrong(MISALIGNED, "%s: %s lies at %p, which is not aligned to 16 bytes", name, operand,
              address);
        return false;
    }
    return true;
}

bool present(const std::string& name, const char* operand, const void* address, size_t bytes) {
    if (accessible(address, bytes, (name + ", " + operand).c_str())) return true;
    work_failed(ILLEGAL_ADDRESS, name + ": the memory of " + operand + " is not there");
    return false;
}

bool scribbled(const std::string& name, void* workspace, size_t bytes) {
    if (bytes == 0) return true;
    if (!present(name, "the workspace", workspace, bytes)) return false;
    memset(workspace, 0xFF, bytes);
    return true;
}

}  // namespace stand_in_cudnn

struct Tensor {
    bool set = false;
    int type, n, c, h, w;
    size_t elements() const { return (size_t)n * c * h * w; }
    size_t bytes() const { return elements() * (type == DATA_BFLOAT16 ? 2 : 4); }
};

struct Filter : Tensor {};  // n filters, c channels, h rows, w columns

struct Window {
    bool set = false;
    int padH, padW, strideH, strideW, dilationH, dilationW;
    int groups = 1, mathType = 0;
};

static std::set<Tensor*> tensors;
static std::set<Filter*> filters;
static std::set<Window*> windows;

#define EXPORT extern "C" int

extern "C" size_t cudnnGetVersion() { return 90501; }
extern "C" size_t cudnnGetCudartVersion() { return 12060; }

EXPORT cudnnGetProperty(int which, int* value) {
    const int version[] = {9, 5, 1};
    *value = which >= 0 && which < 3 ? version[which] : 0;
    return OK;
}

extern "C" const char* cudnnGetErrorString(int status) {
    switch (status) {
        case OK:
            return "CUDNN_STATUS_SUCCESS";
        case NOT_READY_YET:
            return "CUDNN_STATUS_NOT_INITIALIZED";
        case BAD_PARAM:
            return "CUDNN_STATUS_BAD_PARAM";
        case BAD_NULL:
            return "CUDNN_STATUS_BAD_PARAM_NULL_POINTER";
        case MISALIGNED:
            return "CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER";
        case UNSUPPORTED:
            return "CUDNN_STATUS_NOT_SUPPORTED";
        case DEVICE_ALLOCATION_FAILED:
            return "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED";
        case EXECUTION_FAILED:
            return "CUDNN_STATUS_EXECUTION_FAILED";
        default:
            return "CUDNN_STATUS_INTERNAL_ERROR";
    }
}

// ---- Handles.

EXPORT cudnnCreate(Handle** handle) {
    // As the real one may: what it allocates and loads, it may wait for the device to see done.
    return cudnn_call("cudnnCreate", UNSAFE_IN_CAPTURE | WAITS_FOR_DEVICE, [&] {
        *handle = new Handle;
        handles.insert(*handle);
        return (int)OK;
    });
}

EXPORT cudnnDestroy(Handle* handle) {
    constexpr unsigned TRAITS = RELEASES | UNSAFE_IN_CAPTURE | WAITS_FOR_DEVICE;
    return cudnn_call("cudnnDestroy", TRAITS, [&]() -> int {
        if (!handles.erase(handle)) return wrong(BAD_PARAM, "cudnnDestroy: no handle");
        synchronize_everything();
        delete handle;
        return OK;
    });
}

static int with(const char* name, Handle* handle, const std::function<int()>& body) {
    return cudnn_call(name, PLAIN, [&]() -> int {
        return is_handle(handle) ? body() : wrong(BAD_PARAM, "%s: no handle", name);
    });
}

EXPORT cudnnSetStream(Handle* handle, void* stream) {
    return with("cudnnSetStream", handle, [&]() -> int {
        if (!is_stream(stream)) return wrong(BAD_PARAM, "cudnnSetStream: %p is no stream", stream);
        handle->stream = stream;
        return OK;
    });
}

EXPORT cudnnGetStream(Handle* handle, void** stream) {
    return with("cudnnGetStream", handle, [&] {
        *stream = handle->stream;
        return (int)OK;
    });
}

// ---- Descriptors: they live on the host, and need no device.

template <class T>
static int create(const char* name, std::set<T*>& all, T** handle) {
    return cudnn_call(name, ANYWHERE, [&] {
        *handle = new T;
        all.insert(*handle);
        return (int)OK;
    });
}

template <class T>
static int destroy(const char* name, std::set<T*>& all, T* handle) {
    return cudnn_call(name, ANYWHERE | RELEASES, [&]() -> int {
        if (!all.erase(handle)) return wrong(BAD_PARAM, "%s: no such descriptor", name);
        delete handle;
        return OK;
    });
}

EXPORT cudnnCreateTensorDescriptor(Tensor** d) {
    return create("cudnnCreateTensorDescriptor", tensors, d);
}
EXPORT cudnnDestroyTensorDescriptor(Tensor* d) {
    return destroy("cudnnDestroyTensorDescriptor", tensors, d);
}
EXPORT cudnnCreateFilterDescriptor(Filter** d) {
    return create("cudnnCreateFilterDescriptor", filters, d);
}
EXPORT cudnnDestroyFilterDescriptor(Filter* d) {
    return destroy("cudnnDestroyFilterDescriptor", filters, d);
}
EXPORT cudnnCreateConvolutionDescriptor(Window** d) {
    return create("cudnnCreateConvolutionDescriptor", windows, d);
}
EXPORT cudnnDestroyConvolutionDescriptor(Window* d) {
    return destroy("cudnnDestroyConvolutionDescriptor", windows, d);
}

static int fill(const char* name, Tensor* d, int format, int type, int n, int c, int h, int w) {
    if (format != 1) return wrong(UNSUPPORTED, "%s: only NHWC has a stand-in", name);
    if (type != DATA_FLOAT && type != DATA_BFLOAT16)
        return wrong(UNSUPPORTED, "%s: type %d has no stand-in", name, type);
    if (n <= 0 || c <= 0 || h <= 0 || w <= 0)
        return wrong(BAD_PARAM, "%s: extents %d, %d, %d, %d", name, n, c, h, w);
    if ((double)n * c * h * w > 2147483647.0)
        return wrong(UNSUPPORTED, "%s: more than 2^31 - 1 elements", name);
    d->set = true;
    d->type = type;
    d->n = n;
    d->c = c;
    d->h = h;
    d->w = w;
    return OK;
}

EXPORT cudnnSetTensor4dDescriptor(Tensor* d, int format, int type, int n, int c, int h, int w) {
    return cudnn_call("cudnnSetTensor4dDescriptor", ANYWHERE, [&]() -> int {
        if (!tensors.count(d)) return wrong(BAD_PARAM, "cudnnSetTensor4dDescriptor: none");
        return fill("cudnnSetTensor4dDescriptor", d, format, type, n, c, h, w);
    });
}

EXPORT cudnnSetFilter4dDescriptor(Filter* d, int type, int format, int k, int c, int h, int w) {
    return cudnn_call("cudnnSetFilter4dDescriptor", ANYWHERE, [&]() -> int {
        if (!filters.count(d)) return wrong(BAD_PARAM, "cudnnSetFilter4dDescriptor: none");
        return fill("cudnnSetFilter4dDescriptor", d, format, type, k, c, h, w);
    });
}

EXPORT cudnnSetConvolution2dDescriptor(Window* d, int padH, int padW, int strideH, int strideW,
                                       int dilationH, int dilationW, int mode, int type) {
    return cudnn_call("cudnnSetConvolution2dDescriptor", ANYWHERE, [&]() -> int {
        if (!windows.count(d)) return wrong(BAD_PARAM, "cudnnSetConvolution2dDescriptor: none");
        if (padH < 0 || padW < 0 || strideH < 1 || strideW < 1 || dilationH < 1 || dilationW < 1)
            return wrong(BAD_PARAM, "cudnnSetConvolution2dDescriptor: padding, stride, dilation");
        if (mode != CROSS_CORRELATION || type != DATA_FLOAT)
            return wrong(UNSUPPORTED, "cudnnSetConvolution2dDescriptor: mode %d, type %d", mode,
                         type);
        *d = Window{true, padH, padW, strideH, strideW, dilationH, dilationW};
        return OK;
    });
}

EXPORT cudnnSetConvolutionGroupCount(Window* d, int groups) {
    return cudnn_call("cudnnSetConvolutionGroupCount", ANYWHERE, [&]() -> int {
        if (!windows.count(d) || groups < 1)
            return wrong(BAD_PARAM, "cudnnSetConvolutionGroupCount: %d", groups);
        d->groups = groups;
        return OK;
    });
}

EXPORT cudnnSetConvolutionMathType(Window* d, int type) {
    return cudnn_call("cudnnSetConvolutionMathType", ANYWHERE, [&]() -> int {
        if (!windows.count(d) || type < 0 || type > 3)
            return wrong(BAD_PARAM, "cudnnSetConvolutionMathType: %d", type);
        d->mathType = type;
        return OK;
    });
}

// ---- Convolutions.

static bool consistent(const char* name, Handle* handle, const Tensor* x, const Filter* w,
                       const Window* window, const Tensor* y, ConvolutionShape* shape) {
    if (!is_handle(handle) || !tensors.count((Tensor*)x) || !filters.count((Filter*)w) ||
        !windows.count((Window*)window) || !tensors.count((Tensor*)y) || !x->set || !w->set ||
        !window->set || !y->set) {
        wrong(BAD_PARAM, "%s: a handle or descriptor is none, or not set", name);
        return false;
    }
    ConvolutionShape s{x->n,
                       x->c,
                       x->h,
                       x->w,
                       w->n,
                       y->h,
                       y->w,
                       w->h,
                       w->w,
                       window->padH,
                       window->padW,
                       window->strideH,
                       window->strideW,
                       window->dilationH,
                       window->dilationW,
                       window->groups};
    int p = (s.h + 2 * s.padH - ((s.r - 1) * s.dilationH + 1)) / s.strideH + 1;
    int q = (s.w + 2 * s.padW - ((s.s - 1) * s.dilationW + 1)) / s.strideW + 1;
    if (x->c % s.groups != 0 || w->n % s.groups != 0 || w->c != x->c / s.groups || y->c != w->n ||
        y->n != x->n || y->h != p || y->w != q) {
        wrong(
            BAD_PARAM,
            "%s: x (%d, %d, %d, %d), weight (%d, %d, %d, %d) and y (%d, %d, %d, %d) do not fit: y "
            "should have %d rows and %d columns, %d groups",
            name, x->n, x->c, x->h, x->w, w->n, w->c, w->h, w->w, y->n, y->c, y->h, y->w, p, q,
            s.groups);
        return false;
    }
    if (x->type != w->type || x->type != y->type) {
        wrong(BAD_PARAM, "%s: types %d, %d, %d", name, x->type, w->type, y->type);
        return false;
    }
    *shape = s;
    return true;
}

// Made up, odd sizes included; -1 where an algorithm does not exist for NHWC.
static long long workspace_of(Direction direction, int algorithm, const ConvolutionShape& s) {
    if (algorithm == 0) return 0;
    if (algorithm != 1) return -1;
    switch (direction) {
        case Direction::FORWARD:
            return 4LL * s.r * s.s * s.c + 52;
        case Direction::INPUT_GRADIENT:
            return (long long)s.w_elements() * 4 + 4;
        default:
            return (long long)s.w_elements() * 8 + 12;
    }
}

static int workspace_size(const char* name, Direction direction, Handle* handle, const Tensor* x,
                          const Filter* w, const Window* window, const Tensor* y, int algorithm,
                          size_t* bytes) {
    return cudnn_call(name, PLAIN, [&]() -> int {
        ConvolutionShape shape;
        if (!consistent(name, handle, x, w, window, y, &shape)) return BAD_PARAM;
        long long size = workspace_of(direction, algorithm, shape);
        if (size < 0) return UNSUPPORTED;
        *bytes = (size_t)size;
        return OK;
    });
}

EXPORT cudnnGetConvolutionForwardWorkspaceSize(Handle* h, Tensor* x, Filter* w, Window* c,
                                               Tensor* y, int algorithm, size_t* bytes) {
    return workspace_size("cudnnGetConvolutionForwardWorkspaceSize", Direction::FORWARD, h, x, w, c,
                          y, algorithm, bytes);
}
EXPORT cudnnGetConvolutionBackwardDataWorkspaceSize(Handle* h, Filter* w, Tensor* y, Window* c,
                                                    Tensor* x, int algorithm, size_t* bytes) {
    return workspace_size("cudnnGetConvolutionBackwardDataWorkspaceSize", Direction::INPUT_GRADIENT,
                          h, x, w, c, y, algorithm, bytes);
}
EXPORT cudnnGetConvolutionBackwardFilterWorkspaceSize(Handle* h, Tensor* x, Tensor* y, Window* c,
                                                      Filter* w, int algorithm, size_t* bytes) {
    return workspace_size("cudnnGetConvolutionBackwardFilterWorkspaceSize",
                          Direction::WEIGHT_GRADIENT, h, x, w, c, y, algorithm, bytes);
}

static bool overlap(const void* a, size_t aBytes, const void* b, size_t bBytes) {
    return (const char*)a < (const char*)b + bBytes && (const char*)b < (const char*)a + aBytes;
}

static int convolution(const char* name, Direction direction, Handle* handle, const float* alpha,
                       const Tensor* x, const Filter* w, const Window* window, const Tensor* y,
                       const Tensor* firstTensor, const void* first, const Tensor* secondTensor,
                       const void* second, int algorithm, void* workspace, size_t workspaceBytes,
                       const float* beta, const Tensor* resultTensor, void* result) {
    return cudnn_call(name, PLAIN, [&]() -> int {
        ConvolutionShape shape;
        if (!consistent(name, handle, x, w, window, y, &shape)) return BAD_PARAM;
        long long needed = workspace_of(direction, algorithm, shape);
        if (needed < 0) return wrong(UNSUPPORTED, "%s: algorithm %d", name, algorithm);
        if ((long long)workspaceBytes < needed || (needed > 0 && workspace == nullptr))
            return wrong(BAD_PARAM, "%s: a workspace of %zu bytes at %p where %lld are needed",
                         name, workspaceBytes, workspace, needed);
        if (!placed(name, "the first operand", first) ||
            !placed(name, "the second operand", second) || !placed(name, "the result", result))
            return MISALIGNED;
        size_t firstBytes = firstTensor->bytes(), secondBytes = secondTensor->bytes(),
               resultBytes = resultTensor->bytes();
        if (overlap(first, firstBytes, result, resultBytes) ||
            overlap(second, secondBytes, result, resultBytes) ||
            (needed > 0 && (overlap(workspace, needed, first, firstBytes) ||
                            overlap(workspace, needed, second, secondBytes) ||
                            overlap(workspace, needed, result, resultBytes))))
            return wrong(BAD_PARAM, "%s: operands, result and workspace overlap", name);
        bool bf16 = x->type == DATA_BFLOAT16;
        // 3 is FMA: float32 without tensor cores.
        bool tf32 = !bf16 && window->mathType != 3;
        Array a{(void*)first, bf16, tf32}, b{(void*)second, bf16, tf32}, c{result, bf16};
        float scale = *alpha, old = *beta;
        size_t elements = resultTensor->elements();
        // As documented of the enumerations.
        bool atomics = algorithm == 0 && direction != Direction::FORWARD;
        double cost = 5 + shape.flops() / (algorithm == 1 ? 3e7 : 2e7);
        std::string label = name;
        return translated(enqueue(handle->stream, label, cost, [=] {
            if (!present(label, "the first operand", first, firstBytes) ||
                !present(label, "the second operand", second, secondBytes) ||
                !present(label, "the result", result, resultBytes) ||
                !scribbled(label, workspace, (size_t)needed))
                return;
            std::vector<double> sums = convolve(shape, direction, a, b);
            for (size_t i = 0; i < elements; i++) {
                double sum = scale * (atomics ? disturbed(sums[i]) : sums[i]);
                // beta = 0 does not read what is there, which may be anything.
                c.set(i, old == 0 ? sum : sum + old * c.get(i));
            }
        }));
    });
}

EXPORT cudnnConvolutionForward(Handle* h, const float* alpha, Tensor* xd, const void* x, Filter* wd,
                               const void* w, Window* c, int algorithm, void* workspace,
                               size_t bytes, const float* beta, Tensor* yd, void* y) {
    return convolution("cudnnConvolutionForward", Direction::FORWARD, h, alpha, xd, wd, c, yd, xd,
                       x, wd, w, algorithm, workspace, bytes, beta, yd, y);
}
EXPORT cudnnConvolutionBackwardData(Handle* h, const float* alpha, Filter* wd, const void* w,
                                    Tensor* yd, const void* dy, Window* c, int algorithm,
                                    void* workspace, size_t bytes, const float* beta, Tensor* xd,
                                    void* dx) {
    return convolution("cudnnConvolutionBackwardData", Direction::INPUT_GRADIENT, h, alpha, xd, wd,
                       c, yd, yd, dy, wd, w, algorithm, workspace, bytes, beta, xd, dx);
}
EXPORT cudnnConvolutionBackwardFilter(Handle* h, const float* alpha, Tensor* xd, const void* x,
                                      Tensor* yd, const void* dy, Window* c, int algorithm,
                                      void* workspace, size_t bytes, const float* beta, Filter* wd,
                                      void* dw) {
    return convolution("cudnnConvolutionBackwardFilter", Direction::WEIGHT_GRADIENT, h, alpha, xd,
                       wd, c, yd, xd, x, yd, dy, algorithm, workspace, bytes, beta, wd, dw);
}

extern "C" const char* standin_cudnn_leaks() {
    static std::string text;
    text.clear();
    if (!handles.empty()) text += std::to_string(handles.size()) + " cuDNN handles\n";
    size_t descriptors = tensors.size() + filters.size() + windows.size();
    if (descriptors > 0) text += std::to_string(descriptors) + " cuDNN descriptors\n";
    text += graph_leaks();
    return text.c_str();
}
