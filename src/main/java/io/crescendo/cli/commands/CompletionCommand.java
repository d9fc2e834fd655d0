package io.crescendo.cli.commands;

import java.io.PrintWriter;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.AutoComplete;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** Prints a script that teaches the shell this program's commands, options and presets. */
@Command(
        name = "completion",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = "Prints a completion script for bash and zsh.",
        footer = {"", "Example:", "  source <(crescendo completion)"})
public final class CompletionCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
        PrintWriter out = Commands.out(spec);
        if (spec != null) {
            out.print(AutoComplete.bash("crescendo", spec.root().commandLine()));
        }
        out.flush();
        return 0;
    }
}
