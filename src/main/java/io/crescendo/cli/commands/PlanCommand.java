package io.crescendo.cli.commands;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.Precision;
import io.crescendo.cli.UserError;
import io.crescendo.cli.config.ConfigSource;
import io.crescendo.cli.config.RunConfig;
import io.crescendo.cli.config.Suggestion;
import io.crescendo.cli.run.Experiment;
import io.crescendo.cli.run.MemoryBudget;
import io.crescendo.cli.run.MemoryForecast;
import io.crescendo.memory.MemoryBudgetException;
import io.crescendo.models.Models;
import io.crescendo.models.data.DataSearch;
import io.crescendo.models.data.Datasets;
import io.crescendo.nn.Network;
import io.crescendo.schedule.PlanRow;
import io.crescendo.schedule.PlanTable;
import io.crescendo.schedule.PlanVariant;
import io.crescendo.schedule.TrainingPlan;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Shows what a run would do: its phases and the exact number of parameter updates. */
@Command(
        name = "plan",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = "Shows phases, noise scale and updates of a run without running it.",
        footer = {
            "",
            "Examples:",
            "  crescendo plan --preset cifar10-figure1",
            "  crescendo plan --preset cifar10-figure5-momentum --ragged keep",
            "  crescendo plan --preset fashion-wrn --memory-budget 512MiB",
            "  crescendo plan --preset imagenet-resnet50-large --memory-budget 70GiB --device cuda --precision bf16",
            "  crescendo plan --config my.yaml --schedule increasing --json"
        })
public final class PlanCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final ConfigOptions config = new ConfigOptions();

    @Option(
            names = "--schedule",
            paramLabel = "SCHEDULE",
            converter = ScheduleOption.class,
            completionCandidates = ScheduleOption.Names.class,
            description =
                    "One of ${COMPLETION-CANDIDATES} (default: all three; with --csv and --json what the configuration says).")
    private @Nullable PlanVariant schedule;

    @ArgGroup(exclusive = true)
    private Format format = new Format();

    static final class Format {
        @Option(names = "--csv", description = "One line per phase, comma-separated.")
        private boolean csv;

        @Option(names = "--json", description = "Keys 'phases' and 'updates'.")
        private boolean json;

        @Option(
                names = "--yaml",
                description = "The configuration itself and what every key means; a start for a file of your own.")
        private boolean yaml;
    }

    @Option(
            names = "--memory",
            description = "Add how each batch is split, its workspace on the device, and what fills it.")
    private boolean memory;

    @Option(
            names = "--device",
            paramLabel = "DEVICE",
            completionCandidates = DeviceOptions.Names.class,
            defaultValue = "auto",
            description = "The device that --memory is about; a GPU (cuda) need not be here (default:"
                    + " ${DEFAULT-VALUE}).")
    private String device = "auto";

    @Option(
            names = "--precision",
            paramLabel = "fp32|tf32|bf16",
            completionCandidates = DeviceOptions.Precisions.class,
            defaultValue = "fp32",
            description = "What --memory counts with; other than fp32 only for cuda (default: ${DEFAULT-VALUE}).")
    private Precision precision = Precision.FP32;

    @Option(
            names = "--memory-budget",
            paramLabel = "SIZE",
            converter = MemorySize.class,
            description = "Most memory for the workspace, such as 8GiB or 80%%; implies --memory.")
    private @Nullable MemoryBudget memoryBudget;

    @Option(names = "--data", paramLabel = "DIR", description = "Where data sets lie, if their size must be looked up.")
    private @Nullable Path data;

    @Override
    public Integer call() throws JsonProcessingException {
        DeviceOptions.requireKnown(device);
        boolean forecast = memory || memoryBudget != null;
        if (forecast && (format.csv || format.json || format.yaml)) {
            throw UserError.usage("--memory is for people; leave out --csv, --json or --yaml");
        }
        ConfigSource source = config.source().with("schedule", schedule == null ? null : schedule.label());
        RunConfig run = source.load();
        PrintWriter out = Commands.out(spec);
        remark(run);
        if (format.yaml) {
            out.print(run.toExplainedYaml());
        } else if (format.csv || format.json) {
            TrainingPlan plan = plan(source, run, run.variant());
            out.print(format.csv ? plan.table().csv() : json(plan) + "\n");
        } else {
            text(source, run, out);
        }
        out.flush();
        return 0;
    }

    /** A plan needs neither network nor images, but whoever means to train should hear that they are not here. */
    private void remark(RunConfig run) {
        PrintWriter err = Commands.err(spec);
        if (!Models.knows(run.model())) {
            err.println("note: model '" + run.model() + "' can be planned but not trained by this version"
                    + Suggestion.didYouMean(run.model(), Models.EXAMPLES) + " Known: " + Models.KNOWN);
        }
        if (!Datasets.isKnown(run.dataset())) {
            err.println("note: data set '" + run.dataset() + "' can be planned but not loaded by this version"
                    + Suggestion.didYouMean(run.dataset(), Datasets.names()) + " Known: "
                    + String.join(", ", Datasets.names()));
        }
        err.flush();
    }

    private void text(ConfigSource source, RunConfig run, PrintWriter out) {
        Map<PlanVariant, TrainingPlan> plans = new LinkedHashMap<>();
        for (PlanVariant variant : schedule != null ? List.of(schedule) : List.of(PlanVariant.values())) {
            plans.put(variant, plan(source, run, variant)); // one that cannot be ends it before anything is shown
        }
        out.println(run.name() + (run.description() == null ? "" : ": " + run.description()));
        out.printf(
                Locale.ROOT,
                "%,d training samples, %s epochs, %s network, partial batches at epochs' ends: %s%n",
                samples(run),
                PlanTable.number(run.epochs()),
                run.model(),
                run.ragged());
        if (!memory && memoryBudget == null) {
            phases(plans, out, null);
            return;
        }
        Network network = Experiment.network(run, DataSearch.standard(data));
        MemoryBudget budget = memoryBudget == null ? MemoryBudget.NONE : memoryBudget;
        try (Backend backend = open();
                MemoryForecast forecast = new MemoryForecast(backend, network, run, budget.on(backend))) {
            out.println("memory on " + backend.description());
            phases(plans, out, forecast);
            out.println();
            forecast.details(Integer.MAX_VALUE).forEach(out::println);
        } catch (MemoryBudgetException e) {
            throw budget.explained(e);
        }
    }

    /** A forecast allocates nothing, and a GPU need not be here: then sizes are those of one like an H100. */
    private Backend open() {
        try {
            return Backends.openToPlan(device, BackendOptions.DEFAULT.withPrecision(precision));
        } catch (IllegalStateException e) {
            throw UserError.failure(String.valueOf(e.getMessage()), e);
        } catch (IllegalArgumentException e) {
            throw UserError.usage("--precision: " + e.getMessage());
        }
    }

    private static void phases(
            Map<PlanVariant, TrainingPlan> plans, PrintWriter out, @Nullable MemoryForecast forecast) {
        long most = 0;
        for (Map.Entry<PlanVariant, TrainingPlan> entry : plans.entrySet()) {
            PlanVariant variant = entry.getKey();
            TrainingPlan plan = entry.getValue();
            PlanTable table = plan.table();
            most = Math.max(most, table.updates());
            List<String> additions = forecast == null ? List.of() : additions(plan, forecast);
            out.println();
            out.println(variant.label()
                    + (table.updates() < most
                            ? String.format(Locale.ROOT, " (%.1f %% of the updates)", 100.0 * table.updates() / most)
                            : ""));
            List<String> lines = table.text().lines().toList();
            for (int line = 0; line < lines.size(); line++) {
                String addition = line < additions.size() ? "  " + additions.get(line) : "";
                out.println("  " + lines.get(line) + addition);
            }
            if (forecast != null) {
                forecast.ofPartialBatches(plan).ifPresent(line -> out.println("  " + line));
            }
            plan.warnings().forEach(warning -> out.println("  note: " + warning));
        }
    }

    /** What is said of memory behind the table's lines, its header first. */
    private static List<String> additions(TrainingPlan plan, MemoryForecast forecast) {
        forecast.begin(plan);
        List<String> additions = new ArrayList<>(List.of("micro-batches, workspace"));
        plan.table().rows().forEach(row -> additions.add(forecast.of(row.batch())));
        return additions;
    }

    private TrainingPlan plan(ConfigSource source, RunConfig run, PlanVariant variant) {
        try {
            return run.plan(variant, samples(run));
        } catch (IllegalArgumentException e) {
            throw UserError.usage(source.origin() + ", schedule " + variant.label() + ": " + e.getMessage(), e);
        }
    }

    private long samples(RunConfig run) {
        Long stated = run.trainingSamples();
        return stated != null
                ? stated
                : Datasets.load(run.dataset(), DataSearch.standard(data))
                        .training()
                        .size();
    }

    private static String json(TrainingPlan plan) throws JsonProcessingException {
        ObjectMapper mapper = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);
        PlanTable table = plan.table();
        ObjectNode root = mapper.createObjectNode();
        ArrayNode phases = root.putArray("phases");
        for (PlanRow row : table.rows()) {
            phases.addObject()
                    .put("firstEpoch", row.firstEpoch())
                    .put("lastEpoch", row.lastEpoch())
                    .put("batch", row.batch())
                    .put("learningRate", row.learningRate())
                    .put("momentum", row.momentum())
                    .put("noiseScale", row.noiseScale())
                    .put("updates", row.updates())
                    .put("lastLearningRate", row.lastLearningRate())
                    .put("lastNoiseScale", row.lastNoiseScale());
        }
        root.put("updates", table.updates());
        return mapper.writeValueAsString(root);
    }
}
