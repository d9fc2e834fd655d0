package io.crescendo.cuda;

/**
 * What a device is.
 *
 * @param name for example {@code NVIDIA H200}
 * @param major compute capability before the dot
 * @param minor compute capability after the dot
 * @param multiprocessors how many blocks of work run side by side, roughly
 * @param memoryBytes all memory of the device
 * @param driverVersion the newest CUDA version the driver knows, for example 12060 for 12.6
 * @param mapsMemory whether physical memory can be mapped into reserved address space
 */
record DeviceProperties(
        String name,
        int major,
        int minor,
        int multiprocessors,
        long memoryBytes,
        int driverVersion,
        boolean mapsMemory) {}
