package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemcpyDtoHAsync;
import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;

/** Copies between Java arrays and the device, piece by piece through pinned memory; waits until they are done. */
final class Transfer implements AutoCloseable {
    private static final int BYTES = 1 << 20;

    private final CudaDevice device;
    private final PinnedBlock pinned;
    private final ByteBuffer bytes;
    private final FloatBuffer floats;

    Transfer(CudaDevice device) {
        this.device = device;
        this.pinned = new PinnedBlock("copies", BYTES);
        this.bytes = pinned.bytes();
        this.floats = bytes.asFloatBuffer();
    }

    /** Host to device, behind everything that is on the compute stream. */
    void write(float[] values, long address) {
        for (int done = 0; done < values.length; done += floats.capacity()) {
            int part = Math.min(floats.capacity(), values.length - done);
            floats.put(0, values, done, part);
            send(address + (long) Float.BYTES * done, (long) Float.BYTES * part);
        }
    }

    /** The same for integers. */
    void write(int[] values, long address) {
        IntBuffer ints = bytes.asIntBuffer();
        for (int done = 0; done < values.length; done += ints.capacity()) {
            int part = Math.min(ints.capacity(), values.length - done);
            ints.put(0, values, done, part);
            send(address + (long) Integer.BYTES * done, (long) Integer.BYTES * part);
        }
    }

    private void send(long address, long count) {
        cuMemcpyHtoDAsync(DevicePointer.at(address), pinned.pointer(), count, device.stream());
        device.await();
    }

    /** Device to host, behind everything that is on the compute stream. */
    void read(long address, float[] values) {
        for (int done = 0; done < values.length; done += floats.capacity()) {
            int part = Math.min(floats.capacity(), values.length - done);
            fetch(address + (long) Float.BYTES * done, (long) Float.BYTES * part);
            floats.get(0, values, done, part);
        }
    }

    /** The same for numbers of half the size, which are the upper halves of floats. */
    void readBf16(long address, float[] values) {
        int most = floats.capacity();
        for (int done = 0; done < values.length; done += most) {
            int part = Math.min(most, values.length - done);
            fetch(address + (long) Short.BYTES * done, (long) Short.BYTES * part);
            for (int i = 0; i < part; i++) {
                values[done + i] = Float.intBitsToFloat(bytes.getShort(Short.BYTES * i) << Short.SIZE);
            }
        }
    }

    /** Brings a few bytes to the host; the buffer is valid until the next copy. */
    ByteBuffer fetch(long address, long count) {
        cuMemcpyDtoHAsync(pinned.pointer(), DevicePointer.at(address), count, device.stream());
        device.await();
        return bytes;
    }

    @Override
    public void close() {
        pinned.close();
    }
}
