package io.crescendo.cuda;

import org.jspecify.annotations.NullMarked;

/** Element types of kernel arguments. */
@NullMarked
enum ElementType {
    F32(4),
    BF16(2),
    F64(8),
    I32(4),
    I64(8),
    U8(1);

    final int bytes;

    ElementType(int bytes) {
        this.bytes = bytes;
    }
}
