package io.crescendo.cuda;

/**
 * A region of device memory that grows and shrinks; its content survives neither.
 *
 * <p>Where the device can map memory, the region keeps its address for ever ({@link MappedRegion}), so that what was
 * recorded stays valid. Elsewhere it moves ({@link MovingRegion}), and whoever uses it looks at {@link #generation}.
 */
sealed interface DeviceRegion extends AutoCloseable permits MappedRegion, MovingRegion {
    /** The kind that suits a device. */
    static DeviceRegion on(CudaDevice device, String what) {
        return device.mapsMemory() ? new MappedRegion(device, what) : new MovingRegion(device, what);
    }

    /** Where it starts. */
    long address();

    /** Changes whenever the address may have. */
    long generation();

    /** Bytes that may be used, exactly. */
    long capacityBytes();

    /** Bytes of physical memory it has, exactly: also those that were prepared and not yet asked for. */
    long heldBytes();

    /**
     * Makes room for at least this many bytes.
     *
     * @throws CudaException if the device has no memory left; the region is then as large as before, or empty if it
     *     moves
     */
    void reserve(long bytes);

    /**
     * Has a piece more of the memory ready that {@link #reserve} will be asked for. Another thread may call this, and
     * ask for the sizes, while what lies in the region is used.
     *
     * @return whether there is more to do, by another call
     * @throws CudaException if the device has little memory left; what was prepared is given back then
     */
    boolean prepare(long bytes);

    /** Gives back all memory that {@code bytes} do not need, prepared memory included. */
    void shrink(long bytes);

    @Override
    void close();
}
