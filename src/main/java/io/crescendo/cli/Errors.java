package io.crescendo.cli;

import io.crescendo.cli.config.Suggestion;
import io.crescendo.data.DataException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.UnmatchedArgumentException;

/** Turns exceptions into one clear message and an exit status; a stack trace only on request or for a defect. */
final class Errors {
    private Errors() {}

    /** The arguments cannot be understood. */
    static int unusable(ParameterException e, String[] arguments) {
        CommandLine command = e.getCommandLine();
        PrintWriter err = command.getErr();
        err.println("crescendo: "
                + (e instanceof UnmatchedArgumentException unmatched
                        ? unmatched(unmatched)
                        : String.valueOf(e.getMessage()).replaceFirst("^Error: ", "")));
        err.println("Try '" + command.getCommandSpec().qualifiedName() + " --help'.");
        err.flush();
        return UserError.USAGE;
    }

    /** A word that is no command, no option and not asked for. */
    private static String unmatched(UnmatchedArgumentException e) {
        String word = e.getUnmatched().get(0);
        CommandLine command = e.getCommandLine();
        if (word.startsWith("-")) {
            List<String> options = command.getCommandSpec().options().stream()
                    .flatMap(option -> Arrays.stream(option.names()))
                    .filter(name -> name.startsWith("--"))
                    .toList();
            return "unknown option '" + word + "'" + Suggestion.didYouMean(word, options);
        }
        Set<String> commands = command.getSubcommands().keySet();
        return commands.isEmpty()
                ? "unexpected '" + word + "'; '" + command.getCommandSpec().qualifiedName() + "' has no place for it"
                : "unknown command '" + word + "'" + Suggestion.didYouMean(word, commands) + " Known: "
                        + String.join(", ", commands);
    }

    /** The command was understood but ended with an exception. */
    static int failed(Exception e, CommandLine command, boolean stacktrace) {
        PrintWriter err = command.getErr();
        if (e instanceof StoppedException stopped) {
            int status = failed(stopped.reason(), command, stacktrace);
            err.println(stopped.getMessage());
            err.flush();
            return status;
        }
        @Nullable String message = explain(e);
        err.println("crescendo: "
                + (message != null
                        ? message
                        : "internal error: " + e + "\nPlease report it with what --stacktrace shows."));
        if (stacktrace) {
            e.printStackTrace(err);
        }
        err.flush();
        return e instanceof UserError error ? error.exitCode() : UserError.FAILURE;
    }

    /** Java's heap, its direct buffers or native memory are used up. */
    static UserError outOfMemory(OutOfMemoryError e) {
        if (String.valueOf(e.getMessage()).contains("native thread")) {
            return UserError.failure("this machine does not give so many threads; ask for fewer with --threads", e);
        }
        return UserError.failure(
                "out of memory (" + e.getMessage() + "); split batches with a smaller --memory-budget, start from a"
                        + " smaller batch, or give Java more, as in JAVA_OPTS=-Xmx8g",
                e);
    }

    /** A native library cannot be used on this machine. */
    static UserError notLoaded(LinkageError e) {
        return UserError.failure(
                "a native library does not load: " + e.getMessage() + "\nLibraries are unpacked into java.io.tmpdir"
                        + " and ~/.cache: files there must be allowed to run; 'crescendo --stacktrace' shows which it is",
                e);
    }

    /** The message for a fault outside the program; null for a defect of the program. */
    private static @Nullable String explain(Throwable e) {
        if (e instanceof UserError || e instanceof DataException) {
            return e.getMessage();
        }
        if (e instanceof UncheckedIOException unchecked && unchecked.getCause() != null) {
            IOException cause = unchecked.getCause();
            String message = String.valueOf(unchecked.getMessage());
            return message.equals(cause.toString()) ? explain(cause) : message + ": " + cause.getMessage();
        }
        if (e instanceof AccessDeniedException) {
            return e.getMessage() + ": permission denied";
        }
        if (e instanceof NoSuchFileException) {
            return e.getMessage() + ": no such file";
        }
        if (e instanceof IOException) {
            return "reading or writing failed: " + e.getMessage();
        }
        // The engine's own checks: their messages name the value and the fix.
        if (e instanceof IllegalArgumentException || e instanceof IllegalStateException) {
            return e.getMessage();
        }
        return e.getClass().getName().startsWith("io.crescendo.") ? e.getMessage() : null;
    }
}
