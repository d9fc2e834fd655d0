package io.crescendo.cuda;

import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import jcuda.driver.CUcontext;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;
import jcuda.jcublas.JCublas2;
import jcuda.jcudnn.JCudnn;
import org.jspecify.annotations.Nullable;

/**
 * Turns JCuda's exceptions, which carry the name of a status and nothing else, into ones that say what was being done.
 */
final class CudaCalls {
    private static final String OUT_OF_MEMORY = "CUDA_ERROR_OUT_OF_MEMORY";

    /** What cuBLAS and cuDNN, before version 9 and since, say of it. */
    private static final Set<String> OUT_OF_MEMORY_EVERYWHERE = Set.of(
            OUT_OF_MEMORY,
            "CUBLAS_STATUS_ALLOC_FAILED",
            "CUDNN_STATUS_ALLOC_FAILED",
            "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED");

    /**
     * What follows from a call alone and leaves the context as it was. Every other error of the driver may come from
     * work that runs on the device, and after that the context is lost.
     */
    private static final List<String> HARMLESS = List.of(
            OUT_OF_MEMORY,
            "CUDA_ERROR_INVALID_VALUE",
            "CUDA_ERROR_INVALID_HANDLE",
            "CUDA_ERROR_INVALID_IMAGE",
            "CUDA_ERROR_INVALID_PTX",
            "CUDA_ERROR_INVALID_SOURCE",
            "CUDA_ERROR_NO_BINARY_FOR_GPU",
            "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
            "CUDA_ERROR_NOT_FOUND",
            "CUDA_ERROR_NOT_READY",
            "CUDA_ERROR_NOT_SUPPORTED",
            "CUDA_ERROR_NOT_PERMITTED",
            "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
            "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE");

    private static final String DRIVER_STATUS = "CUresult";
    private static final Pattern UNNAMED = Pattern.compile("INVALID (\\w+): (-?\\d+)");

    private CudaCalls() {}

    /** Makes JCuda throw where a call fails. Only after the libraries were loaded. */
    static void enableExceptions() {
        JCudaDriver.setExceptionsEnabled(true);
        JCudnn.setExceptionsEnabled(true);
        JCublas2.setExceptionsEnabled(true);
    }

    /**
     * Runs calls to CUDA.
     *
     * @param doing continues "cannot", for example {@code allocate 512 bytes for the weights}; asked only on failure
     * @throws CudaException if a call fails
     */
    static void run(Supplier<String> doing, Runnable calls) {
        try {
            calls.run();
        } catch (jcuda.CudaException e) {
            throw failure(doing.get(), e);
        }
    }

    /**
     * An exception that says what was being done.
     *
     * @param doing continues "cannot"
     */
    static CudaException failure(String doing, jcuda.CudaException cause) {
        return new CudaException("cannot " + doing + ": " + reason(cause), cause);
    }

    /** The status, and where memory was missing, how much there is. */
    static String reason(jcuda.CudaException cause) {
        return name(cause) + (isOutOfMemory(cause) ? memory() : "");
    }

    /** For messages; empty where there is no context yet. */
    private static String memory() {
        CUcontext context = new CUcontext();
        long[] free = new long[1];
        long[] total = new long[1];
        try {
            JCudaDriver.cuCtxGetCurrent(context);
            if (context.equals(new CUcontext())) {
                return "";
            }
            JCudaDriver.cuMemGetInfo(free, total);
        } catch (jcuda.CudaException e) {
            return "";
        }
        return "; " + Amounts.bytes(free[0]) + " of the device's " + Amounts.bytes(total[0])
                + " are free, the rest is in use here or by other processes";
    }

    /**
     * The status as the library itself calls it. JCuda's tables are older than the libraries, so a status they do not
     * know, every one of cuDNN 9 among them, comes as a bare number.
     */
    static String name(jcuda.CudaException exception) {
        String message = String.valueOf(exception.getMessage());
        Matcher unnamed = UNNAMED.matcher(message);
        if (unnamed.find()) {
            int status = Integer.parseInt(unnamed.group(2));
            if (unnamed.group(1).startsWith("cudnn")) {
                return JCudnn.cudnnGetErrorString(status);
            }
            return unnamed.group(1).equals(DRIVER_STATUS)
                    ? driverName(status)
                    : "status " + status + " (" + message + ")";
        }
        return message;
    }

    private static String driverName(int status) {
        String[] name = new String[1];
        int known = JCudaDriver.cuGetErrorName(status, name);
        return known == CUresult.CUDA_SUCCESS && name[0] != null ? name[0] : "status " + status + " of the driver";
    }

    static boolean isOutOfMemory(@Nullable Throwable thrown) {
        if (thrown instanceof CudaException translated) {
            return translated.outOfMemory();
        }
        return thrown instanceof jcuda.CudaException bare && OUT_OF_MEMORY_EVERYWHERE.contains(name(bare));
    }

    static boolean isFatal(@Nullable Throwable thrown) {
        if (thrown instanceof CudaException translated) {
            return translated.fatal();
        }
        if (!(thrown instanceof jcuda.CudaException)) {
            return false;
        }
        String name = String.valueOf(thrown.getMessage());
        // What a newer driver calls by a number that JCuda has no name for is not known to be harmless.
        return (name.startsWith("CUDA_ERROR") || name.startsWith("INVALID " + DRIVER_STATUS))
                && !name.startsWith("CUDA_ERROR_STREAM_CAPTURE")
                && !HARMLESS.contains(name);
    }
}
