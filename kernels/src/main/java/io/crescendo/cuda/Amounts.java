package io.crescendo.cuda;

import java.util.Locale;

/** Bytes in messages. */
final class Amounts {
    private static final double MEBIBYTE = 1 << 20;
    private static final double GIBIBYTE = 1 << 30;

    private Amounts() {}

    /** {@code 1.50 GiB (1610612736 bytes)}; small ones in MiB. */
    static String bytes(long bytes) {
        return (bytes < GIBIBYTE
                        ? String.format(Locale.ROOT, "%.2f MiB", bytes / MEBIBYTE)
                        : String.format(Locale.ROOT, "%.2f GiB", bytes / GIBIBYTE))
                + " (" + bytes + " bytes)";
    }

    /** Rounded down and written as an option takes it: {@code 1536MiB}. */
    static String budget(long bytes) {
        return bytes < MEBIBYTE ? (bytes >> 10) + "KiB" : (long) (bytes / MEBIBYTE) + "MiB";
    }
}
