// Numbers as the stand-ins of cuBLAS and cuDNN read and write them: float32, tf32 (float32 whose
// factors are rounded to 11 digits) and bf16. Sums are double. A test double.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace stand_in {

inline float bf16_to_float(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

inline uint16_t float_to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// Rounded to the 10 fraction bits that tensor cores read of a float32.
inline float rounded_to_tf32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7f800000u) == 0x7f800000u) return value;
    bits = (bits + 0x1000u) & ~0x1fffu;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// An array of float32 or bf16.
struct Array {
    void* at;
    bool bf16;
    bool tf32 = false;  // factors are rounded when they are read

    size_t bytes_each() const { return bf16 ? 2 : 4; }

    double get(size_t index) const {
        if (bf16) return bf16_to_float(((const uint16_t*)at)[index]);
        float value = ((const float*)at)[index];
        return tf32 ? rounded_to_tf32(value) : value;
    }

    void set(size_t index, double value) const {
        if (bf16)
            ((uint16_t*)at)[index] = float_to_bf16((float)value);
        else
            ((float*)at)[index] = (float)value;
    }
};

}  // namespace stand_in
