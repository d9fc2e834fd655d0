package io.crescendo.cuda;

import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
import static jcuda.driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED;
import static jcuda.driver.JCudaDriver.cuDeviceGetAttribute;
import static jcuda.driver.JCudaDriver.cuDeviceGetName;
import static jcuda.driver.JCudaDriver.cuDeviceTotalMem;
import static jcuda.driver.JCudaDriver.cuDriverGetVersion;

import java.nio.charset.StandardCharsets;
import java.util.Locale;
import jcuda.driver.CUdevice;

/**
 * What a device is.
 *
 * @param name for example {@code NVIDIA H200}
 * @param major compute capability before the dot
 * @param minor compute capability after the dot
 * @param multiprocessors how many blocks of work run side by side, roughly
 * @param cacheBytes of the level 2 cache
 * @param memoryBytes all memory of the device
 * @param driverVersion the newest CUDA version the driver knows, for example 12060 for 12.6
 * @param mapsMemory whether physical memory can be mapped into reserved address space
 */
record DeviceProperties(
        String name,
        int major,
        int minor,
        int multiprocessors,
        long cacheBytes,
        long memoryBytes,
        int driverVersion,
        boolean mapsMemory) {
    private static final int LONGEST_NAME = 256;

    /** Asks the driver. */
    static DeviceProperties of(CUdevice device) {
        byte[] name = new byte[LONGEST_NAME];
        cuDeviceGetName(name, name.length, device);
        int length = 0;
        while (length < name.length && name[length] != 0) {
            length++;
        }
        long[] bytes = new long[1];
        cuDeviceTotalMem(bytes, device);
        int[] version = new int[1];
        cuDriverGetVersion(version);
        return new DeviceProperties(
                new String(name, 0, length, StandardCharsets.UTF_8),
                attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
                attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
                attribute(device, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
                attribute(device, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE),
                bytes[0],
                version[0],
                attribute(device, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED) != 0);
    }

    private static int attribute(CUdevice device, int attribute) {
        int[] value = new int[1];
        cuDeviceGetAttribute(value, attribute, device);
        return value[0];
    }

    /** {@code 9.0}. */
    String capability() {
        return major + "." + minor;
    }

    /** Whether the kernels cannot run on it. */
    boolean tooOld() {
        return major < KernelCompiler.OLDEST_MAJOR;
    }

    /** A CUDA version for people: 12060 is {@code 12.6}. */
    static String version(int number) {
        return number / 1000 + "." + number % 1000 / 10;
    }

    /**
     * {@code compute capability 9.0, 140.0 GiB, 132 multiprocessors, the driver knows CUDA 12.6}, and what is needed if
     * that is too old.
     */
    String describe() {
        String description = String.format(
                Locale.ROOT,
                "compute capability %s, %.1f GiB, %d multiprocessors, the driver knows CUDA %s",
                capability(),
                memoryBytes / (double) (1L << 30),
                multiprocessors,
                version(driverVersion));
        return tooOld() ? description + "; too old: needs " + KernelCompiler.OLDEST : description;
    }
}
