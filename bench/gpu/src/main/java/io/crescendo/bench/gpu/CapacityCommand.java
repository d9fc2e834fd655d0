package io.crescendo.bench.gpu;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * The largest batch that trains in a budget of device memory without accumulation, beside PyTorch's.
 *
 * <p>Ours is planned, without and with recomputation, PyTorch's is found by trying, eager and compiled; both then
 * trained two updates at it. Both budgets hold what is allocated, contexts and code excluded. PyTorch's is its
 * allocator's limit, with expandable segments and without cudnn.benchmark, whose candidates only take memory; its
 * compiler makes one program for all batches. No activation checkpointing there: its fair counterpart is our number
 * without recomputation.
 */
@Command(name = "capacity", description = "The largest batch in a budget of memory, beside PyTorch's.")
final class CapacityCommand implements Callable<Integer> {
    private static final double LEAST_SECONDS = 10;

    /**
     * The largest batch of one engine.
     *
     * @param engine with its mode
     * @param exact whether a batch one multiple larger is known not to fit; PyTorch's search may end early
     * @param recomputation the name of the way, none where everything is kept
     * @param extraTime time that recomputing takes by estimate, over the whole
     * @param allocatedBytes the most that was allocated: ours by its plan and the arena's real size, PyTorch's reserved
     * @param deviceBytes by how much the driver's free memory fell since the context was there, code included
     * @param processBytes what the driver says that the process holds, context included
     * @param secondMillis the time of the second update
     */
    record Largest(
            String engine,
            @Nullable String description,
            int batch,
            boolean exact,
            String recomputation,
            double extraTime,
            long allocatedBytes,
            @Nullable Long deviceBytes,
            @Nullable Long processBytes,
            double secondMillis) {}

    /**
     * All engines on one network and precision.
     *
     * @param ratio ours without recomputation over the best of PyTorch's; null on a CPU, where they are not alike
     * @param ratioRecomputing ours with recomputation over the best of PyTorch's
     */
    record Outcome(
            String network,
            String precision,
            List<Largest> engines,
            @Nullable Double ratio,
            @Nullable Double ratioRecomputing,
            List<String> failures) {}

    /** The file. */
    record Result(
            String device,
            long budgetBytes,
            int granule,
            @Nullable String noPyTorch,
            List<Outcome> outcomes,
            List<String> notMeasured) {}

    @Mixin
    private PeerOptions sides = new PeerOptions();

    @Option(
            names = "--cases",
            split = ",",
            defaultValue = "wide-resnet-16-4:32:bf16,resnet-50:32:bf16,wide-resnet-16-4:32:fp32,resnet-50:32:fp32",
            description = "NETWORK:MULTIPLE:PRECISION; batches are multiples, and our statistics are over as many.")
    private List<String> cases = List.of();

    @Option(names = "--budget", defaultValue = "16", description = "GiB.")
    private double budget;

    @Option(names = "--mode", defaultValue = "default", description = "Of torch.compile; eager for that alone.")
    private String mode = "default";

    @Option(names = "--limit", defaultValue = "200", description = "Seconds for everything.")
    private double limit;

    @Option(names = "--run-limit", defaultValue = "60", description = "Seconds for one engine on one case.")
    private double runLimit;

    @Option(names = "--out", required = true, description = "The JSON file to write.")
    private Path out = Path.of("capacity.json");

    @Override
    public Integer call() throws IOException {
        Deadline deadline = Deadline.in(limit);
        Engines engines = sides.engines();
        @Nullable String noPyTorch = engines.reasonAgainstPyTorch();
        long bytes = (long) (budget * (1L << 30));
        List<Outcome> outcomes = new ArrayList<>();
        List<String> notMeasured = new ArrayList<>();
        int granule = 0;
        for (Case each : cases.stream().map(Case::of).toList()) {
            granule = each.batch();
            Outcome outcome = measured(engines, each, bytes, noPyTorch == null, deadline, notMeasured);
            if (!outcome.engines().isEmpty() || !outcome.failures().isEmpty()) {
                outcomes.add(outcome);
            }
            Json.write(out, new Result(sides.device(), bytes, granule, noPyTorch, outcomes, notMeasured));
        }
        if (noPyTorch != null) {
            System.out.println("PyTorch is left out: " + noPyTorch);
        }
        notMeasured.forEach(each -> System.out.println("not measured, the time is used up: " + each));
        return !outcomes.isEmpty()
                        && outcomes.stream().allMatch(o -> o.failures().isEmpty())
                ? 0
                : 1;
    }

    /** Starts an engine. */
    private interface Starter {
        Child start(double seconds) throws IOException;
    }

    private Outcome measured(
            Engines engines, Case each, long bytes, boolean withPyTorch, Deadline deadline, List<String> notMeasured) {
        List<Largest> found = new ArrayList<>();
        List<String> failures = new ArrayList<>();
        String budgetText = String.valueOf(bytes);
        List<Map.Entry<String, Starter>> runs = new ArrayList<>();
        runs.add(Map.entry(
                "crescendo", seconds -> engines.crescendo("capacity-step", each, Map.of(), "--budget", budgetText)));
        if (withPyTorch) {
            for (String one : mode.equals("eager") ? List.of("eager") : List.of("eager", mode)) {
                runs.add(Map.entry(
                        "pytorch " + one,
                        seconds -> engines.torch(
                                each,
                                one,
                                // The second name is the newer one.
                                Map.of(
                                        "PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True",
                                        "PYTORCH_ALLOC_CONF", "expandable_segments:True"),
                                "--budget",
                                budgetText,
                                "--limit",
                                String.valueOf(seconds))));
            }
        }
        runs.add(Map.entry(
                "crescendo recomputing",
                seconds -> engines.crescendo("capacity-step", each, Map.of(), "--budget", budgetText, "--recompute")));
        for (Map.Entry<String, Starter> run : runs) {
            double seconds = Math.min(runLimit, deadline.left());
            String what = run.getKey() + ", " + each.network() + ", " + each.precision();
            if (seconds < LEAST_SECONDS) {
                notMeasured.add(what);
                continue;
            }
            try (Child child = run.getValue().start(0.8 * seconds)) {
                Largest largest = largest(run.getKey(), child, seconds);
                found.add(largest);
                System.out.printf(
                        Locale.ROOT,
                        "%s: batch %d%s, %d MiB allocated%n",
                        what,
                        largest.batch(),
                        largest.exact() ? "" : " or more",
                        largest.allocatedBytes() >> 20);
            } catch (IOException e) {
                failures.add(what + ": " + e.getMessage());
                System.out.println(what + " failed: " + e.getMessage());
            }
        }
        @Nullable
        Integer theirs = found.stream()
                .filter(largest -> largest.engine().startsWith("pytorch"))
                .map(Largest::batch)
                .max(Comparator.naturalOrder())
                .orElse(null);
        return new Outcome(
                each.network(),
                each.precision(),
                found,
                ratio(found, "crescendo", theirs),
                ratio(found, "crescendo recomputing", theirs),
                failures);
    }

    private static Largest largest(String engine, Child child, double seconds) throws IOException {
        JsonNode answer = child.answer(Math.max(1, seconds));
        return new Largest(
                engine,
                answer.path("description").asText(),
                answer.path("batch").asInt(),
                answer.path("exact").asBoolean(true),
                answer.path("recomputation").asText("none"),
                answer.path("extraTime").asDouble(),
                answer.path("allocatedBytes").asLong(),
                answer.path("deviceBytes").isNumber()
                        ? answer.path("deviceBytes").asLong()
                        : null,
                CaseRun.processBytes(child.pid()),
                answer.path("secondMillis").asDouble());
    }

    private @Nullable Double ratio(List<Largest> found, String engine, @Nullable Integer theirs) {
        return theirs == null || theirs == 0 || sides.device().equals("cpu")
                ? null
                : found.stream()
                        .filter(largest -> largest.engine().equals(engine))
                        .map(largest -> (double) largest.batch() / theirs)
                        .findFirst()
                        .orElse(null);
    }
}
