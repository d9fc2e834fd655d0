package io.crescendo.cli.commands;

import io.crescendo.backend.BackendProvider;
import io.crescendo.backend.Backends;
import io.crescendo.cli.UserError;
import io.crescendo.cli.config.RunConfig;
import io.crescendo.cli.config.Suggestion;
import io.crescendo.cli.run.Experiment;
import io.crescendo.cli.run.MemoryBudget;
import io.crescendo.cli.run.RunDirectory;
import io.crescendo.models.data.DataSearch;
import io.crescendo.models.data.DataSplit;
import io.crescendo.models.data.Datasets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The options that say where training runs and where its files go. */
final class RunOptions {
    @Option(
            names = "--device",
            paramLabel = "NAME",
            defaultValue = "auto",
            description = "auto, cpu, cuda or reference; see 'crescendo info' (default: ${DEFAULT-VALUE}).")
    private String device = "auto";

    @Option(
            names = "--threads",
            paramLabel = "COUNT",
            defaultValue = "0",
            description = "Processor threads to use; 0 for all (default: ${DEFAULT-VALUE}).")
    private int threads;

    @Option(
            names = "--memory-budget",
            paramLabel = "SIZE",
            converter = MemorySize.class,
            description = "Most memory for the workspace, such as 8GiB or 80%%; larger batches are split to fit.")
    private MemoryBudget memoryBudget = MemoryBudget.NONE;

    @Option(names = "--data", paramLabel = "DIR", description = "Where data sets lie.")
    private @Nullable Path data;

    @Option(names = "--out", paramLabel = "DIR", description = "Where files go (default: runs/<name>).")
    private @Nullable Path out;

    @Option(names = "--force", description = "Replace an earlier run in that folder.")
    private boolean force;

    /** Everything that can be wrong is found here, before training. */
    Experiment experiment(RunConfig config) {
        if (threads < 0) {
            throw UserError.usage("--threads " + threads + ": must be 0 for all, or a positive count");
        }
        requireDevice();
        DataSplit split = load(config);
        return Experiment.of(config, split, new Experiment.Machine(device, threads, memoryBudget));
    }

    /** The folder, created. */
    Path directory(RunConfig config) {
        return RunDirectory.create(out, config.name(), force);
    }

    private void requireDevice() {
        List<String> known = new ArrayList<>(List.of("auto"));
        Backends.providers().stream().map(BackendProvider::name).forEach(known::add);
        if (!known.contains(device)) {
            // No guess at what was meant: gpu is one letter from cpu.
            throw UserError.usage("--device " + device + ": unknown. Known: " + String.join(", ", known));
        }
    }

    private DataSplit load(RunConfig config) {
        if (!Datasets.names().contains(config.dataset())) {
            throw UserError.usage("data set '" + config.dataset() + "' of '" + config.name() + "' cannot be loaded"
                    + Suggestion.didYouMean(config.dataset(), Datasets.names()) + " Available: "
                    + String.join(", ", Datasets.names()) + ". 'crescendo plan' works without data.");
        }
        return Datasets.load(config.dataset(), DataSearch.standard(data));
    }
}
