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

    /** Bytes of physical memory it has, exactly. */
    long capacityBytes();

    /**
     * Makes room for at least this many bytes.
     *
     * @throws CudaException if the device has no memory left; the region is then as large as before, or empty if it
     *     moves
     */
    void reserve(long bytes);

    /** Gives back all memory that {@code bytes} do not need. */
    void shrink(long bytes);

    @Override
    void close();
}
