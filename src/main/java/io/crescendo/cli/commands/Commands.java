package io.crescendo.cli.commands;

import java.io.PrintWriter;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;

/** What all commands do alike. */
final class Commands {
    private Commands() {}

    /** Where results go. */
    static PrintWriter out(@Nullable CommandSpec spec) {
        return Objects.requireNonNull(spec).commandLine().getOut(); // picocli sets it before the call
    }

    /** Where remarks go. */
    static PrintWriter err(@Nullable CommandSpec spec) {
        return Objects.requireNonNull(spec).commandLine().getErr();
    }
}
