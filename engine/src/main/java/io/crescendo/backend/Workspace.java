package io.crescendo.backend;

/**
 * The arena in which everything lives that dies within a step.
 *
 * <p>It only grows when asked; nothing in it survives growth, so growing copies nothing. Programs bound earlier stay
 * valid: an executable looks up the arena's address again when it has changed.
 */
public interface Workspace {
    /** Bytes the arena holds now. */
    long capacityBytes();

    /** The most it ever held. */
    long peakBytes();

    /**
     * Makes room for at least this many bytes. Between steps only.
     *
     * @throws DeviceMemoryException if the device has no room; the workspace may then hold less than before
     */
    void reserve(long bytes);

    /**
     * Gives memory back until at most this many bytes are held; programs that need more must not run until it grows.
     */
    void shrink(long bytes);
}
