package io.crescendo.bench.gpu;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * What raising the batch costs in one process: ours announced and not, PyTorch eager and compiled.
 *
 * <p>An update is timed from an idle device to an idle device. The cost of growing is the first update at the new batch
 * less a steady one there, the median of the last. Every process begins with empty caches for what is chosen or
 * compiled per batch size: inductor's and Triton's there, the methods of convolutions here, for what an earlier process
 * left would hide the cost. A run that is cut short keeps the steps that it finished.
 */
@Command(name = "growth", description = "What raising the batch costs, beside PyTorch.")
final class GrowthCommand implements Callable<Integer> {
    /** Updates whose median is the time of a steady one. */
    private static final int STEADY = 5;

    /** Without as much there is no point in beginning a run. */
    private static final double LEAST_SECONDS = 10;

    /**
     * The updates at one batch.
     *
     * @param waitedSeconds for the batch to be prepared in the background, training on; null where nothing was
     *     announced
     * @param microBatches in how many pieces it ran
     * @param millis of every update, in order
     */
    record Stage(int batch, @Nullable Double waitedSeconds, int microBatches, List<Double> millis) {
        double steadyMillis() {
            return Measurement.median(millis.subList(Math.max(0, millis.size() - STEADY), millis.size()));
        }
    }

    /**
     * From one batch to the next.
     *
     * @param costMillis first less steadyAfter
     * @param overUpdateBefore cost in updates of the phase that is left: the aim is below 1
     */
    record Step(
            int from,
            int to,
            double steadyBeforeMillis,
            double firstMillis,
            double steadyAfterMillis,
            double costMillis,
            double overUpdateBefore) {
        static Step of(Stage before, Stage after) {
            double cost = after.millis().get(0) - after.steadyMillis();
            return new Step(
                    before.batch(),
                    after.batch(),
                    before.steadyMillis(),
                    after.millis().get(0),
                    after.steadyMillis(),
                    cost,
                    cost / before.steadyMillis());
        }
    }

    /** One process. */
    record Run(
            String engine,
            String precision,
            @Nullable String description,
            List<Stage> stages,
            List<Step> steps,
            @Nullable String failure) {}

    /** The file. */
    record Result(
            String device,
            String network,
            int ghostBatch,
            @Nullable String noPyTorch,
            List<Run> runs,
            List<String> failures,
            List<String> notMeasured) {}

    /** Starts one. */
    private interface Starter {
        Child start(Path caches) throws IOException;
    }

    @Mixin
    private PeerOptions sides = new PeerOptions();

    @Option(names = "--network", defaultValue = "wide-resnet-16-4", description = "Name of the model.")
    private String network = "wide-resnet-16-4";

    @Option(
            names = "--ladder",
            split = ",",
            defaultValue = "128,640,3200,16000",
            description = "The batches, in order.")
    private List<Integer> ladder = List.of();

    @Option(names = "--ghost-batch", defaultValue = "128", description = "Ours; PyTorch's norms take the whole batch.")
    private int ghostBatch;

    @Option(names = "--precisions", split = ",", defaultValue = "bf16,fp32", description = "In order of importance.")
    private List<String> precisions = List.of();

    @Option(names = "--updates", defaultValue = "12", description = "Timed at each batch.")
    private int updates;

    @Option(names = "--mode", defaultValue = "max-autotune", description = "Of torch.compile; eager for that alone.")
    private String mode = "max-autotune";

    @Option(names = "--limit", defaultValue = "300", description = "Seconds for everything.")
    private double limit;

    @Option(names = "--run-limit", defaultValue = "150", description = "Seconds for one process.")
    private double runLimit;

    @Option(names = "--out", required = true, description = "The JSON file to write.")
    private Path out = Path.of("growth.json");

    private final List<Run> runs = new ArrayList<>();
    private final List<String> failures = new ArrayList<>();
    private final List<String> notMeasured = new ArrayList<>();

    @Override
    public Integer call() throws IOException {
        Deadline deadline = Deadline.in(limit);
        Engines engines = sides.engines();
        @Nullable String noPyTorch = engines.reasonAgainstPyTorch();
        String coming =
                String.join(",", ladder.stream().skip(1).map(String::valueOf).toList());
        String ghosts = String.valueOf(ghostBatch);
        for (String precision : precisions) {
            Case first = new Case(network, ladder.get(0), precision);
            run(
                    "crescendo announced",
                    precision,
                    deadline,
                    noPyTorch,
                    caches -> engines.crescendo(
                            "grow", first, ourCaches(caches), "--to", coming, "--ghost-batch", ghosts, "--announced"));
            if (noPyTorch == null) {
                for (String each : mode.equals("eager") ? List.of("eager") : List.of("eager", mode)) {
                    run(
                            "pytorch " + each,
                            precision,
                            deadline,
                            noPyTorch,
                            caches -> engines.torch(first, each, theirCaches(caches)));
                }
            }
            run(
                    "crescendo unannounced",
                    precision,
                    deadline,
                    noPyTorch,
                    caches -> engines.crescendo(
                            "grow", first, ourCaches(caches), "--to", coming, "--ghost-batch", ghosts));
        }
        if (noPyTorch != null) {
            System.out.println("PyTorch is left out: " + noPyTorch);
        }
        notMeasured.forEach(each -> System.out.println("not measured, the time is used up: " + each));
        return failures.isEmpty() && !runs.isEmpty() ? 0 : 1;
    }

    private void run(String engine, String precision, Deadline deadline, @Nullable String noPyTorch, Starter starter)
            throws IOException {
        if (deadline.left() < LEAST_SECONDS) {
            notMeasured.add(engine + ", " + precision);
        } else {
            Run run = measured(engine, precision, Deadline.in(Math.min(runLimit, deadline.left())), starter);
            runs.add(run);
            System.out.println(line(run));
            if (run.failure() != null) {
                failures.add(engine + ", " + precision + ": " + run.failure());
            }
        }
        Json.write(out, new Result(sides.device(), network, ghostBatch, noPyTorch, runs, failures, notMeasured));
    }

    private Run measured(String engine, String precision, Deadline deadline, Starter starter) throws IOException {
        List<Stage> stages = new ArrayList<>();
        @Nullable String description = null;
        @Nullable String failure = null;
        Path caches = Files.createTempDirectory("crescendo-growth");
        try (Child child = starter.start(caches)) {
            description = child.answer(Math.max(1, deadline.left()))
                    .path("description")
                    .asText();
            for (int batch : ladder) {
                JsonNode answer = child.ask("grow " + batch + " " + updates, Math.max(1, deadline.left()));
                if (answer.has("failure")) {
                    failure = "batch " + batch + ": " + answer.path("failure").asText();
                    break;
                }
                List<Double> millis = new ArrayList<>();
                answer.path("millis").forEach(value -> millis.add(value.asDouble()));
                JsonNode waited = answer.path("waitedSeconds");
                stages.add(new Stage(
                        batch,
                        waited.isNumber() ? waited.asDouble() : null,
                        answer.path("microBatches").asInt(1),
                        millis));
            }
        } catch (IOException e) {
            failure = "after " + stages.size() + " of " + ladder.size() + " batches: " + e.getMessage();
        } finally {
            delete(caches);
        }
        List<Step> steps = new ArrayList<>();
        for (int i = 1; i < stages.size(); i++) {
            steps.add(Step.of(stages.get(i - 1), stages.get(i)));
        }
        return new Run(engine, precision, description, stages, steps, failure);
    }

    private static Map<String, String> theirCaches(Path caches) {
        return Map.of(
                "TORCHINDUCTOR_CACHE_DIR", caches.resolve("inductor").toString(),
                "TRITON_CACHE_DIR", caches.resolve("triton").toString());
    }

    /** Ours as they are, but for the choices of convolution methods: kernels are not built for a batch size. */
    private static Map<String, String> ourCaches(Path caches) throws IOException {
        String set = System.getenv("XDG_CACHE_HOME");
        Path present = (set == null || set.isBlank()
                        ? Path.of(System.getProperty("user.home"), ".cache")
                        : Path.of(set))
                .resolve("crescendo");
        Path fresh = Files.createDirectories(caches.resolve("crescendo/cuda"));
        linkAll(present, caches.resolve("crescendo"), "cuda");
        linkAll(present.resolve("cuda"), fresh, "convolutions");
        return Map.of("XDG_CACHE_HOME", caches.toString());
    }

    private static void linkAll(Path from, Path to, String but) throws IOException {
        if (Files.isDirectory(from)) {
            try (Stream<Path> all = Files.list(from)) {
                for (Path each : all.filter(file -> !file.endsWith(but)).toList()) {
                    Files.createSymbolicLink(to.resolve(each.getFileName()), each.toAbsolutePath());
                }
            }
        }
    }

    /** Links are not followed. What a process that is being ended still writes there is left to the system. */
    private static void delete(Path folder) {
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path each : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(each);
            }
        } catch (IOException | UncheckedIOException e) {
            System.out.println(folder + " is left behind: " + e.getMessage());
        }
    }

    private static String line(Run run) {
        StringBuilder line = new StringBuilder(run.engine() + ", " + run.precision());
        for (Step step : run.steps()) {
            line.append(String.format(
                    Locale.ROOT,
                    "; %d to %d: %.1f ms, %.2f updates",
                    step.from(),
                    step.to(),
                    step.costMillis(),
                    step.overUpdateBefore()));
        }
        return run.failure() == null ? line.toString() : line + "\n  failed: " + run.failure();
    }
}
