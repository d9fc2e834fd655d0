package io.crescendo.safetensors;

import java.io.IOException;
import java.nio.file.Path;

/** A file is not what its name promises: cut off, damaged or of another kind. */
public final class SafetensorsException extends IOException {
    private static final long serialVersionUID = 1L;

    SafetensorsException(Path file, String fault) {
        super(file + ": " + fault);
    }
}
