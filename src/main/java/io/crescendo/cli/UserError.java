package io.crescendo.cli;

import org.jspecify.annotations.Nullable;

/**
 * A fault that the user can mend: its message names the value, the place and the fix, and is printed without a stack
 * trace.
 */
public final class UserError extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** Exit status when the work itself failed. */
    public static final int FAILURE = 1;

    /** Exit status when the command was asked wrongly: an option, a preset, a configuration file. */
    public static final int USAGE = 2;

    private final int exitCode;

    private UserError(int exitCode, String message, @Nullable Throwable cause) {
        super(message, cause);
        this.exitCode = exitCode;
    }

    /** The command was asked wrongly. */
    public static UserError usage(String message) {
        return new UserError(USAGE, message, null);
    }

    /** The command was asked wrongly. */
    public static UserError usage(String message, Throwable cause) {
        return new UserError(USAGE, message, cause);
    }

    /** The work failed. */
    public static UserError failure(String message, @Nullable Throwable cause) {
        return new UserError(FAILURE, message, cause);
    }

    /** The status the process ends with. */
    public int exitCode() {
        return exitCode;
    }
}
