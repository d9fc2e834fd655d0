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
 * The driver: its devices, and the two of its functions that JCuda cannot be used for.
 *
 * <p>IMPLEMENTATION NOTES. JCuda 12.6 hands {@code cuMemSetAccess} a location of garbage, and reports "not yet" of
 * {@code cuEventQuery} by an exception, which costs more than the work it asks about. Both are called through JNA.
 */
final class CudaDriver {
    private static final int LOCATION_TYPE_DEVICE = 1;
    private static final int ACCESS_READ_AND_WRITE = 3;
    /** CUmemAccessDesc: the location's type and number, the flags. */
    private static final long ACCESS_BYTES = 3L * Integer.BYTES;

    private final Function setAccess;
    private final Function eventQuery;

    private CudaDriver(Found driver) {
        NativeLibrary library =
                NativeLibrary.getInstance(driver.file().toAbsolutePath().toString());
        this.setAccess = library.getFunction("cuMemSetAccess");
        this.eventQuery = library.getFunction("cuEventQuery");
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
        int status = eventQuery.invokeInt(new Object[] {new com.sun.jna.Pointer(event.handle())});
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
