package io.crescendo.backend;

import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * The device refused memory that the plan counted on, because another process has it, say.
 *
 * <p>The workspace may hold less than before the refusal; programs that need more must not run until it was reserved
 * again. A trainer answers with smaller micro-batches.
 */
public final class DeviceMemoryException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final String facts;
    private final long requestedBytes;
    private final long availableBytes;

    /**
     * Describes a refusal.
     *
     * @param facts what was asked for, and of what there is
     * @param remedy what would help; goes on with the sentence
     * @param requestedBytes what the device was asked to hold in all for this purpose, for the workspace its new size
     * @param availableBytes what may be planned with instead, if it says so
     * @param cause the device's own error, or null
     */
    public DeviceMemoryException(
            String facts, String remedy, long requestedBytes, OptionalLong availableBytes, @Nullable Throwable cause) {
        super(facts + remedy, cause);
        this.facts = facts;
        this.requestedBytes = requestedBytes;
        this.availableBytes = availableBytes.orElse(-1);
    }

    /** The same refusal where something else would help. */
    public DeviceMemoryException withRemedy(String other) {
        return new DeviceMemoryException(facts, other, requestedBytes, availableBytes(), this);
    }

    /** Bytes the device was asked for. */
    public long requestedBytes() {
        return requestedBytes;
    }

    /** Bytes that may be planned with instead, if it says so. */
    public OptionalLong availableBytes() {
        return availableBytes < 0 ? OptionalLong.empty() : OptionalLong.of(availableBytes);
    }
}
