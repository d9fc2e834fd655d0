package io.crescendo.cli.commands;

import io.crescendo.cli.StoppedException;
import io.crescendo.cli.UserError;
import io.crescendo.cli.config.ConfigSource;
import io.crescendo.cli.config.RunConfig;
import io.crescendo.cli.run.Experiment;
import io.crescendo.cli.run.Interruption;
import io.crescendo.cli.run.Machine;
import io.crescendo.cli.run.PhaseTable;
import io.crescendo.cli.run.ResultTable;
import io.crescendo.cli.run.RunLog;
import io.crescendo.cli.run.Screen;
import io.crescendo.cli.run.SummaryFile;
import io.crescendo.metrics.RunSummary;
import io.crescendo.schedule.PlanVariant;
import io.crescendo.schedule.TrainingPlan;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Trains one network under one schedule. */
@Command(
        name = "train",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = "Trains one network under one schedule.",
        footer = {
            "",
            "Files: <out>/{config.yaml,metrics.jsonl,summary.csv,checkpoint-*.safetensors}, figures, report.html",
            "",
            "Examples:",
            "  crescendo train --schedule increasing",
            "  crescendo train --preset fashion-wrn --data ~/datasets",
            "  crescendo train --config runs/fashion-mini-quick/config.yaml --seed 2",
            "  crescendo train --resume runs/fashion-mini-quick"
        })
public final class TrainCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final ConfigOptions config = new ConfigOptions();

    @Mixin
    private final RunOptions options = new RunOptions();

    @Option(
            names = "--schedule",
            paramLabel = "SCHEDULE",
            converter = ScheduleOption.class,
            completionCandidates = ScheduleOption.Names.class,
            description = "One of ${COMPLETION-CANDIDATES} (default: what the configuration says).")
    private @Nullable PlanVariant schedule;

    @Option(
            names = "--resume",
            paramLabel = "RUN_DIR",
            description = "Goes on with a run that was interrupted, from its newest checkpoint or from the one named;"
                    + " device, threads, precision and memory budget stay unless given.")
    private @Nullable Path resume;

    @Override
    public Integer call() throws IOException {
        @Nullable Resumption resumption = resume == null ? null : Resumption.ofRun(resume, spec);
        ConfigSource source = resumption != null
                ? resumption.source()
                : config.source().with("schedule", schedule == null ? null : schedule.label());
        RunConfig run = source.load();
        Experiment experiment = options.experiment(run, resumption == null ? null : Machine.last(resumption.folder()));
        PlanVariant variant = run.variant();
        TrainingPlan plan = plan(source, experiment, variant);
        experiment.requireMemory(List.of(plan));
        Path folder = resumption != null ? resumption.folder() : options.directory(run);
        PrintWriter out = Commands.out(spec);
        out.println(run.name() + ", " + variant.label());
        out.println(Results.text(plan));
        out.println(experiment.machine().text());
        out.println("files go to " + folder);
        options.notes().forEach(out::println);
        if (resumption != null) {
            out.println("goes on from " + resumption.checkpoint().file());
        }
        out.println();
        out.flush();
        try (Interruption interruption = new Interruption()) {
            RunSummary summary = experiment.train(
                    variant,
                    folder,
                    Screen.of(out),
                    interruption,
                    options.saving(),
                    resumption == null ? null : resumption.checkpoint());
            SummaryFile.write(folder, List.of(summary));
            out.println();
            out.println(PhaseTable.text(RunLog.below(folder)));
            out.println();
            out.println(ResultTable.text(List.of(summary)));
            out.flush();
            if (interruption.requested()) {
                out.println(Resumption.afterInterruption("train", folder, options.saving()));
                out.flush();
                return 130;
            }
            Results.write(
                    folder,
                    RunLog.below(folder),
                    run.description(),
                    Map.of(variant.label(), Results.text(plan)),
                    out,
                    Commands.err(spec));
        } catch (RuntimeException e) {
            throw StoppedException.after(e, "train", folder, folder);
        }
        return 0;
    }

    private static TrainingPlan plan(ConfigSource source, Experiment experiment, PlanVariant variant) {
        try {
            return experiment.plan(variant);
        } catch (IllegalArgumentException e) {
            throw UserError.usage(source.origin() + ", schedule " + variant.label() + ": " + e.getMessage(), e);
        }
    }
}
