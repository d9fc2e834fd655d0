package io.crescendo.train;

/** Training stopped because the loss, or a gradient of it, became infinite or not a number. */
public final class NonFiniteLossException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    NonFiniteLossException(String message) {
        super(message);
    }
}
