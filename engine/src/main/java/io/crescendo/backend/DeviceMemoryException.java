package io.crescendo.backend;

import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * The device refused memory: for a pack, or memory that the plan counted on, because another process has it, say.
 *
 * <p>The workspace may hold less than before the refusal; programs that need more must not run until it was reserved
 * again. A trainer answers with smaller micro-batches. Those do not help where it was a pack that did not fit
 * ({@link #isOfPack}).
 */
public final class DeviceMemoryException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private static final String REMEDY_OF_PACK =
            "; weights, gradients and an optimizer's state take the same whatever the batch and the memory budget: free"
                    + " some of the device's memory, or train a smaller network, or with an optimizer that keeps less";

    private final String facts;
    private final String remedy;
    private final boolean ofPack;
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
        this(facts, remedy, false, requestedBytes, availableBytes.orElse(-1), cause);
    }

    private DeviceMemoryException(
            String facts,
            String remedy,
            boolean ofPack,
            long requestedBytes,
            long availableBytes,
            @Nullable Throwable cause) {
        super(facts + remedy, cause);
        this.facts = facts;
        this.remedy = remedy;
        this.ofPack = ofPack;
        this.requestedBytes = requestedBytes;
        this.availableBytes = availableBytes;
    }

    /**
     * A refusal of memory for a pack.
     *
     * @param facts what was asked for, and of what there is
     * @param requestedBytes of the pack
     * @param cause the device's own error
     */
    public static DeviceMemoryException ofPack(String facts, long requestedBytes, Throwable cause) {
        return new DeviceMemoryException(facts, REMEDY_OF_PACK, true, requestedBytes, -1, cause);
    }

    /** The same refusal where something else would help. */
    public DeviceMemoryException withRemedy(String other) {
        return new DeviceMemoryException(facts, other, ofPack, requestedBytes, availableBytes, this);
    }

    /** The same refusal by whoever knows what the memory was for, {@code the model's weights} say. */
    public DeviceMemoryException withPurpose(String purpose) {
        return new DeviceMemoryException(
                "no memory for " + purpose + ": " + facts, remedy, ofPack, requestedBytes, availableBytes, this);
    }

    /** Whether a pack did not fit, which smaller batches do not change. */
    public boolean isOfPack() {
        return ofPack;
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
