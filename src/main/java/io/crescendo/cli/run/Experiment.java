package io.crescendo.cli.run;

import io.crescendo.backend.Backend;
import io.crescendo.backend.Backends;
import io.crescendo.cli.UserError;
import io.crescendo.cli.config.RunConfig;
import io.crescendo.cli.config.Suggestion;
import io.crescendo.data.ImageShape;
import io.crescendo.memory.MemoryBudgetException;
import io.crescendo.metrics.RunSummary;
import io.crescendo.models.Models;
import io.crescendo.models.data.DataForm;
import io.crescendo.models.data.DataSearch;
import io.crescendo.models.data.DataSplit;
import io.crescendo.models.data.Datasets;
import io.crescendo.nn.Network;
import io.crescendo.optim.DecayPolicy;
import io.crescendo.optim.Optimizer;
import io.crescendo.schedule.PlanRow;
import io.crescendo.schedule.PlanVariant;
import io.crescendo.schedule.TrainingPlan;
import io.crescendo.train.Checkpoint;
import io.crescendo.train.CheckpointFolder;
import io.crescendo.train.StepPlanner;
import io.crescendo.train.Trainer;
import io.crescendo.train.TrainingOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import org.jspecify.annotations.Nullable;

/**
 * One configuration on one machine, ready to train any of its schedules.
 *
 * @param config what is to be run
 * @param data of the size that the configuration states
 * @param network for the shape of the data
 * @param machine where
 */
public record Experiment(RunConfig config, DataSplit data, Network network, Machine machine) {
    /**
     * When a run leaves checkpoints.
     *
     * @param wanted whether at all
     * @param everyEpochs so many, or 0 for every two minutes; at the end in any case
     */
    public record Saving(boolean wanted, double everyEpochs) {}

    /** Checks that configuration, data and network fit. */
    public static Experiment of(RunConfig config, DataSplit data, Machine machine) {
        Long stated = config.trainingSamples();
        int found = data.training().size();
        if (stated != null && stated != found) {
            throw UserError.usage("trainingSamples is " + stated + ", but data set '" + config.dataset() + "' has "
                    + found + "; correct it or leave it out");
        }
        ImageShape images = data.training().shape();
        if (config.augmentation().pad() >= Math.min(images.height(), images.width())) {
            throw UserError.usage(
                    "augmentation.pad is " + config.augmentation().pad() + ", but the images of data set '"
                            + config.dataset() + "' are " + images.height() + "x" + images.width()
                            + "; it must be smaller than both");
        }
        return new Experiment(
                config,
                data,
                network(config, data.training().shape(), data.training().classes()),
                machine);
    }

    /** The network that a configuration names. */
    public static Network network(RunConfig config, ImageShape images, int classes) {
        if (!Models.knows(config.model())) {
            throw UserError.usage("model '" + config.model() + "' of '" + config.name() + "' is unknown"
                    + Suggestion.didYouMean(config.model(), Models.EXAMPLES) + " Known: " + Models.KNOWN);
        }
        try {
            return Models.named(config.model(), images.channels(), images.height(), images.width(), classes);
        } catch (IllegalArgumentException e) {
            throw UserError.usage("model of '" + config.name() + "': " + e.getMessage(), e);
        }
    }

    /** The network that a configuration names, for the images of its data set, which need not be here. */
    public static Network network(RunConfig config, DataSearch search) {
        if (!Datasets.isKnown(config.dataset())) {
            throw UserError.usage("the images of data set '" + config.dataset() + "' of '" + config.name()
                    + "' have no size that is known here; name one of " + String.join(", ", Datasets.names()));
        }
        DataForm form = Datasets.form(config.dataset(), search);
        return network(config, form.images(), form.classes());
    }

    /** The optimizer that a configuration names. */
    public static Optimizer optimizer(RunConfig config) {
        Double clipNorm = config.clipNorm();
        return Optimizer.named(config.optimizer(), config.weightDecay())
                .withDecay(config.decay().equals("all") ? DecayPolicy.ALL_PARAMETERS : DecayPolicy.WEIGHTS)
                .withClipping(clipNorm == null ? Double.POSITIVE_INFINITY : clipNorm);
    }

    /** What a schedule would do. */
    public TrainingPlan plan(PlanVariant variant) {
        return config.plan(variant, data.training().size());
    }

    /**
     * Fails where not even the smallest micro-batch fits a stated memory budget, before anything is written.
     *
     * @param plans of the schedules that are to be trained
     */
    public void requireMemory(Collection<TrainingPlan> plans) {
        MemoryBudget budget = machine.memoryBudget();
        if (budget.equals(MemoryBudget.NONE)) {
            return;
        }
        long largest = plans.stream()
                .flatMap(plan -> plan.table().rows().stream())
                .mapToLong(PlanRow::batch)
                .max()
                .orElse(1);
        try (Backend backend = Backends.open(machine.device(), machine.backend());
                StepPlanner planner = new StepPlanner(
                        backend, network, config.ghostBatch(), config.labelSmoothing(), budget.on(backend))) {
            planner.evaluationBytes(1, Long.MAX_VALUE);
            planner.plan(Math.toIntExact(Math.min(config.ghostBatch(), largest)));
        } catch (MemoryBudgetException e) {
            throw budget.explained(e);
        }
    }

    /**
     * Trains one schedule into a folder. When interrupted the files are completed all the same.
     *
     * @param saving when checkpoints are left
     * @param from where an earlier run into this folder is continued, or null to begin
     * @return the last line of the run
     * @throws IllegalArgumentException if the checkpoint belongs to another run
     */
    public RunSummary train(
            PlanVariant variant,
            Path folder,
            Screen screen,
            Interruption interruption,
            Saving saving,
            @Nullable Checkpoint from)
            throws IOException {
        CheckpointFolder checkpoints = new CheckpointFolder(folder, saving.everyEpochs());
        if (from == null) {
            Files.createDirectories(folder);
            checkpoints.removeAfter(-1);
        }
        TrainingPlan plan = plan(variant);
        @Nullable Machine before = from == null ? null : Machine.last(folder);
        Integer noiseEvery = config.measureGradientNoise();
        // A backend per run, so that the peak of its workspace is this run's.
        try (Backend backend = Backends.open(machine.device(), machine.backend());
                Trainer trainer = new Trainer(
                        backend,
                        network,
                        plan,
                        optimizer(config),
                        data.training(),
                        data.test(),
                        config.augmentation().toAugmentation(),
                        new TrainingOptions(
                                config.ghostBatch(),
                                config.labelSmoothing(),
                                machine.memoryBudget().on(backend),
                                config.evaluateEvery(),
                                config.seed(),
                                noiseEvery == null ? 0 : noiseEvery));
                MetricsFile metrics = metrics(trainer, folder, variant, Environment.here(backend.description()), from);
                ProgressView view =
                        ProgressView.of(screen, variant.label(), config.epochs(), from == null ? 0 : from.epochs())) {
            if (from != null) {
                checkpoints.removeAfter(from.updates());
                String change = change(before, from, backend);
                if (!change.isEmpty()) {
                    screen.out().println(change);
                }
            }
            if (saving.wanted()) {
                trainer.saveTo(checkpoints);
            }
            trainer.listen(metrics);
            trainer.listen(view);
            interruption.watch(trainer);
            RunSummary summary = trainer.run(variant.label());
            interruption.watch(null);
            metrics.finished(summary, interruption.requested());
            return summary;
        } catch (MemoryBudgetException e) {
            throw machine.memoryBudget().explained(e);
        }
    }

    /** The checkpoint is judged before the metrics of the earlier run are touched. */
    private MetricsFile metrics(
            Trainer trainer, Path folder, PlanVariant variant, Environment environment, @Nullable Checkpoint from)
            throws IOException {
        if (from == null) {
            Files.writeString(folder.resolve("config.yaml"), config.toYaml());
            return MetricsFile.create(folder, config, variant.label(), environment, machine);
        }
        trainer.resume(from);
        return MetricsFile.resume(folder, config, variant.label(), environment, machine, from);
    }

    /**
     * The line that says that a run goes on under other conditions, or nothing where it ends with the same bits.
     *
     * @param before what the run was asked for, or null if unknown
     */
    private String change(@Nullable Machine before, Checkpoint from, Backend backend) {
        String device = backend.description();
        String deviceBefore = from.texts().getOrDefault("device", device);
        MemoryBudget budget = machine.memoryBudget();
        MemoryBudget budgetBefore = before == null ? budget : before.memoryBudget();
        return device.equals(deviceBefore) && budget.equals(budgetBefore)
                ? ""
                : "note: began on " + deviceBefore + ", memory budget " + budgetBefore.text() + "; goes on on " + device
                        + ", memory budget " + budget.text() + ": equal to an uninterrupted run up to rounding only";
    }
}
