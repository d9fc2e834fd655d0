package io.crescendo.cuda;

/**
 * CUDA's libraries are missing, do not fit or do not load; the message says which, what was searched and what helps.
 */
public final class CudaLibraryException extends RuntimeException {
    CudaLibraryException(String message) {
        super(message);
    }

    CudaLibraryException(String message, Throwable cause) {
        super(message, cause);
    }
}
