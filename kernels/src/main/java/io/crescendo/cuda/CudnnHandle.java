package io.crescendo.cuda;

import jcuda.jcudnn.cudnnHandle;

/** A handle of cuDNN whose address can be read: its graph functions take it as an attribute. */
final class CudnnHandle extends cudnnHandle {
    long address() {
        return getNativePointer();
    }
}
