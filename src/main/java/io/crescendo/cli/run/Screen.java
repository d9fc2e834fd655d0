package io.crescendo.cli.run;

import java.io.PrintWriter;

/**
 * Where a run is shown.
 *
 * @param out for results and progress
 * @param terminal whether out is one that can redraw a line
 */
public record Screen(PrintWriter out, boolean terminal) {
    /** A screen on standard output, if that is what {@code out} writes to. */
    @SuppressWarnings("SystemConsoleNull") // the property below restores that meaning
    public static Screen of(PrintWriter out) {
        // Newer JDKs have a console even without a terminal, unless told to be as strict as JDK 17.
        System.setProperty("jdk.console", "java.base");
        String kind = System.getenv("TERM");
        return new Screen(out, System.console() != null && kind != null && !kind.equals("dumb"));
    }
}
