package io.crescendo.cuda;

/** A call to the driver, cuDNN, cuBLAS or NVRTC failed; the message names the error and what was being done. */
public final class CudaException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final boolean fatal;

    CudaException(String message) {
        super(message);
        this.fatal = false;
    }

    CudaException(String message, Throwable cause) {
        super(message, cause);
        this.fatal = CudaCalls.isFatal(cause);
    }

    /** Whether the device can do nothing more for this process: every later call would fail too. */
    public boolean fatal() {
        return fatal;
    }

    /** Whether the device had no memory left. */
    boolean outOfMemory() {
        return CudaCalls.isOutOfMemory(getCause());
    }
}
