package io.crescendo.cli.commands;

import io.crescendo.backend.BackendOptions;
import io.crescendo.cli.UserError;
import io.crescendo.cli.config.RunConfig;
import io.crescendo.cli.config.Suggestion;
import io.crescendo.cli.run.Experiment;
import io.crescendo.cli.run.Machine;
import io.crescendo.cli.run.MemoryBudget;
import io.crescendo.cli.run.RunDirectory;
import io.crescendo.models.data.DataSearch;
import io.crescendo.models.data.DataSplit;
import io.crescendo.models.data.Datasets;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** The options that say where training runs and where its files go. */
final class RunOptions {
    @Spec(Spec.Target.MIXEE)
    private @Nullable CommandSpec spec;

    @Mixin
    private final DeviceOptions device = new DeviceOptions();

    @Option(
            names = "--memory-budget",
            paramLabel = "SIZE",
            converter = MemorySize.class,
            description = "Most memory for the workspace, such as 8GiB or 80%%; larger batches are split to fit.")
    private MemoryBudget memoryBudget = MemoryBudget.NONE;

    @Option(names = "--data", paramLabel = "DIR", description = "Where data sets lie.")
    private @Nullable Path data;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            description = "Where files go (default: runs/<name>, or where that is taken runs/<name>-2 and so on).")
    private @Nullable Path out;

    @Option(
            names = "--checkpoint-every",
            paramLabel = "EPOCHS|never",
            converter = CheckpointInterval.class,
            description = "When to save what a run needs to go on (default: every two minutes, and at the end).")
    private Experiment.Saving saving = new Experiment.Saving(true, 0);

    @Option(names = "--force", description = "Replace an earlier run in that folder.")
    private boolean force;

    /**
     * Everything that can be wrong is found here, before training.
     *
     * @param earlier what a run that goes on was asked for, which holds where nothing else is given; null if unknown
     */
    Experiment experiment(RunConfig config, @Nullable Machine earlier) {
        if (earlier != null) {
            Predicate<String> given = option ->
                    spec != null && spec.commandLine().getParseResult().hasMatchedOption(option);
            device.keep(earlier, given);
            memoryBudget = given.test("--memory-budget") ? memoryBudget : earlier.memoryBudget();
        }
        BackendOptions backend = device.backend();
        DataSplit split = load(config);
        return Experiment.of(config, split, new Machine(device.device(), backend, memoryBudget));
    }

    /** When checkpoints are left. */
    Experiment.Saving saving() {
        return saving;
    }

    /** The folder, created. */
    Path directory(RunConfig config) {
        return RunDirectory.create(out, config.name(), force);
    }

    /** Why {@code --device auto} did not take what it tries first; a line each, usually none. */
    List<String> notes() {
        return device.notes();
    }

    private DataSplit load(RunConfig config) {
        if (!Datasets.isKnown(config.dataset())) {
            throw UserError.usage("data set '" + config.dataset() + "' of '" + config.name() + "' cannot be loaded"
                    + Suggestion.didYouMean(config.dataset(), Datasets.names()) + " Available: "
                    + String.join(", ", Datasets.names()) + ". 'crescendo plan' works without data.");
        }
        return Datasets.load(config.dataset(), DataSearch.standard(data).announcing(Commands.err(spec)::println));
    }
}
