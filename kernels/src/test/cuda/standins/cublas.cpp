// Stand-in of libcublas.so: matrix products by plain loops with double sums. A test double: no
// speed and no numerical claim rests on it.
#include <stdio.h>
#include <string.h>

#include <set>

#include "arithmetic.h"
#include "stand_in.h"

using namespace stand_in;

extern "C" int lightMajor();  // libcublasLt.so, which the real one needs too

enum Cublas {
    OK = 0,
    NOT_INIT = 1,
    ALLOC_FAILED = 3,
    INVALID = 7,
    MAPPING = 11,
    EXECUTION_FAILED = 13,
    INTERNAL = 14,
    UNSUPPORTED = 15
};

struct Handle {
    void* stream = nullptr;
    void* workspace = nullptr;
    size_t workspaceBytes = 0;
    int mathMode = 0;
    bool devicePointers = false;
};

static std::set<Handle*> handles;

static int translated(int status) {
    switch (status) {
        case SUCCESS:
            return OK;
        case OUT_OF_MEMORY:
            return ALLOC_FAILED;
        case INVALID_CONTEXT:
        case NOT_INITIALIZED:
            return NOT_INIT;
        case INVALID_VALUE:
        case INVALID_HANDLE:
            return INVALID;
        default:
            return EXECUTION_FAILED;
    }
}

static int cublas_call(const char* name, unsigned traits, const std::function<int()>& body) {
    return call(name, traits, translated, body);
}

static int with(const char* name, Handle* handle, const std::function<int()>& body) {
    return cublas_call(name, PLAIN, [&]() -> int {
        return handles.count(handle) ? body() : wrong(NOT_INIT, "%s: no handle", name);
    });
}

#define EXPORT extern "C" int

EXPORT cublasCreate_v2(Handle** handle) {
    // As the real one may: what it allocates and loads, it may wait for the device to see done.
    return cublas_call("cublasCreate_v2", UNSAFE_IN_CAPTURE | WAITS_FOR_DEVICE, [&] {
        *handle = new Handle;
        handles.insert(*handle);
        return (int)OK;
    });
}

EXPORT cublasDestroy_v2(Handle* handle) {
    constexpr unsigned TRAITS = RELEASES | UNSAFE_IN_CAPTURE | WAITS_FOR_DEVICE;
    return cublas_call("cublasDestroy_v2", TRAITS, [&]() -> int {
        if (!handles.erase(handle)) return wrong(NOT_INIT, "cublasDestroy: no handle");
        synchronize_everything();
        delete handle;
        return OK;
    });
}

EXPORT cublasGetVersion_v2(Handle* handle, int* version) {
    return with("cublasGetVersion_v2", handle, [&] {
        *version = 120603;
        return (int)OK;
    });
}

EXPORT cublasGetProperty(int which, int* value) {
    return call("cublasGetProperty", ANYWHERE, translated, [&] {
        const int version[] = {lightMajor(), 6, 3};
        *value = which >= 0 && which < 3 ? version[which] : 0;
        return (int)OK;
    });
}

EXPORT cublasSetStream_v2(Handle* handle, void* stream) {
    return with("cublasSetStream_v2", handle, [&]() -> int {
        if (!is_stream(stream)) return wrong(INVALID, "cublasSetStream: %p is no stream", stream);
        handle->stream = stream;
        // As documented: the workspace that was set is forgotten.
        handle->workspace = nullptr;
        handle->workspaceBytes = 0;
        return OK;
    });
}

EXPORT cublasGetStream_v2(Handle* handle, void** stream) {
    return with("cublasGetStream_v2", handle, [&] {
        *stream = handle->stream;
        return (int)OK;
    });
}

EXPORT cublasSetWorkspace_v2(Handle* handle, void* workspace, size_t bytes) {
    return with("cublasSetWorkspace_v2", handle, [&]() -> int {
        if ((size_t)workspace % 256 != 0)
            return wrong(INVALID, "cublasSetWorkspace: %p is not aligned to 256 bytes", workspace);
        if (!accessible(workspace, bytes, "cublasSetWorkspace")) return INVALID;
        handle->workspace = workspace;
        handle->workspaceBytes = bytes;
        return OK;
    });
}

EXPORT cublasSetMathMode(Handle* handle, int mode) {
    return with("cublasSetMathMode", handle, [&]() -> int {
        if ((mode & 0xf) > 3) return wrong(INVALID, "cublasSetMathMode: %d", mode);
        handle->mathMode = mode;
        return OK;
    });
}

EXPORT cublasGetMathMode(Handle* handle, int* mode) {
    return with("cublasGetMathMode", handle, [&] {
        *mode = handle->mathMode;
        return (int)OK;
    });
}

EXPORT cublasSetPointerMode_v2(Handle* handle, int mode) {
    return with("cublasSetPointerMode_v2", handle, [&]() -> int {
        if (mode != 0 && mode != 1) return wrong(INVALID, "cublasSetPointerMode: %d", mode);
        handle->devicePointers = mode == 1;
        return OK;
    });
}

EXPORT cublasGetPointerMode_v2(Handle* handle, int* mode) {
    return with("cublasGetPointerMode_v2", handle, [&] {
        *mode = handle->devicePointers;
        return (int)OK;
    });
}

EXPORT cublasSetAtomicsMode(Handle* handle, int) {
    return with("cublasSetAtomicsMode", handle, [] { return (int)OK; });
}

struct Matrix {
    Array array;
    int rows, columns;  // as stored
    long long leading;
    bool transposed;

    size_t elements() const {
        return rows == 0 || columns == 0 ? 0 : (size_t)(columns - 1) * leading + rows;
    }
    double get(int i, int j) const {
        return transposed ? array.get((size_t)i * leading + j) : array.get((size_t)j * leading + i);
    }
};

constexpr int R_32F = 0, R_16BF = 14;
constexpr int COMPUTE_32F = 68, COMPUTE_32F_PEDANTIC = 69, COMPUTE_32F_FAST_16BF = 75,
              COMPUTE_32F_FAST_TF32 = 77;

static bool fits(const Matrix& m, const char* name, const char* letter) {
    if (m.leading < (m.rows > 1 ? m.rows : 1)) {
        wrong(INVALID, "%s: the leading dimension of %s, %lld, is less than its %d rows", name,
              letter, m.leading, m.rows);
        return false;
    }
    if ((size_t)m.array.at % m.array.bytes_each() != 0) {
        wrong(INVALID, "%s: %s lies at %p, which is not aligned", name, letter, m.array.at);
        return false;
    }
    return true;
}

static bool reachable(const Matrix& m, const char* letter) {
    std::string what = std::string("cublasGemmEx, ") + letter;
    return m.elements() == 0 ||
           accessible(m.array.at, m.elements() * m.array.bytes_each(), what.c_str());
}

// C = alpha op(A) op(B) + beta C; op(A) is m x k, op(B) is k x n, all stored column by column.
static int gemm(const char* name, Handle* handle, int transA, int transB, int m, int n, int k,
                const void* alpha, const void* a, int typeA, long long lda, const void* b,
                int typeB, long long ldb, const void* beta, void* c, int typeC, long long ldc,
                int compute) {
    return with(name, handle, [&]() -> int {
        if (m < 0 || n < 0 || k < 0) return wrong(INVALID, "%s: %d x %d x %d", name, m, n, k);
        if (transA < 0 || transA > 1 || transB < 0 || transB > 1)
            return wrong(INVALID, "%s: operation %d, %d", name, transA, transB);
        if (alpha == nullptr || beta == nullptr)
            return wrong(INVALID, "%s: no alpha or beta", name);
        bool types = (typeA == R_32F && typeB == R_32F && typeC == R_32F) ||
                     (typeA == R_16BF && typeB == R_16BF && (typeC == R_16BF || typeC == R_32F));
        bool computes = compute == COMPUTE_32F || compute == COMPUTE_32F_PEDANTIC ||
                        (typeA == R_32F &&
                         (compute == COMPUTE_32F_FAST_16BF || compute == COMPUTE_32F_FAST_TF32));
        if (!types || !computes)
            return wrong(UNSUPPORTED, "%s: types %d, %d, %d with computation %d", name, typeA,
                         typeB, typeC, compute);
        bool tf32 = typeA == R_32F && (compute == COMPUTE_32F_FAST_TF32 ||
                                       (compute == COMPUTE_32F && (handle->mathMode & 0xf) == 3));
        Matrix A{
            {(void*)a, typeA == R_16BF, tf32}, transA ? k : m, transA ? m : k, lda, transA == 1};
        Matrix B{
            {(void*)b, typeB == R_16BF, tf32}, transB ? n : k, transB ? k : n, ldb, transB == 1};
        Matrix C{{c, typeC == R_16BF, false}, m, n, ldc, false};
        if (!fits(A, name, "A") || !fits(B, name, "B") || !fits(C, name, "C")) return INVALID;
        if (is_capturing(handle->stream) && handle->workspace == nullptr)
            return wrong(EXECUTION_FAILED,
                         "%s: captured without a workspace of the caller's, it would allocate",
                         name);
        float one[2] = {0, 0};
        bool late = handle->devicePointers;
        if (!late) {
            memcpy(&one[0], alpha, sizeof(float));
            memcpy(&one[1], beta, sizeof(float));
        }
        float factor = one[0], keep = one[1];
        void* workspace = handle->workspace;
        size_t workspaceBytes = handle->workspaceBytes;
        double cost = 4 + 2.0 * m * n * k / 5e7;
        return translated(enqueue(handle->stream, name, cost, [=] {
            float scale = factor, old = keep;
            if (late) {
                memcpy(&scale, alpha, sizeof(float));
                memcpy(&old, beta, sizeof(float));
            }
            if (!reachable(A, "A") || !reachable(B, "B") || !reachable(C, "C") ||
                (workspace != nullptr &&
                 !accessible(workspace, workspaceBytes, "cuBLAS' workspace"))) {
                work_failed(ILLEGAL_ADDRESS, std::string(name) + ": memory that is not there");
                return;
            }
            // The workspace is the library's: nothing of the caller's may live there.
            if (workspaceBytes > 0)
                memset(workspace, 0xFF, workspaceBytes < 4096 ? workspaceBytes : 4096);
            for (int j = 0; j < n; j++) {
                for (int i = 0; i < m; i++) {
                    double sum = 0;
                    for (int l = 0; l < k; l++) sum += A.get(i, l) * B.get(l, j);
                    size_t at = (size_t)j * ldc + i;
                    // beta = 0 does not read C, which may hold anything.
                    C.array.set(at, scale * sum + (old == 0 ? 0 : old * C.array.get(at)));
                }
            }
        }));
    });
}

EXPORT cublasGemmEx(Handle* handle, int transA, int transB, int m, int n, int k, const void* alpha,
                    const void* a, int typeA, int lda, const void* b, int typeB, int ldb,
                    const void* beta, void* c, int typeC, int ldc, int compute, int) {
    return gemm("cublasGemmEx", handle, transA, transB, m, n, k, alpha, a, typeA, lda, b, typeB,
                ldb, beta, c, typeC, ldc, compute);
}

EXPORT cublasGemmEx_64(Handle* handle, int transA, int transB, int64_t m, int64_t n, int64_t k,
                       const void* alpha, const void* a, int typeA, int64_t lda, const void* b,
                       int typeB, int64_t ldb, const void* beta, void* c, int typeC, int64_t ldc,
                       int compute, int) {
    return gemm("cublasGemmEx_64", handle, transA, transB, (int)m, (int)n, (int)k, alpha, a, typeA,
                lda, b, typeB, ldb, beta, c, typeC, ldc, compute);
}

EXPORT cublasSgemm_v2(Handle* handle, int transA, int transB, int m, int n, int k,
                      const float* alpha, const float* a, int lda, const float* b, int ldb,
                      const float* beta, float* c, int ldc) {
    return gemm("cublasSgemm_v2", handle, transA, transB, m, n, k, alpha, a, R_32F, lda, b, R_32F,
                ldb, beta, c, R_32F, ldc, COMPUTE_32F);
}

extern "C" const char* cublasGetStatusName(int status) {
    switch (status) {
        case OK:
            return "CUBLAS_STATUS_SUCCESS";
        case NOT_INIT:
            return "CUBLAS_STATUS_NOT_INITIALIZED";
        case ALLOC_FAILED:
            return "CUBLAS_STATUS_ALLOC_FAILED";
        case INVALID:
            return "CUBLAS_STATUS_INVALID_VALUE";
        case MAPPING:
            return "CUBLAS_STATUS_MAPPING_ERROR";
        case EXECUTION_FAILED:
            return "CUBLAS_STATUS_EXECUTION_FAILED";
        case UNSUPPORTED:
            return "CUBLAS_STATUS_NOT_SUPPORTED";
        default:
            return "CUBLAS_STATUS_INTERNAL_ERROR";
    }
}

extern "C" const char* cublasGetStatusString(int status) { return cublasGetStatusName(status); }

extern "C" const char* standin_cublas_leaks() {
    static std::string text;
    text = handles.empty() ? "" : std::to_string(handles.size()) + " cuBLAS handles\n";
    return text.c_str();
}
