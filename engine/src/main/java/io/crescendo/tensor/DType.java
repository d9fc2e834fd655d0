package io.crescendo.tensor;

/** The type of one tensor element. */
public enum DType {
    /** IEEE 754 double precision, used by the reference backend. */
    FLOAT64(8),
    /** IEEE 754 single precision. */
    FLOAT32(4),
    /** The upper half of a FLOAT32: 8 exponent bits, 7 fraction bits. */
    BFLOAT16(2),
    /** Signed 32-bit integer, used for labels and indices. */
    INT32(4),
    /** Unsigned byte, used for raw images. */
    UINT8(1);

    private final int bytes;

    DType(int bytes) {
        this.bytes = bytes;
    }

    /** Bytes of one element. */
    public int bytes() {
        return bytes;
    }
}
