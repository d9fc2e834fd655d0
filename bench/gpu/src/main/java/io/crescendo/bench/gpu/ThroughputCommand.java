package io.crescendo.bench.gpu;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * Training throughput beside PyTorch's: both prepared, then short rounds in turn, medians over all of them.
 *
 * <p>Cases are measured in the order given until the time is used up; the file is written after each. Losses of a
 * network are compared when its first case is about to be measured. Where there is no PyTorch, Crescendo is measured
 * alone and the reason stands in the file.
 */
@Command(name = "throughput", description = "Training throughput beside PyTorch's.")
final class ThroughputCommand implements Callable<Integer> {
    /** Both start from the same numbers in float32; other orders of summation leave this much. */
    private static final double LOSS_TOLERANCE = 1e-3;

    /** Small, and with more samples than a warp has lanes. */
    private static final int LOSS_BATCH = 48;

    /** What torch.compile is asked for where the mode that is asked for is not ready in time. */
    private static final List<String> CHEAPER_MODES = List.of("reduce-overhead", "eager");

    /** Losses of the first updates in float32 from the same weights; equal if both compute the same. */
    record Parity(String network, List<Double> crescendo, List<Double> pytorch, boolean passed) {}

    /** The file. */
    record Result(
            String device,
            int rounds,
            double secondsPerRound,
            String mode,
            @Nullable String noPyTorch,
            List<Parity> parity,
            List<CaseRun.Outcome> outcomes,
            List<String> notMeasured,
            List<String> failures) {}

    @Mixin
    private PeerOptions sides = new PeerOptions();

    @Option(
            names = "--cases",
            split = ",",
            defaultValue = "wide-resnet-16-4:1024:bf16,wide-resnet-16-4:128:bf16",
            description = "NETWORK:BATCH:PRECISION, in the order of their importance.")
    private List<String> cases = List.of();

    @Option(names = "--rounds", defaultValue = "5", description = "Rounds of each engine, in turn.")
    private int rounds;

    @Option(names = "--seconds", defaultValue = "1", description = "Length of a round.")
    private double seconds;

    @Option(names = "--limit", defaultValue = "180", description = "Seconds for everything.")
    private double limit;

    @Option(
            names = "--case-limit",
            defaultValue = "240",
            description = "Seconds for one engine to prepare, in one mode.")
    private double caseLimit;

    @Option(
            names = "--together",
            defaultValue = "8192",
            description =
                    "The largest batch that both engines hold on the device at once; above, one follows the other.")
    private int together;

    @Option(
            names = "--mode",
            defaultValue = "max-autotune",
            description = "Of torch.compile, or eager; a cheaper one if it takes too long.")
    private String mode = "max-autotune";

    @Option(names = "--out", required = true, description = "The JSON file to write.")
    private Path out = Path.of("throughput.json");

    private final List<Parity> parity = new ArrayList<>();
    private final List<CaseRun.Outcome> outcomes = new ArrayList<>();
    private final List<String> notMeasured = new ArrayList<>();
    private final List<String> failures = new ArrayList<>();

    @Override
    public Integer call() throws IOException {
        Deadline deadline = Deadline.in(limit);
        Engines engines = sides.engines();
        @Nullable String noPyTorch = engines.reasonAgainstPyTorch();
        if (noPyTorch != null) {
            System.out.println("PyTorch is left out: " + noPyTorch);
        }
        CaseRun.Settings settings = new CaseRun.Settings(rounds, seconds, caseLimit, together, modes());
        Map<String, Double> prepareSeconds = new HashMap<>();
        Set<String> compared = new HashSet<>();
        for (Case each : cases.stream().map(Case::of).toList()) {
            if (deadline.left() < settings.leastSeconds()) {
                notMeasured.add(each.text());
            } else {
                if (noPyTorch == null && compared.add(each.network())) {
                    compareLosses(engines, each.network(), deadline);
                    write(noPyTorch);
                }
                CaseRun.Outcome outcome =
                        new CaseRun(engines, each, settings, prepareSeconds, deadline).run(noPyTorch == null);
                outcomes.add(outcome);
                System.out.println(line(outcome));
            }
            write(noPyTorch);
        }
        failures.forEach(System.out::println);
        if (!notMeasured.isEmpty()) {
            System.out.println("not measured, the time is used up: " + String.join(", ", notMeasured));
        }
        boolean good = parity.stream().allMatch(Parity::passed)
                && outcomes.stream().allMatch(outcome -> outcome.failures().isEmpty());
        return good && failures.isEmpty() && !outcomes.isEmpty() ? 0 : 1;
    }

    private List<String> modes() {
        List<String> modes = new ArrayList<>(List.of(mode));
        modes.addAll(CHEAPER_MODES.subList(CHEAPER_MODES.indexOf(mode) + 1, CHEAPER_MODES.size()));
        return modes;
    }

    private void write(@Nullable String noPyTorch) throws IOException {
        Json.write(
                out,
                new Result(sides.device(), rounds, seconds, mode, noPyTorch, parity, outcomes, notMeasured, failures));
    }

    /** Three updates from the same weights on the same batch: what computes something else is not worth comparing. */
    private void compareLosses(Engines engines, String network, Deadline deadline) {
        try {
            Path task = Files.createTempDirectory("crescendo-task");
            Case compared = new Case(network, LOSS_BATCH, "fp32");
            List<Double> ours = losses(engines.crescendo(compared, "--losses", task.toString()), deadline);
            List<Double> theirs = losses(engines.torch(compared, "eager", "--losses", task.toString()), deadline);
            for (String file : List.of("index.json", "weights.f32", "images.f32", "labels.i32")) {
                Files.deleteIfExists(task.resolve(file));
            }
            Files.deleteIfExists(task);
            boolean same = ours.size() == theirs.size() && !ours.isEmpty();
            for (int i = 0; same && i < ours.size(); i++) {
                same = Math.abs(ours.get(i) - theirs.get(i)) <= LOSS_TOLERANCE * Math.abs(theirs.get(i));
            }
            parity.add(new Parity(network, ours, theirs, same));
            System.out.println(network + " in fp32, losses of three updates: crescendo " + ours + ", pytorch " + theirs
                    + (same ? ": the same network" : ": NOT the same network"));
        } catch (IOException e) {
            failures.add("losses of " + network + ": " + e.getMessage());
        }
    }

    private List<Double> losses(Child started, Deadline deadline) throws IOException {
        try (Child child = started) {
            List<Double> losses = new ArrayList<>();
            child.answer(Math.max(1, Math.min(caseLimit, deadline.left())))
                    .path("losses")
                    .forEach(value -> losses.add(value.asDouble()));
            return losses;
        }
    }

    private static String line(CaseRun.Outcome outcome) {
        StringBuilder line = new StringBuilder(
                String.format(Locale.ROOT, "%-28s", outcome.measured().text()));
        if (outcome.crescendo() != null) {
            line.append(String.format(
                    Locale.ROOT, " crescendo %.0f images/s", outcome.crescendo().imagesPerSecond()));
        }
        if (outcome.pytorch() != null) {
            line.append(String.format(
                    Locale.ROOT, ", pytorch %.0f images/s", outcome.pytorch().imagesPerSecond()));
        }
        if (outcome.ratio() != null) {
            line.append(String.format(Locale.ROOT, ", ratio %.2f", outcome.ratio()));
        }
        if (outcome.mode() != null) {
            line.append(" (").append(outcome.mode()).append(')');
        }
        outcome.failures().forEach(failure -> line.append("\n  ").append(failure.replace("\n", "\n    ")));
        return line.toString();
    }
}
