package io.crescendo.cuda;

import jcuda.driver.CUdeviceptr;

/** An address on the device that can be read as a number; JCuda hides it. */
final class DevicePointer extends CUdeviceptr {
    /** A null pointer, for calls that fill it. */
    DevicePointer() {}

    private DevicePointer(long address) {
        super(new CUdeviceptr(), address);
    }

    /** A pointer to an address: the form in which JCuda's functions take it. */
    static DevicePointer at(long address) {
        return new DevicePointer(address);
    }

    long address() {
        return getNativePointer() + getByteOffset();
    }
}
