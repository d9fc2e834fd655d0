package io.crescendo.cli.run;

import java.util.Locale;

/** Spans of time for people. */
final class Duration {
    private Duration() {}

    /** {@code 0:07}, {@code 12:34} or {@code 1:02:03}. */
    static String text(double seconds) {
        if (!(seconds >= 0) || seconds > 1e9) {
            return "?";
        }
        long whole = Math.round(seconds);
        return whole < 3600
                ? String.format(Locale.ROOT, "%d:%02d", whole / 60, whole % 60)
                : String.format(Locale.ROOT, "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
    }
}
