package io.crescendo.cli;

import io.crescendo.backend.Precision;
import io.crescendo.cli.commands.CompareCommand;
import io.crescendo.cli.commands.CompletionCommand;
import io.crescendo.cli.commands.FetchCudaCommand;
import io.crescendo.cli.commands.InfoCommand;
import io.crescendo.cli.commands.PlanCommand;
import io.crescendo.cli.commands.PlotCommand;
import io.crescendo.cli.commands.ProfileCommand;
import io.crescendo.cli.commands.TrainCommand;
import io.crescendo.cli.config.Suggestion;
import io.crescendo.cli.run.Screen;
import java.io.FileDescriptor;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.HelpCommand;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.RunLast;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

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
            ProfileCommand.class,
            InfoCommand.class,
            FetchCudaCommand.class,
            CompletionCommand.class,
            HelpCommand.class
        },
        exitCodeListHeading = "%nExit status:%n",
        exitCodeList = {
            " 0:done",
            " 1:the work failed, or a file is missing or damaged",
            " 2:an option, a preset or a configuration cannot be used",
            "130:interrupted; what was recorded is whole"
        },
        footer = {
            "",
            "Examples:",
            "  crescendo compare                        three schedules on real images",
            "  crescendo plan --preset cifar10-figure1  phases and updates",
            "  crescendo train --schedule increasing    one of the schedules",
            "  crescendo help compare                   all options of a command"
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
        System.setOut(Screen.stream(FileDescriptor.out));
        System.setErr(Screen.stream(FileDescriptor.err));
        CommandLine commandLine = commandLine();
        commandLine.setOut(Screen.writer(System.out));
        commandLine.setErr(Screen.writer(System.err));
        System.exit(commandLine.execute(arguments));
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
        registerConverters(commandLine);
        commandLine.setUsageHelpAutoWidth(true);
        commandLine.setUsageHelpLongOptionsMaxWidth(30);
        commandLine.setParameterExceptionHandler(Errors::unusable);
        commandLine.setExecutionStrategy(parsed -> {
            try {
                return new RunLast().execute(parsed);
            } catch (OutOfMemoryError e) { // no exception to picocli, but the likeliest fault of a large batch
                CommandLine command = parsed.commandSpec().commandLine();
                return Errors.failed(Errors.outOfMemory(e), command, main.stacktrace);
            } catch (UnsatisfiedLinkError | NoClassDefFoundError e) { // the second of classes whose library is missing
                CommandLine command = parsed.commandSpec().commandLine();
                return Errors.failed(Errors.notLoaded(e), command, main.stacktrace);
            }
        });
        commandLine.setExecutionExceptionHandler((e, command, result) -> Errors.failed(e, command, main.stacktrace));
        return commandLine;
    }

    /** Wrong values are refused in words, not by the name of a Java type. */
    private static void registerConverters(CommandLine commandLine) {
        ITypeConverter<Integer> integers = text -> number(text, "a whole number", Integer::valueOf);
        ITypeConverter<Long> longs = text -> number(text, "a whole number", Long::valueOf);
        ITypeConverter<Double> doubles = text -> number(text, "a number", Double::valueOf);
        commandLine.registerConverter(int.class, integers).registerConverter(Integer.class, integers);
        commandLine.registerConverter(long.class, longs).registerConverter(Long.class, longs);
        commandLine.registerConverter(Precision.class, Main::precision);
        commandLine.registerConverter(double.class, doubles).registerConverter(Double.class, doubles);
    }

    private static Precision precision(String text) {
        List<String> names = Arrays.stream(Precision.values())
                .map(precision -> precision.name().toLowerCase(Locale.ROOT))
                .toList();
        if (!names.contains(text.toLowerCase(Locale.ROOT))) {
            throw new TypeConversionException("unknown precision '" + text + "'" + Suggestion.didYouMean(text, names)
                    + " Known: " + String.join(", ", names));
        }
        return Precision.valueOf(text.toUpperCase(Locale.ROOT));
    }

    private static <T> T number(String text, String kind, Function<String, T> reader) {
        try {
            return reader.apply(text);
        } catch (NumberFormatException e) {
            throw new TypeConversionException("'" + text + "' must be " + kind + " in range");
        }
    }
}
