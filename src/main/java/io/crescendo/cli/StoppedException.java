package io.crescendo.cli;

import io.crescendo.train.CheckpointFolder;
import io.crescendo.train.NonFiniteLossException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Training ended with an exception, and can go on from what it left; the message says how. */
public final class StoppedException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final RuntimeException reason;

    private StoppedException(String message, RuntimeException reason) {
        super(message, reason);
        this.reason = reason;
    }

    /**
     * What to throw instead of an exception: the same where going on would end in it again, or there is nothing to go
     * on from.
     *
     * @param command to go on with
     * @param folder of the whole run
     * @param checkpoints folder where they lie
     */
    public static RuntimeException after(RuntimeException e, String command, Path folder, Path checkpoints)
            throws IOException {
        boolean again =
                e instanceof UserError || e instanceof NonFiniteLossException || e instanceof IllegalArgumentException;
        return again
                        || !Files.isDirectory(checkpoints)
                        || CheckpointFolder.of(checkpoints).files().isEmpty()
                ? e
                : new StoppedException(
                        "'crescendo " + command + " --resume " + folder + "' goes on from the last checkpoint", e);
    }

    RuntimeException reason() {
        return reason;
    }
}
