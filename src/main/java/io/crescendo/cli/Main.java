package io.crescendo.cli;

import io.crescendo.cli.commands.CompareCommand;
import io.crescendo.cli.commands.CompletionCommand;
import io.crescendo.cli.commands.FetchCudaCommand;
import io.crescendo.cli.commands.InfoCommand;
import io.crescendo.cli.commands.PlanCommand;
import io.crescendo.cli.commands.PlotCommand;
import io.crescendo.cli.commands.TrainCommand;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.HelpCommand;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.RunLast;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

/** The program's entry point. */
@Command(
        name = "crescendo",
        versionProvider = Version.class,
        mixinStandardHelpOptions = true,
        description = "Trains neural networks with a batch that grows where the learning rate would decay.",
        subcommands = {
            CompareCommand.class,
            TrainCommand.class,
            PlanCommand.class,
            PlotCommand.class,
            InfoCommand.class,
            FetchCudaCommand.class,
            CompletionCommand.class,
            HelpCommand.class
        },
        footer = {
            "",
            "Examples:",
            "  crescendo compare                           three schedules on real images, in a few minutes",
            "  crescendo plan --preset cifar10-figure1     phases and updates, before paying for them",
            "  crescendo train --schedule increasing       one of the schedules",
            "  crescendo help compare                      all options of a command"
        })
public final class Main implements Callable<Integer> {
    @Option(
            names = "--stacktrace",
            scope = ScopeType.INHERIT,
            description = "Show where in the program an error arose.")
    private boolean stacktrace;

    @Spec
    private @Nullable CommandSpec spec;

    private Main() {}

    /** Runs one command and exits with its status. */
    public static void main(String[] arguments) {
        // Charts are drawn to files; a display would only be in the way.
        System.setProperty("java.awt.headless", "true");
        System.exit(commandLine().execute(arguments));
    }

    /** Without a command: says which there are. */
    @Override
    public Integer call() {
        if (spec != null) {
            spec.commandLine().usage(spec.commandLine().getErr());
        }
        return UserError.USAGE;
    }

    /** The command line with its handling of errors, ready to execute arguments. */
    public static CommandLine commandLine() {
        Main main = new Main();
        CommandLine commandLine = new CommandLine(main);
        commandLine.setCaseInsensitiveEnumValuesAllowed(true);
        commandLine.setUsageHelpAutoWidth(true);
        commandLine.setUsageHelpLongOptionsMaxWidth(30);
        commandLine.setParameterExceptionHandler(Errors::unusable);
        commandLine.setExecutionStrategy(parsed -> {
            try {
                return new RunLast().execute(parsed);
            } catch (OutOfMemoryError e) { // no exception to picocli, but the likeliest fault of a large batch
                CommandLine command = parsed.commandSpec().commandLine();
                return Errors.failed(Errors.outOfMemory(e), command, main.stacktrace);
            }
        });
        commandLine.setExecutionExceptionHandler((e, command, result) -> Errors.failed(e, command, main.stacktrace));
        return commandLine;
    }
}
