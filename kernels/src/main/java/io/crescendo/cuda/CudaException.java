package io.crescendo.cuda;

/** A call to the driver, cuDNN, cuBLAS or NVRTC failed; the message names the error and what was being done. */
public final class CudaException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final boolean fatal;
    private final boolean namesOperation;

    CudaException(String message) {
        super(message);
        this.fatal = false;
        this.namesOperation = false;
    }

    CudaException(String message, Throwable cause) {
        this(message, cause, false);
    }

    private CudaException(String message, Throwable cause, boolean namesOperation) {
        super(message, cause);
        this.fatal = CudaCalls.isFatal(cause);
        this.namesOperation = namesOperation;
    }

    /** A failure in a launch, whose owner is an operation, say. */
    static CudaException inLaunchOf(String owner, RuntimeException cause) {
        return new CudaException(
                "cannot run " + owner + ": "
                        + (cause instanceof jcuda.CudaException bare ? CudaCalls.reason(bare) : cause.getMessage()),
                cause,
                true);
    }

    /** Whether the message says which operation it was. */
    boolean namesOperation() {
        return namesOperation;
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
