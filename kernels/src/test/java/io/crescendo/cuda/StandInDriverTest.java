package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuCtxSetCurrent;
import static jcuda.driver.JCudaDriver.cuDeviceGet;
import static jcuda.driver.JCudaDriver.cuDeviceGetAttribute;
import static jcuda.driver.JCudaDriver.cuDevicePrimaryCtxRelease;
import static jcuda.driver.JCudaDriver.cuDevicePrimaryCtxRetain;
import static jcuda.driver.JCudaDriver.cuEventCreate;
import static jcuda.driver.JCudaDriver.cuEventDestroy;
import static jcuda.driver.JCudaDriver.cuEventElapsedTime;
import static jcuda.driver.JCudaDriver.cuEventRecord;
import static jcuda.driver.JCudaDriver.cuEventSynchronize;
import static jcuda.driver.JCudaDriver.cuFuncSetAttribute;
import static jcuda.driver.JCudaDriver.cuGraphDestroy;
import static jcuda.driver.JCudaDriver.cuGraphExecDestroy;
import static jcuda.driver.JCudaDriver.cuGraphInstantiate;
import static jcuda.driver.JCudaDriver.cuGraphLaunch;
import static jcuda.driver.JCudaDriver.cuInit;
import static jcuda.driver.JCudaDriver.cuLaunchCooperativeKernel;
import static jcuda.driver.JCudaDriver.cuLaunchKernel;
import static jcuda.driver.JCudaDriver.cuMemAddressFree;
import static jcuda.driver.JCudaDriver.cuMemAddressReserve;
import static jcuda.driver.JCudaDriver.cuMemAlloc;
import static jcuda.driver.JCudaDriver.cuMemAllocHost;
import static jcuda.driver.JCudaDriver.cuMemCreate;
import static jcuda.driver.JCudaDriver.cuMemFree;
import static jcuda.driver.JCudaDriver.cuMemFreeHost;
import static jcuda.driver.JCudaDriver.cuMemGetInfo;
import static jcuda.driver.JCudaDriver.cuMemMap;
import static jcuda.driver.JCudaDriver.cuMemRelease;
import static jcuda.driver.JCudaDriver.cuMemUnmap;
import static jcuda.driver.JCudaDriver.cuMemcpyDtoH;
import static jcuda.driver.JCudaDriver.cuMemcpyDtoHAsync;
import static jcuda.driver.JCudaDriver.cuMemcpyHtoD;
import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;
import static jcuda.driver.JCudaDriver.cuMemsetD32Async;
import static jcuda.driver.JCudaDriver.cuModuleGetFunction;
import static jcuda.driver.JCudaDriver.cuModuleLoadData;
import static jcuda.driver.JCudaDriver.cuModuleUnload;
import static jcuda.driver.JCudaDriver.cuStreamBeginCapture;
import static jcuda.driver.JCudaDriver.cuStreamCreate;
import static jcuda.driver.JCudaDriver.cuStreamDestroy;
import static jcuda.driver.JCudaDriver.cuStreamEndCapture;
import static jcuda.driver.JCudaDriver.cuStreamSynchronize;
import static jcuda.driver.JCudaDriver.cuStreamWaitEvent;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.jna.Memory;
import com.sun.jna.NativeLibrary;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import jcuda.CudaException;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUfunction;
import jcuda.driver.CUfunction_attribute;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUmemAllocationProp;
import jcuda.driver.CUmemAllocationType;
import jcuda.driver.CUmemGenericAllocationHandle;
import jcuda.driver.CUmemLocation;
import jcuda.driver.CUmemLocationType;
import jcuda.driver.CUmodule;
import jcuda.driver.CUstream;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.JCudaDriver;
import jcuda.nvrtc.JNvrtc;
import jcuda.nvrtc.nvrtcProgram;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** That the stand-in of the driver notices what the backend's tests count on it to notice. */
@NullMarked
class StandInDriverTest {
    private static final int NON_BLOCKING = 1;
    private static final int OUT_OF_MEMORY = 2;
    private static final int ILLEGAL_ADDRESS = 700;
    private static final long GRANULE = 2 << 20;

    private StandIns standIns = CudaTestEnvironment.open().standIns();
    private final CUdevice device = new CUdevice();
    private final CUstream stream = new CUstream();
    private final CUstream other = new CUstream();
    private final CUmodule module = new CUmodule();

    @BeforeEach
    void openContext() throws IOException {
        standIns = CudaTestEnvironment.open().standIns();
        JCudaDriver.setExceptionsEnabled(true);
        JNvrtc.setExceptionsEnabled(true);
        cuInit(0);
        cuDeviceGet(device, 0);
        CUcontext context = new CUcontext();
        cuDevicePrimaryCtxRetain(context, device);
        cuCtxSetCurrent(context);
        cuStreamCreate(stream, NON_BLOCKING);
        cuStreamCreate(other, NON_BLOCKING);
        cuModuleLoadData(module, compiled("pointwise.cu"));
    }

    @AfterEach
    void closeContext() {
        standIns.loud(false); // after an injected error these fail, and release all the same
        String before = standIns.problem();
        JCudaDriver.setExceptionsEnabled(false);
        cuModuleUnload(module);
        cuStreamDestroy(stream);
        cuStreamDestroy(other);
        String leaks = standIns.leaks();
        cuDevicePrimaryCtxRelease(device);
        JCudaDriver.setExceptionsEnabled(true);
        standIns.loud(true);
        assertEquals("", leaks, before);
    }

    private static byte[] compiled(String file) throws IOException {
        nvrtcProgram program = new nvrtcProgram();
        JNvrtc.nvrtcCreateProgram(
                program,
                Files.readString(CudaOnHost.SOURCES.resolve(file)) + "\n// probe_overrun( probe_turns(",
                file,
                1,
                new String[] {Files.readString(CudaOnHost.SOURCES.resolve("common.cuh"))},
                new String[] {"common.cuh"});
        JNvrtc.nvrtcCompileProgram(program, 1, new String[] {"--gpu-architecture=sm_90"});
        long[] bytes = new long[1];
        JNvrtc.nvrtcGetCUBINSize(program, bytes);
        byte[] binary = new byte[Math.toIntExact(bytes[0])];
        JNvrtc.nvrtcGetCUBIN(program, binary);
        JNvrtc.nvrtcDestroyProgram(program);
        return binary;
    }

    private static CUdeviceptr allocate(long bytes) {
        CUdeviceptr pointer = new CUdeviceptr();
        cuMemAlloc(pointer, bytes);
        return pointer;
    }

    private static CUdeviceptr floats(float... values) {
        CUdeviceptr pointer = allocate(4L * values.length);
        cuMemcpyHtoD(pointer, Pointer.to(values), 4L * values.length);
        return pointer;
    }

    private static float[] read(CUdeviceptr pointer, int count) {
        float[] values = new float[count];
        cuMemcpyDtoH(Pointer.to(values), pointer, 4L * count);
        return values;
    }

    /** y = factor · x, on a stream. */
    private void scale(CUdeviceptr y, CUdeviceptr x, int count, float factor, CUstream on) {
        CUfunction function = new CUfunction();
        cuModuleGetFunction(function, module, "scale_f32");
        Pointer arguments = Pointer.to(
                Pointer.to(y), Pointer.to(x), Pointer.to(new long[] {count}), Pointer.to(new float[] {factor}));
        cuLaunchKernel(function, 1, 1, 1, 256, 1, 1, 0, on, arguments, null);
    }

    private static void assertStatus(String name, Runnable action) {
        CudaException thrown = assertThrows(CudaException.class, action::run);
        assertEquals(name, thrown.getMessage());
    }

    private void assertProblem(String part) {
        assertTrue(standIns.problem().contains(part), standIns.problem());
        standIns.reset();
    }

    @Test
    void itSaysItIsAHopperAndCountsMemory() {
        int[] value = new int[1];
        cuDeviceGetAttribute(value, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device);
        assertEquals(9, value[0]);
        cuDeviceGetAttribute(value, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device);
        assertEquals(132, value[0]);
        standIns.memory(1000 * 256);
        long[] free = new long[1];
        long[] total = new long[1];
        CUdeviceptr pointer = allocate(257);
        cuMemGetInfo(free, total);
        assertEquals(1000 * 256, total[0]);
        assertEquals(998 * 256, free[0]);
        assertEquals(512, standIns.usedBytes());
        assertStatus("CUDA_ERROR_OUT_OF_MEMORY", () -> allocate(998 * 256 + 1));
        cuMemFree(pointer);
        assertEquals(0, standIns.usedBytes());
        assertEquals(512, standIns.peakBytes());
    }

    @Test
    void workWaitsUntilSomebodyWaitsForIt() {
        CUdeviceptr x = floats(1, 2, 3, 4);
        CUdeviceptr y = allocate(16);
        scale(y, x, 4, 2.5f, stream);
        // The stream does not wait for the default stream's copy, nor it for the stream.
        for (float value : read(y, 4)) {
            assertTrue(Float.isNaN(value), "fresh memory is NaN, and the launch has not run");
        }
        cuStreamSynchronize(stream);
        assertArrayEquals(new float[] {2.5f, 5, 7.5f, 10}, read(y, 4));
        standIns.schedule(StandIns.Schedule.EAGER, 1);
        scale(y, x, 4, 2, stream);
        assertArrayEquals(new float[] {2, 4, 6, 8}, read(y, 4));
        cuMemFree(x);
        cuMemFree(y);
    }

    @Test
    void aMissingEventShowsAsWrongData() {
        for (boolean waits : new boolean[] {false, true}) {
            CUdeviceptr x = floats(0, 0);
            CUdeviceptr y = allocate(8);
            Pointer pinned = new Pointer();
            cuMemAllocHost(pinned, 8);
            FloatBuffer host =
                    pinned.getByteBuffer(0, 8).order(ByteOrder.nativeOrder()).asFloatBuffer();
            host.put(0, 3).put(1, 4);
            CUevent uploaded = new CUevent();
            cuEventCreate(uploaded, 0);
            cuMemcpyHtoDAsync(x, pinned, 8, other);
            cuEventRecord(uploaded, other);
            if (waits) {
                cuStreamWaitEvent(stream, uploaded, 0);
            }
            scale(y, x, 2, 1, stream);
            cuStreamSynchronize(stream);
            assertArrayEquals(waits ? new float[] {3, 4} : new float[] {0, 0}, read(y, 2));
            // A copy from pinned memory that nobody waited for reads it when it runs.
            cuMemcpyHtoDAsync(x, pinned, 8, other);
            host.put(0, 9);
            cuStreamSynchronize(other);
            assertEquals(9, read(x, 1)[0]);
            cuEventDestroy(uploaded);
            cuMemFree(x);
            cuMemFree(y);
            cuMemFreeHost(pinned);
        }
    }

    @Test
    void eventsMeasureAMadeUpClock() {
        CUevent start = new CUevent();
        CUevent end = new CUevent();
        cuEventCreate(start, 0);
        cuEventCreate(end, 0);
        CUdeviceptr x = floats(1, 2);
        cuEventRecord(start, stream);
        scale(x, x, 2, 2, stream);
        cuEventRecord(end, stream);
        float[] milliseconds = new float[1];
        assertStatus("CUDA_ERROR_NOT_READY", () -> cuEventElapsedTime(milliseconds, start, end));
        cuEventSynchronize(end);
        cuEventElapsedTime(milliseconds, start, end);
        assertEquals(0.0035f, milliseconds[0], 1e-6f); // a launch and the event itself
        cuMemFree(x);
        cuEventDestroy(start);
        cuEventDestroy(end);
    }

    @Test
    void graphsAreRecordedAndReplayed() {
        CUdeviceptr x = floats(1, 2);
        cuStreamBeginCapture(stream, CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        scale(x, x, 2, 3, stream);
        scale(x, x, 2, 2, stream);
        CUgraph graph = new CUgraph();
        cuStreamEndCapture(stream, graph);
        assertArrayEquals(new float[] {1, 2}, read(x, 2), "recording runs nothing");
        CUgraphExec executable = new CUgraphExec();
        cuGraphInstantiate(executable, graph, 0);
        cuGraphDestroy(graph);
        cuGraphLaunch(executable, stream);
        cuGraphLaunch(executable, stream);
        cuStreamSynchronize(stream);
        assertArrayEquals(new float[] {36, 72}, read(x, 2));
        cuGraphExecDestroy(executable);
        cuMemFree(x);
    }

    @Test
    void whatMustNotBeRecordedSpoilsTheCapture() throws ExecutionException, InterruptedException {
        standIns.loud(false);
        CUdeviceptr x = floats(1, 2);
        Runnable[] forbidden = {
            () -> allocate(8), () -> read(x, 1), () -> cuStreamSynchronize(stream), () -> cuStreamSynchronize(other)
        };
        for (Runnable action : forbidden) {
            cuStreamBeginCapture(stream, CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
            // Another thread may do what it likes, but for waiting for all of the device.
            CUcontext context = new CUcontext();
            JCudaDriver.cuCtxGetCurrent(context);
            CompletableFuture.runAsync(() -> {
                        cuCtxSetCurrent(context);
                        cuMemFree(allocate(8));
                    })
                    .get();
            assertStatus("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", action);
            assertStatus("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", () -> cuStreamEndCapture(stream, new CUgraph()));
        }
        CUcontext context = new CUcontext();
        JCudaDriver.cuCtxGetCurrent(context);
        cuStreamBeginCapture(stream, CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED);
        CompletableFuture.runAsync(() -> {
                    cuCtxSetCurrent(context);
                    assertStatus("CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", JCudaDriver::cuCtxSynchronize);
                })
                .get();
        assertStatus("CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", () -> cuStreamEndCapture(stream, new CUgraph()));
        cuMemFree(x);
    }

    @Test
    void reservedAddressesAreUsableAsFarAsTheyAreMapped() {
        CUmemAllocationProp properties = new CUmemAllocationProp();
        properties.type = CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED;
        properties.location = new CUmemLocation();
        properties.location.type = CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE;
        properties.location.id = 0;
        DevicePointer base = new DevicePointer();
        cuMemAddressReserve(base, 4 * GRANULE, 0, new CUdeviceptr(), 0);
        CUmemGenericAllocationHandle physical = new CUmemGenericAllocationHandle();
        cuMemCreate(physical, GRANULE, properties, 0);
        cuMemMap(base, GRANULE, 0, physical, 0);
        standIns.loud(false);
        assertStatus("CUDA_ERROR_INVALID_VALUE", () -> cuMemcpyHtoD(base, Pointer.to(new float[1]), 4));
        assertProblem("without access");
        assertEquals(0, setAccess(base, GRANULE));
        cuMemcpyHtoD(base, Pointer.to(new float[] {5, 6}), 8);
        assertArrayEquals(new float[] {5, 6}, read(base, 2));
        assertEquals(GRANULE, standIns.usedBytes());
        // Across the end of what is mapped.
        standIns.loud(false);
        assertStatus(
                "CUDA_ERROR_INVALID_VALUE",
                () -> cuMemcpyHtoD(base.withByteOffset(GRANULE - 4), Pointer.to(new float[2]), 8));
        // A kernel that goes there faults, and nothing works after that.
        scale(base.withByteOffset(GRANULE - 4), base, 2, 1, stream);
        assertStatus("CUDA_ERROR_ILLEGAL_ADDRESS", () -> cuStreamSynchronize(stream));
        assertStatus("CUDA_ERROR_ILLEGAL_ADDRESS", () -> allocate(8));
        JCudaDriver.setExceptionsEnabled(false);
        cuMemUnmap(base, GRANULE);
        assertEquals(GRANULE, standIns.usedBytes(), "the handle still holds it");
        cuMemRelease(physical);
        assertEquals(0, standIns.usedBytes());
        assertEquals(ILLEGAL_ADDRESS, cuMemAddressFree(base, 4 * GRANULE));
    }

    /** JCuda passes the location wrongly: see the backend's own way of calling it. */
    private static int setAccess(DevicePointer base, long bytes) {
        try (Memory description = new Memory(12)) {
            description.write(0, new int[] {1, 0, 3}, 0, 3);
            return NativeLibrary.getInstance("libcuda.so.1")
                    .getFunction("cuMemSetAccess")
                    .invokeInt(new Object[] {base.address(), bytes, description, 1L});
        }
    }

    @Test
    void writingOutsideIsCaught() {
        standIns.loud(false);
        CUdeviceptr x = floats(new float[256]);
        CUdeviceptr y = allocate(4 * 256);
        CUfunction function = new CUfunction();
        cuModuleGetFunction(function, module, "probe_overrun");
        Pointer arguments = Pointer.to(Pointer.to(y), Pointer.to(x));
        cuLaunchKernel(function, 1, 1, 1, 256, 1, 1, 0, stream, arguments, null);
        assertStatus("CUDA_ERROR_ILLEGAL_ADDRESS", () -> cuStreamSynchronize(stream));
        assertTrue(standIns.problem().contains("probe_overrun"), standIns.problem());
        JCudaDriver.setExceptionsEnabled(false);
        cuMemFree(x);
        cuMemFree(y);
    }

    @Test
    void smallOverrunsAreCaughtByGuardZones() {
        standIns.loud(false);
        CUdeviceptr x = floats(1, 2, 3, 4, 5);
        CUdeviceptr y = allocate(4 * 4);
        scale(y, x, 5, 1, stream);
        assertStatus("CUDA_ERROR_ILLEGAL_ADDRESS", () -> cuStreamSynchronize(stream));
        assertTrue(standIns.problem().contains("guard zone behind the 16 bytes"), standIns.problem());
        JCudaDriver.setExceptionsEnabled(false);
        cuMemFree(x);
        cuMemFree(y);
    }

    @Test
    void badLaunchesAreRefused() {
        standIns.loud(false);
        assertStatus("CUDA_ERROR_NOT_FOUND", () -> cuModuleGetFunction(new CUfunction(), module, "update_sgd"));
        assertProblem("no kernel update_sgd in this module");
        standIns.loud(false);
        CUfunction function = new CUfunction();
        cuModuleGetFunction(function, module, "fill_f32");
        Pointer arguments =
                Pointer.to(Pointer.to(new long[] {64}), Pointer.to(new long[] {1}), Pointer.to(new float[1]));
        assertStatus(
                "CUDA_ERROR_INVALID_VALUE",
                () -> cuLaunchKernel(function, 1, 1, 1, 128, 1, 1, 0, stream, arguments, null));
        assertProblem("256 threads");
        standIns.loud(false);
        cuLaunchKernel(function, 1, 1, 1, 256, 1, 1, 0, stream, arguments, null);
        assertStatus("CUDA_ERROR_ILLEGAL_ADDRESS", () -> cuStreamSynchronize(stream));
        assertProblem("fill_f32: argument 0, 0x40, is no memory of the device");
    }

    /** Blocks that wait for each other: never more than the device holds, and in a graph as outside of one. */
    @Test
    void cooperativeLaunchesRunAllBlocksAtOnce() {
        CUfunction function = new CUfunction();
        cuModuleGetFunction(function, module, "probe_turns");
        CUdeviceptr x = floats(new float[256]);
        CUdeviceptr y = floats(new float[256]);
        CUdeviceptr turn = floats(0);
        Pointer arguments = Pointer.to(Pointer.to(y), Pointer.to(x), Pointer.to(turn));
        CUgraph graph = new CUgraph();
        cuStreamBeginCapture(stream, CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        cuLaunchCooperativeKernel(function, 3, 1, 1, 256, 1, 1, 0, stream, arguments);
        cuStreamEndCapture(stream, graph);
        CUgraphExec executable = new CUgraphExec();
        cuGraphInstantiate(executable, graph, 0);
        cuGraphLaunch(executable, stream);
        cuGraphLaunch(executable, stream);
        cuStreamSynchronize(stream);
        assertEquals(2 * (0 + 1 + 4), Float.floatToRawIntBits(read(y, 256)[7]));
        assertEquals(0, Float.floatToRawIntBits(read(turn, 1)[0]));
        standIns.loud(false);
        assertStatus(
                "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE",
                () -> cuLaunchCooperativeKernel(function, 1057, 1, 1, 256, 1, 1, 0, stream, arguments));
        assertProblem("the device holds 1056");
        standIns.loud(false);
        cuFuncSetAttribute(function, CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 48 << 10);
        assertStatus(
                "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE",
                () -> cuLaunchCooperativeKernel(function, 529, 1, 1, 256, 1, 1, 48 << 10, stream, arguments));
        assertProblem("the device holds 528");
        standIns.loud(false);
        cuLaunchKernel(function, 3, 1, 1, 256, 1, 1, 0, stream, arguments, null);
        assertStatus("CUDA_ERROR_LAUNCH_FAILED", () -> cuStreamSynchronize(stream));
        assertProblem("only a cooperative launch may do");
        JCudaDriver.setExceptionsEnabled(false);
        cuGraphExecDestroy(executable);
        cuGraphDestroy(graph);
        cuMemFree(x);
        cuMemFree(y);
        cuMemFree(turn);
    }

    @Test
    void callsFailWhenToldTo() {
        standIns.fail("cuMemAlloc", 2, OUT_OF_MEMORY);
        CUdeviceptr x = allocate(8);
        assertTrue(!standIns.failed());
        assertStatus("CUDA_ERROR_OUT_OF_MEMORY", () -> allocate(8));
        assertTrue(standIns.failed());
        CUdeviceptr y = allocate(8);
        assertEquals(3, standIns.calls("cuMemAlloc"));
        // A call that releases does so although it fails.
        standIns.fail("cuMemFree", 1, OUT_OF_MEMORY);
        assertStatus("CUDA_ERROR_OUT_OF_MEMORY", () -> cuMemFree(x));
        assertEquals(256, standIns.usedBytes());
        // While it runs, a launch has long been reported as good.
        standIns.fail("run:scale_f32", 1, 719);
        standIns.loud(false);
        scale(y, y, 2, 1, stream);
        assertStatus("CUDA_ERROR_LAUNCH_FAILED", () -> cuStreamSynchronize(stream));
        assertStatus("CUDA_ERROR_LAUNCH_FAILED", () -> cuMemsetD32Async(y, 0, 2, stream));
        assertStatus("CUDA_ERROR_LAUNCH_FAILED", () -> cuMemFree(y));
    }

    @Test
    void callsNeedAContextOnTheirThread() throws InterruptedException {
        standIns.loud(false);
        Throwable[] thrown = new Throwable[1];
        Thread thread = new Thread(() -> {
            try {
                assertStatus("CUDA_ERROR_INVALID_CONTEXT", () -> allocate(8));
            } catch (Throwable t) {
                thrown[0] = t;
            }
        });
        thread.start();
        thread.join();
        assertEquals(null, thrown[0]);
    }

    @Test
    void readingBackWaitsForItsOwnStream() {
        CUdeviceptr x = floats(1, 2);
        Pointer pinned = new Pointer();
        cuMemAllocHost(pinned, 8);
        ByteBuffer host = pinned.getByteBuffer(0, 8).order(ByteOrder.nativeOrder());
        scale(x, x, 2, 7, stream);
        cuMemcpyDtoHAsync(pinned, x, 8, stream);
        assertTrue(Float.isNaN(host.getFloat(0)));
        cuStreamSynchronize(stream);
        assertEquals(7, host.getFloat(0));
        float[] pageable = new float[2];
        scale(x, x, 2, 2, stream);
        cuMemcpyDtoHAsync(Pointer.to(pageable), x, 8, stream);
        assertArrayEquals(new float[] {14, 28}, pageable, "pageable memory is filled before the call returns");
        cuMemFreeHost(pinned);
        cuMemFree(x);
    }
}
