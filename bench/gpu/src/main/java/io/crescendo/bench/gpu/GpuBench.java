package io.crescendo.bench.gpu;

import picocli.CommandLine;
import picocli.CommandLine.Command;

/** Entry point; exit status 1 if a check did not pass or could not be made, 2 for wrong arguments. */
@Command(
        name = "gpu",
        mixinStandardHelpOptions = true,
        description = "Checks and measures a device, usually a GPU.",
        subcommands = {
            TestsCommand.class,
            GradientsCommand.class,
            CurvesCommand.class,
            StepCommand.class,
            ThroughputCommand.class,
            GrowCommand.class,
            GrowthCommand.class,
            CapacityStepCommand.class,
            CapacityCommand.class,
            KernelsCommand.class,
            TableCommand.class
        })
public final class GpuBench {
    private GpuBench() {}

    /** Runs one command. */
    public static void main(String[] arguments) {
        System.exit(commandLine().execute(arguments));
    }

    /** The commands, ready to execute arguments. */
    static CommandLine commandLine() {
        return new CommandLine(new GpuBench()).setCaseInsensitiveEnumValuesAllowed(true);
    }
}
