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
import io.crescendo.train.NonFiniteLossException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Trains one network under the paper's three schedules and shows that they reach the same in fewer updates. */
@Command(
        name = "compare",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description =
                "Trains the same network under three schedules: decaying learning rate, hybrid and increasing batch.",
        footer = {
            "",
            "Files: <out>/<schedule>/{config.yaml,metrics.jsonl,checkpoint-*.safetensors},",
            "in <out>/<schedule>/seed-<seed> with several seeds, and",
            "<out>/{config.yaml,summary.csv,report.html} and figures",
            "",
            "Examples:",
            "  crescendo compare",
            "  crescendo compare --seeds 1,2,3 --out runs/three-seeds",
            "  crescendo compare --preset fashion-wrn --data ~/datasets --memory-budget 8GiB",
            "  crescendo compare --config my.yaml --epochs 5 --threads 4",
            "  crescendo compare --resume runs/fashion-mini-quick"
        })
public final class CompareCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final ConfigOptions config = new ConfigOptions();

    @Mixin
    private final RunOptions options = new RunOptions();

    @Option(names = "--seeds", paramLabel = "SEED", split = ",", description = "Several seeds, one after another.")
    private @Nullable List<Long> seeds;

    @Option(
            names = "--resume",
            paramLabel = "RUN_DIR",
            description = "Goes on with a comparison that was interrupted; what is finished is not run again;"
                    + " device, threads, precision and memory budget stay unless given.")
    private @Nullable Path resume;

    @Override
    public Integer call() throws IOException {
        ConfigSource source = resume == null ? config.source() : Resumption.ofComparison(resume, spec);
        @Nullable List<Long> stated = resume == null ? seeds : Resumption.seeds(resume);
        if (seeds != null) {
            if (config.statesSeed()) {
                throw UserError.usage("--seed and --seeds are both given; keep one");
            }
            if (seeds.isEmpty()) {
                throw UserError.usage("--seeds: names none; give at least one, as in --seeds 1,2,3");
            }
            source.with("seed", seeds.get(0));
        }
        RunConfig first = source.load();
        List<Long> each = stated == null
                ? List.of(first.seed())
                : stated.stream().distinct().toList();
        Experiment experiment = options.experiment(first, resume == null ? null : Machine.last(resume));
        Map<String, TrainingPlan> plans = plans(source, experiment);
        experiment.requireMemory(plans.values());
        Path folder = resume != null ? resume : options.directory(first);
        if (resume == null) {
            Files.writeString(folder.resolve("config.yaml"), Resumption.seedsLine(each) + first.toYaml());
        }
        PrintWriter out = Commands.out(spec);
        Screen screen = Screen.of(out);
        out.println(first.name() + (first.description() == null ? "" : ": " + first.description()));
        out.println(experiment.machine().text());
        out.println("files go to " + folder);
        options.notes().forEach(out::println);
        warnings(plans).forEach((warning, labels) -> out.println("note, " + labels + ": " + warning));
        out.println();
        out.flush();
        List<RunSummary> summaries = new ArrayList<>();
        List<String> diverged = new ArrayList<>();
        try (Interruption interruption = new Interruption()) {
            for (long seed : each) {
                if (each.size() > 1) {
                    out.println("seed " + seed);
                }
                for (PlanVariant variant : PlanVariant.values()) {
                    if (interruption.requested()) {
                        break;
                    }
                    RunConfig run = source.with("seed", seed)
                            .with("schedule", variant.label())
                            .load();
                    Path place = folder.resolve(variant.label());
                    Path own = each.size() == 1 ? place : place.resolve("seed-" + seed);
                    @Nullable RunSummary earlier = resume == null ? null : RunLog.finished(own);
                    if (earlier != null) {
                        out.println(variant.label() + " is finished");
                        summaries.add(earlier);
                        continue;
                    }
                    try {
                        summaries.add(Experiment.of(run, experiment.data(), experiment.machine())
                                .train(
                                        variant,
                                        own,
                                        screen,
                                        interruption,
                                        options.saving(),
                                        resume == null ? null : Resumption.newest(own)));
                        SummaryFile.write(folder, summaries);
                    } catch (NonFiniteLossException e) {
                        diverged.add(
                                variant.label() + (each.size() > 1 ? ", seed " + seed : "") + ": " + e.getMessage());
                    } catch (RuntimeException e) {
                        throw StoppedException.after(e, "compare", folder, own);
                    }
                }
            }
            out.println();
            out.println(PhaseTable.text(RunLog.below(folder)));
            out.println();
            if (!summaries.isEmpty()) {
                out.println(ResultTable.text(summaries));
            }
            out.println(conclusion(summaries));
            diverged.forEach(out::println);
            out.flush();
            if (interruption.requested()) {
                out.println(Resumption.afterInterruption("compare", folder, options.saving()));
                out.flush();
                return 130;
            }
            Map<String, String> texts = new LinkedHashMap<>();
            plans.forEach((label, plan) -> texts.put(label, Results.text(plan)));
            Results.write(folder, RunLog.below(folder), first.description(), texts, out, Commands.err(spec));
        }
        return diverged.isEmpty() ? 0 : UserError.FAILURE;
    }

    /** Each with the schedules that it is about. */
    private static Map<String, String> warnings(Map<String, TrainingPlan> plans) {
        Map<String, String> warnings = new LinkedHashMap<>();
        plans.forEach((label, plan) -> plan.warnings()
                .forEach(warning -> warnings.merge(warning, label, (before, more) -> before + " and " + more)));
        return warnings;
    }

    private static Map<String, TrainingPlan> plans(ConfigSource source, Experiment experiment) {
        Map<String, TrainingPlan> plans = new LinkedHashMap<>();
        for (PlanVariant variant : PlanVariant.values()) {
            try {
                plans.put(variant.label(), experiment.plan(variant));
            } catch (IllegalArgumentException e) {
                throw UserError.usage(source.origin() + ", schedule " + variant.label() + ": " + e.getMessage(), e);
            }
        }
        return plans;
    }

    /** The claim in one line, as far as these runs show it. */
    private static String conclusion(List<RunSummary> summaries) {
        double decaying = mean(summaries, PlanVariant.DECAYING, true);
        double increasing = mean(summaries, PlanVariant.INCREASING, true);
        if (Double.isNaN(decaying) || Double.isNaN(increasing)) {
            return "";
        }
        return String.format(
                Locale.ROOT,
                "%nincreasing the batch took %.1f %% of the updates%nand ended %+.2f points of test accuracy from decaying",
                100 * increasing / decaying,
                100 * (mean(summaries, PlanVariant.INCREASING, false) - mean(summaries, PlanVariant.DECAYING, false)));
    }

    private static double mean(List<RunSummary> summaries, PlanVariant variant, boolean updates) {
        return summaries.stream()
                .filter(summary -> summary.schedule().equals(variant.label()))
                .mapToDouble(summary -> updates ? summary.updates() : summary.testAccuracy())
                .average()
                .orElse(Double.NaN);
    }
}
