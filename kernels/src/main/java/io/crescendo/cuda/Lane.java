package io.crescendo.cuda;

import static jcuda.jcublas.JCublas2.cublasCreate;
import static jcuda.jcublas.JCublas2.cublasDestroy;
import static jcuda.jcublas.JCublas2.cublasSetStream;
import static jcuda.jcudnn.JCudnn.cudnnCreate;
import static jcuda.jcudnn.JCudnn.cudnnDestroy;
import static jcuda.jcudnn.JCudnn.cudnnSetStream;

import jcuda.jcublas.cublasHandle;
import jcuda.runtime.cudaStream_t;
import org.jspecify.annotations.Nullable;

/**
 * A stream, with handles of cuDNN and cuBLAS that put their work on it.
 *
 * <p>A {@link Launch} learns where it runs when it is enqueued. So what was bound once runs on the compute stream, or
 * is recorded on another one while a step runs there. One thread at a time uses a lane.
 */
final class Lane {
    private final CudaScope scope;
    private final CudaStream stream;
    private final CudnnHandle cudnn = new CudnnHandle();
    private @Nullable cublasHandle cublas;

    /**
     * Opens a stream of its own.
     *
     * @param scope for what belongs to the lane, which ends with it; empty again after a failure
     */
    Lane(CudaScope scope) {
        this.scope = scope;
        this.stream = scope.own(new CudaStream());
        try {
            cudnnCreate(cudnn);
            scope.onClose(() -> cudnnDestroy(cudnn));
            cudnnSetStream(cudnn, new cudaStream_t(stream));
        } catch (jcuda.CudaException e) {
            throw scope.closeAfter(e); // or a lane that is tried again leaves a stream each time
        }
    }

    CudaStream stream() {
        return stream;
    }

    CudnnHandle cudnn() {
        return cudnn;
    }

    /**
     * Made at the first call, which must not be while the stream is recorded. Each product gives it a workspace first,
     * for else it would allocate one, which must not be recorded either.
     */
    cublasHandle cublas() {
        cublasHandle made = cublas;
        if (made == null) {
            made = new cublasHandle();
            cublasHandle owned = made;
            cublasCreate(owned);
            scope.onClose(() -> cublasDestroy(owned));
            cublasSetStream(owned, new cudaStream_t(stream));
            cublas = owned;
        }
        return made;
    }
}
