package io.crescendo.data;

import org.jspecify.annotations.Nullable;

/**
 * A fault in the data a user supplied: a missing, damaged or inconsistent file.
 *
 * <p>The message names the place, what was expected, what was found and the fix, and is enough on its own: a command
 * line prints it without a stack trace.
 */
public final class DataException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public DataException(String message) {
        super(message);
    }

    public DataException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
