package io.crescendo.cuda;

import static jcuda.jcudnn.JCudnn.cudnnBackendCreateDescriptor;
import static jcuda.jcudnn.JCudnn.cudnnBackendDestroyDescriptor;
import static jcuda.jcudnn.JCudnn.cudnnBackendFinalize;
import static jcuda.jcudnn.JCudnn.cudnnBackendGetAttribute;
import static jcuda.jcudnn.JCudnn.cudnnBackendSetAttribute;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_BACKEND_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_BOOLEAN;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_FLOAT;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_HANDLE;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_INT64;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_VOID_PTR;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import java.util.ArrayList;
import java.util.List;
import jcuda.CudaException;
import jcuda.jcudnn.cudnnBackendDescriptor;

/**
 * A descriptor of cuDNN's graph functions: created, given its attributes, finished, then used or put into another one.
 *
 * <p>JCudnn hands the address of an attribute's elements straight to the library, so they must lie outside the Java
 * heap: a Pointer to a Java array would arrive as null.
 *
 * <p>Every failure is a {@link CudaException}, whether JCuda throws by itself or returns a status.
 */
final class GraphDescriptor extends cudnnBackendDescriptor implements AutoCloseable {
    private boolean created;

    private GraphDescriptor() {}

    /** Creates an empty descriptor of a {@link jcuda.jcudnn.cudnnBackendDescriptorType}. */
    static GraphDescriptor create(int type) {
        GraphDescriptor descriptor = new GraphDescriptor();
        check(cudnnBackendCreateDescriptor(type, descriptor));
        descriptor.created = true;
        return descriptor;
    }

    static void check(int status) {
        if (status != 0) {
            throw new CudaException("INVALID cudnnStatus: " + status);
        }
    }

    private long address() {
        return getNativePointer();
    }

    GraphDescriptor withLongs(int attribute, long... values) {
        return longs(attribute, CUDNN_TYPE_INT64, values);
    }

    /** Addresses on the device. */
    GraphDescriptor withAddresses(int attribute, long... addresses) {
        return longs(attribute, CUDNN_TYPE_VOID_PTR, addresses);
    }

    GraphDescriptor with(int attribute, CudnnHandle handle) {
        return longs(attribute, CUDNN_TYPE_HANDLE, handle.address());
    }

    GraphDescriptor with(int attribute, List<GraphDescriptor> descriptors) {
        return longs(
                attribute,
                CUDNN_TYPE_BACKEND_DESCRIPTOR,
                descriptors.stream().mapToLong(GraphDescriptor::address).toArray());
    }

    GraphDescriptor with(int attribute, GraphDescriptor descriptor) {
        return with(attribute, List.of(descriptor));
    }

    private GraphDescriptor longs(int attribute, int type, long... values) {
        try (Memory memory = new Memory((long) Long.BYTES * values.length)) {
            memory.write(0, values, 0, values.length);
            return set(attribute, type, values.length, memory);
        }
    }

    /**
     * A member of an enumeration.
     *
     * @param type of {@link jcuda.jcudnn.cudnnBackendAttributeType}
     */
    GraphDescriptor withEnum(int attribute, int type, int value) {
        try (Memory memory = new Memory(Integer.BYTES)) {
            memory.setInt(0, value);
            return set(attribute, type, 1, memory);
        }
    }

    GraphDescriptor withFloat(int attribute, float value) {
        try (Memory memory = new Memory(Float.BYTES)) {
            memory.setFloat(0, value);
            return set(attribute, CUDNN_TYPE_FLOAT, 1, memory);
        }
    }

    GraphDescriptor withFlag(int attribute, boolean value) {
        try (Memory memory = new Memory(Byte.BYTES)) {
            memory.setByte(0, (byte) (value ? 1 : 0));
            return set(attribute, CUDNN_TYPE_BOOLEAN, 1, memory);
        }
    }

    private GraphDescriptor set(int attribute, int type, long count, Memory elements) {
        check(cudnnBackendSetAttribute(this, attribute, type, count, DevicePointer.at(Pointer.nativeValue(elements))));
        return this;
    }

    /** No attribute can be set after this. */
    GraphDescriptor finish() {
        check(cudnnBackendFinalize(this));
        return this;
    }

    /** A number of a finished descriptor. */
    long number(int attribute) {
        try (Memory memory = new Memory(Long.BYTES)) {
            memory.setLong(0, 0);
            get(attribute, CUDNN_TYPE_INT64, 1, memory);
            return memory.getLong(0);
        }
    }

    /** Members of an enumeration, at most {@code most}. */
    List<Integer> enums(int attribute, int type, int most) {
        try (Memory memory = new Memory((long) Integer.BYTES * most)) {
            memory.clear();
            long count = get(attribute, type, most, memory);
            List<Integer> values = new ArrayList<>();
            for (int i = 0; i < Math.min(count, most); i++) {
                values.add(memory.getInt((long) Integer.BYTES * i));
            }
            return values;
        }
    }

    /**
     * Descriptors of a finished descriptor: cuDNN fills empty ones.
     *
     * @param type of {@link jcuda.jcudnn.cudnnBackendDescriptorType}
     * @param most how many at most
     * @param scope closes them
     */
    List<GraphDescriptor> descriptors(int attribute, int type, int most, CudaScope scope) {
        List<GraphDescriptor> filled = new ArrayList<>();
        try (Memory memory = new Memory((long) Long.BYTES * most)) {
            for (int i = 0; i < most; i++) {
                GraphDescriptor empty = create(type);
                scope.onClose(empty::close);
                filled.add(empty);
                memory.setLong((long) Long.BYTES * i, empty.address());
            }
            long count = get(attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, memory);
            return List.copyOf(filled.subList(0, (int) Math.min(count, most)));
        }
    }

    private long get(int attribute, int type, long most, Memory elements) {
        long[] count = new long[1];
        check(cudnnBackendGetAttribute(
                this, attribute, type, most, count, DevicePointer.at(Pointer.nativeValue(elements))));
        return count[0];
    }

    @Override
    public void close() {
        if (created) {
            created = false;
            check(cudnnBackendDestroyDescriptor(this));
        }
    }
}
