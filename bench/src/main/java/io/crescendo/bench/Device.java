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
        return Backends.open(
                device,
                new BackendOptions(threads).withPrecision(Precision.valueOf(precision.toUpperCase(Locale.ROOT))));
    }

    /** How much coarser than float32 a precision rounds: 1, 2¹³ (10 bits kept) or 2¹⁶ (7 bits). */
    static double coarseness(String precision) {
        return switch (precision) {
            case "fp32" -> 1;
            case "tf32" -> 1 << 13;
            case "bf16" -> 1 << 16;
            default ->
                throw new IllegalArgumentException("unknown precision '" + precision + "'; known are fp32, tf32, bf16");
        };
    }
}
