package io.crescendo.cuda;

/** A call to the driver, cuDNN, cuBLAS or NVRTC failed; the message names the error and what was being done. */
public final class CudaException extends RuntimeException {
    CudaException(String message) {
        super(message);
    }

    CudaException(String message, Throwable cause) {
        super(message, cause);
    }
}
