package io.crescendo.cli.run;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.OutputStreamWriter;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * Where a run is shown.
 *
 * @param out for results and progress
 * @param terminal whether out is one that can redraw a line
 */
public record Screen(PrintWriter out, boolean terminal) {
    /** How the terminal writes characters, by JDK 19 and later, by JDK 17 for a terminal, and by JDK 17 for a file. */
    private static final List<String> ENCODINGS = List.of("stdout.encoding", "sun.stdout.encoding", "native.encoding");

    /** A stream to standard output or error whose characters arrive. */
    public static PrintStream stream(FileDescriptor descriptor) {
        return new PrintStream(new FileOutputStream(descriptor), true, charset());
    }

    /** A writer on such a stream. */
    public static PrintWriter writer(PrintStream stream) {
        return new PrintWriter(new OutputStreamWriter(stream, charset()), true);
    }

    /**
     * What the locale says; UTF-8 where it says nothing, as in most containers: the C locale is ASCII, in which bars
     * and formulae would be question marks.
     */
    private static Charset charset() {
        Charset stated = ENCODINGS.stream()
                .map(System::getProperty)
                .filter(name -> name != null && !name.isEmpty() && Charset.isSupported(name))
                .findFirst()
                .map(Charset::forName)
                .orElse(Charset.defaultCharset());
        return stated.equals(StandardCharsets.US_ASCII) ? StandardCharsets.UTF_8 : stated;
    }

    /** A screen on standard output, if that is what {@code out} writes to. */
    @SuppressWarnings("SystemConsoleNull") // the property below restores that meaning
    public static Screen of(PrintWriter out) {
        // Newer JDKs have a console even without a terminal, unless told to be as strict as JDK 17.
        System.setProperty("jdk.console", "java.base");
        String kind = System.getenv("TERM");
        return new Screen(out, System.console() != null && kind != null && !kind.equals("dumb"));
    }
}
