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
     * Has a piece more of the memory ready that {@link #reserve} will be asked for, so that it and the first step in it
     * need not wait for the system. A wish: the capacity does not change, and a backend may do nothing. The one method
     * that another thread may call, while steps run; it returns within milliseconds.
     *
     * @param bytes that will be reserved
     * @return whether there is more to do, by another call
     */
    default boolean prepare(long bytes) {
        return false;
    }

    /**
     * Gives memory back until at most this many bytes are held, prepared ones included; programs that need more must
     * not run until it grows.
     */
    void shrink(long bytes);
}
