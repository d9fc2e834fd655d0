package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuDeviceGet;
import static jcuda.driver.JCudaDriver.cuDeviceGetCount;
import static jcuda.driver.JCudaDriver.cuInit;

import com.sun.jna.Function;
import com.sun.jna.Memory;
import com.sun.jna.NativeLibrary;
import io.crescendo.cuda.Finding.Found;
import java.util.ArrayList;
import java.util.List;
import jcuda.driver.CUdevice;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;

/**
 * The driver: its devices, and those of its functions that JCuda cannot be used for.
 *
 * <p>IMPLEMENTATION NOTES. JCuda 12.6 hands {@code cuMemSetAccess} a location of garbage. It takes the fields of a
 * CUmemAllocationProp, which {@code cuMemCreate} and {@code cuMemGetAllocationGranularity} want, off the wrong class:
 * the driver gets the right numbers, but the Java heap is damaged (-Xcheck:jni says "wrong field ID"), and a later
 * garbage collection ends the process. And it reports "not yet" of {@code cuEventQuery} and {@code cuStreamQuery} by an
 * exception, which costs more than the work it asks about. These are called through JNA, and so are the two that take
 * the handle of {@code cuMemCreate}, which JCuda's own class cannot be given.
 */
final class CudaDriver {
    private static final int LOCATION_TYPE_DEVICE = 1;
    private static final int ACCESS_READ_AND_WRITE = 3;
    /** CUmemAccessDesc: the location's type and number, the flags. */
    private static final long ACCESS_BYTES = 3L * Integer.BYTES;

    private static final int ALLOCATION_TYPE_PINNED = 1;
    /**
     * CUmemAllocationProp: the kind of memory, the kinds of handles to export, the location's type and number, then 16
     * bytes of which none is used here.
     */
    private static final long PROPERTIES_BYTES = 32;

    private static final int GRANULARITY_MINIMUM = 0;

    private final Function granularity;
    private final Function create;
    private final Function map;
    private final Function release;
    private final Function setAccess;
    private final Function eventQuery;
    private final Function streamQuery;

    private CudaDriver(Found driver) {
        NativeLibrary library =
                NativeLibrary.getInstance(driver.file().toAbsolutePath().toString());
        this.granularity = library.getFunction("cuMemGetAllocationGranularity");
        this.create = library.getFunction("cuMemCreate");
        this.map = library.getFunction("cuMemMap");
        this.release = library.getFunction("cuMemRelease");
        this.setAccess = library.getFunction("cuMemSetAccess");
        this.eventQuery = library.getFunction("cuEventQuery");
        this.streamQuery = library.getFunction("cuStreamQuery");
    }

    /** Binds to the driver's library, which has been loaded. */
    static CudaDriver of(CudaInstallation installation) {
        return new CudaDriver(library(installation).get(0));
    }

    private static List<Found> library(CudaInstallation installation) {
        return installation.found().stream()
                .filter(found -> found.library() == CudaLibrary.DRIVER)
                .toList();
    }

    /**
     * Starts the driver, once per process, and lists its devices; loads nothing but the driver's own library.
     *
     * @throws CudaLibraryException if the library does not load
     * @throws CudaException if the driver does not start, because there is no device for example
     */
    static List<DeviceProperties> devices(CudaInstallation installation) {
        CudaLibraryLoader.load(
                library(installation),
                installation.cudaMajor(),
                installation.machine().cache());
        JCudaDriver.setExceptionsEnabled(true);
        List<DeviceProperties> devices = new ArrayList<>();
        CudaCalls.run(() -> "start the driver and list its devices", () -> {
            cuInit(0);
            int[] count = new int[1];
            cuDeviceGetCount(count);
            for (int i = 0; i < count[0]; i++) {
                devices.add(DeviceProperties.of(device(i)));
            }
        });
        return devices;
    }

    static CUdevice device(int number) {
        CUdevice device = new CUdevice();
        cuDeviceGet(device, number);
        return device;
    }

    /** Memory on a device is created and mapped in multiples of this many bytes. */
    long granularity(int device) {
        try (Memory properties = properties(device);
                Memory result = new Memory(Long.BYTES)) {
            check(granularity.invokeInt(new Object[] {result, properties, GRANULARITY_MINIMUM}));
            return result.getLong(0);
        }
    }

    /** Creates physical memory on a device; gives its handle. */
    long createMemory(int device, long bytes) {
        try (Memory properties = properties(device);
                Memory result = new Memory(Long.BYTES)) {
            check(create.invokeInt(new Object[] {result, bytes, properties, 0L}));
            return result.getLong(0);
        }
    }

    /** Maps physical memory to reserved addresses; nobody may use it yet. */
    void map(long address, long bytes, long handle) {
        check(map.invokeInt(new Object[] {address, bytes, 0L, handle, 0L}));
    }

    /** Gives physical memory back once it is mapped nowhere. */
    void releaseMemory(long handle) {
        check(release.invokeInt(new Object[] {handle}));
    }

    private static Memory properties(int device) {
        Memory properties = new Memory(PROPERTIES_BYTES);
        properties.clear();
        properties.setInt(0, ALLOCATION_TYPE_PINNED);
        properties.setInt(2L * Integer.BYTES, LOCATION_TYPE_DEVICE);
        properties.setInt(3L * Integer.BYTES, device);
        return properties;
    }

    /** Lets a device read and write mapped memory. */
    void allowAccess(int device, long address, long bytes) {
        try (Memory description = new Memory(ACCESS_BYTES)) {
            description.setInt(0, LOCATION_TYPE_DEVICE);
            description.setInt(Integer.BYTES, device);
            description.setInt(2L * Integer.BYTES, ACCESS_READ_AND_WRITE);
            check(setAccess.invokeInt(new Object[] {address, bytes, description, 1L}));
        }
    }

    /** Whether all work that an event was recorded behind is done. */
    boolean isDone(CudaEvent event) {
        return isReady(eventQuery, event.handle());
    }

    /** Whether all work of a stream is done. */
    boolean isIdle(CudaStream stream) {
        return isReady(streamQuery, stream.handle());
    }

    private static boolean isReady(Function query, long handle) {
        int status = query.invokeInt(new Object[] {new com.sun.jna.Pointer(handle)});
        if (status == CUresult.CUDA_ERROR_NOT_READY) {
            return false;
        }
        check(status);
        return true;
    }

    private static void check(int status) {
        if (status != CUresult.CUDA_SUCCESS) {
            throw new jcuda.CudaException(CUresult.stringFor(status));
        }
    }
}
