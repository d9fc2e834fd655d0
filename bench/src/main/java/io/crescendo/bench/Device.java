package io.crescendo.bench;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.Precision;
import java.util.Locale;

/** Opens what a benchmark's parameters name. */
public final class Device {
    private Device() {}

    /**
     * Opens a backend.
     *
     * @param device its name
     * @param threads processor threads, 0 for all
     * @param precision fp32, tf32 or bf16
     */
    public static Backend open(String device, int threads, String precision) {
        return Backends.open(device, new BackendOptions(threads).withPrecision(precision(precision)));
    }

    /** The precision of this name: fp32, tf32 or bf16. */
    static Precision precision(String name) {
        for (Precision precision : Precision.values()) {
            if (precision.name().toLowerCase(Locale.ROOT).equals(name)) {
                return precision;
            }
        }
        throw new IllegalArgumentException("unknown precision '" + name + "'; known are fp32, tf32, bf16");
    }

    /** How much coarser than float32 a precision rounds: 1, 2¹³ (10 bits kept) or 2¹⁶ (7 bits). */
    static double coarseness(String precision) {
        return switch (precision(precision)) {
            case FP32 -> 1;
            case TF32 -> 1 << 13;
            case BF16 -> 1 << 16;
        };
    }
}
