package io.crescendo.bench.gpu;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Training throughput beside PyTorch's: both prepared, then short rounds in turn, medians over all of them.
 *
 * <p>Cases are measured in the order given until the time is used up; the file is written after each. Where there is no
 * PyTorch, Crescendo is measured alone and the reason stands in the file.
 */
@Command(name = "throughput", description = "Training throughput beside PyTorch's.")
final class ThroughputCommand implements Callable<Integer> {
    /** Both start from the same numbers in float32; other orders of summation leave this much. */
    private static final double LOSS_TOLERANCE = 1e-3;

    /** Small, and with more samples than a warp has lanes. */
    private static final int LOSS_BATCH = 48;

    private static final double LEAST_SECONDS = 15;
    private static final String CRESCENDO = "crescendo";

    /** One network, batch and precision. */
    record Case(String network, int batch, String precision) {
        static Case of(String text) {
            String[] parts = text.split(":", -1);
            if (parts.length != 3) {
                throw new IllegalArgumentException(
                        "case '" + text + "' must be NETWORK:BATCH:PRECISION, such as wide-resnet-16-4:128:bf16");
            }
            return new Case(parts[0], Integer.parseInt(parts[1]), parts[2]);
        }

        String text() {
            return network + ":" + batch + ":" + precision;
        }
    }

    /**
     * Both engines on one case.
     *
     * @param ratio Crescendo's images per second over PyTorch's
     * @param memoryRatio Crescendo's device memory over PyTorch's: of the processes if the driver tells, otherwise what
     *     one has allocated over what the other has reserved
     */
    record Outcome(
            Case measured,
            @Nullable Measurement crescendo,
            @Nullable Measurement pytorch,
            @Nullable Double ratio,
            @Nullable Double memoryRatio,
            List<String> failures) {}

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
            List<Outcome> outcomes,
            List<String> failures) {}

    @Option(names = "--device", defaultValue = "cuda", description = "What is measured.")
    private String device = "cuda";

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

    @Option(names = "--limit", defaultValue = "180", description = "Seconds for all cases; none is started after it.")
    private double limit;

    @Option(names = "--case-limit", defaultValue = "150", description = "Seconds for one engine to prepare.")
    private double caseLimit;

    @Option(names = "--python", defaultValue = "python3", description = "A Python that has PyTorch.")
    private String python = "python3";

    @Option(names = "--peer", description = "torch_step.py; without it PyTorch is left out.")
    private @Nullable Path peer;

    @Option(names = "--mode", defaultValue = "max-autotune", description = "Of torch.compile, or eager.")
    private String mode = "max-autotune";

    @Option(names = "--out", required = true, description = "The JSON file to write.")
    private Path out = Path.of("throughput.json");

    private final List<Parity> parity = new ArrayList<>();
    private final List<Outcome> outcomes = new ArrayList<>();
    private final List<String> failures = new ArrayList<>();

    @Override
    public Integer call() throws IOException {
        long start = System.nanoTime();
        List<Case> all = cases.stream().map(Case::of).toList();
        @Nullable String noPyTorch = reasonAgainstPyTorch();
        if (noPyTorch != null) {
            System.out.println("PyTorch is left out: " + noPyTorch);
        } else {
            all.stream().map(Case::network).distinct().forEach(this::compareLosses);
        }
        for (Case each : all) {
            double left = limit - (System.nanoTime() - start) * 1e-9;
            if (left < LEAST_SECONDS) {
                failures.add("not measured, the time was used up: " + each.text());
            } else {
                Outcome outcome = measure(each, noPyTorch == null, left);
                outcomes.add(outcome);
                System.out.println(line(outcome));
            }
            write(noPyTorch);
        }
        write(noPyTorch);
        failures.forEach(System.out::println);
        boolean good = parity.stream().allMatch(Parity::passed)
                && outcomes.stream().allMatch(outcome -> outcome.failures.isEmpty());
        return good && failures.isEmpty() ? 0 : 1;
    }

    private void write(@Nullable String noPyTorch) throws IOException {
        Json.write(out, new Result(device, rounds, seconds, mode, noPyTorch, parity, outcomes, failures));
    }

    private @Nullable String reasonAgainstPyTorch() {
        if (peer == null) {
            return "no --peer was given";
        }
        String check = device.equals("cpu") ? "" : "; assert torch.cuda.is_available(), 'PyTorch sees no GPU'";
        try {
            Process process = new ProcessBuilder(python, "-c", "import torch" + check)
                    .redirectErrorStream(true)
                    .start();
            String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            return process.waitFor() == 0
                    ? null
                    : python + ": "
                            + said.lines()
                                    .reduce((first, last) -> last)
                                    .orElse("ended with status " + process.exitValue() + " and without a word");
        } catch (IOException e) {
            return python + ": " + e.getMessage();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return "interrupted";
        }
    }

    private List<String> torch(String network, int batch, String precision, String... more) {
        List<String> command = new ArrayList<>(List.of(
                python,
                String.valueOf(peer),
                "--network",
                network,
                "--batch",
                String.valueOf(batch),
                "--precision",
                precision,
                "--device",
                device,
                "--mode",
                mode));
        command.addAll(List.of(more));
        return command;
    }

    private List<String> crescendo(String network, int batch, String precision, String... more) {
        List<String> command = new ArrayList<>(Child.java(
                "step",
                "--network",
                network,
                "--batch",
                String.valueOf(batch),
                "--precision",
                precision,
                "--device",
                device));
        command.addAll(List.of(more));
        return command;
    }

    /** Three updates from the same weights on the same batch: what computes something else is not worth comparing. */
    private void compareLosses(String network) {
        try {
            Path task = Files.createTempDirectory("crescendo-task");
            List<Double> ours =
                    losses("crescendo", crescendo(network, LOSS_BATCH, "fp32", "--losses", task.toString()));
            List<Double> theirs = losses("pytorch", torch(network, LOSS_BATCH, "fp32", "--losses", task.toString()));
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

    private List<Double> losses(String name, List<String> command) throws IOException {
        try (Child child = new Child(name, command, name.equals(CRESCENDO))) {
            List<Double> losses = new ArrayList<>();
            child.answer(caseLimit).path("losses").forEach(value -> losses.add(value.asDouble()));
            return losses;
        }
    }

    private Outcome measure(Case each, boolean withPyTorch, double left) {
        List<String> mine = new ArrayList<>();
        Map<String, Child> children = new HashMap<>();
        Map<String, JsonNode> ready = new HashMap<>();
        Map<String, List<JsonNode>> measured = new HashMap<>();
        Map<String, Measurement> results = new HashMap<>();
        List<String> engines = withPyTorch ? List.of("pytorch", "crescendo") : List.of("crescendo");
        long start = System.nanoTime();
        try {
            // One after the other: both choose their algorithms by timing them.
            for (String engine : engines) {
                attempt(mine, engine, ready, () -> {
                    double share = Math.max(1, Math.min(caseLimit, left - (System.nanoTime() - start) * 1e-9));
                    List<String> command = engine.equals("pytorch")
                            ? torch(each.network, each.batch, each.precision)
                            : crescendo(each.network, each.batch, each.precision);
                    Child child = new Child(engine, command, engine.equals(CRESCENDO));
                    children.put(engine, child);
                    JsonNode state = child.answer(share);
                    ready.put(engine, state);
                    System.out.printf(
                            Locale.ROOT,
                            "%s: %s is ready after %.0f s (%s)%n",
                            each.text(),
                            engine,
                            state.path("prepareSeconds").asDouble(),
                            state.path("description").asText());
                });
            }
            for (int round = 0; round < rounds; round++) {
                // Another one goes first each time, so that none always finds the device cool, or warm.
                for (int i = 0; i < engines.size(); i++) {
                    String engine = engines.get((i + round) % engines.size());
                    if (ready.containsKey(engine)) {
                        attempt(
                                mine,
                                engine,
                                ready,
                                () -> measured.computeIfAbsent(engine, key -> new ArrayList<>())
                                        .add(Objects.requireNonNull(children.get(engine))
                                                .ask("measure " + seconds, 30 + 10 * seconds)));
                    }
                }
            }
            for (String engine : engines) {
                List<JsonNode> answers = measured.getOrDefault(engine, List.of());
                Child child = children.get(engine);
                JsonNode state = ready.get(engine);
                if (child != null && state != null && !answers.isEmpty()) {
                    attempt(
                            mine,
                            engine,
                            ready,
                            () -> results.put(
                                    engine,
                                    Measurement.of(
                                            each.batch,
                                            state,
                                            answers,
                                            child.ask("memory", 30),
                                            processBytes(child.pid()))));
                }
            }
        } finally {
            children.values().forEach(Child::close);
        }
        Measurement ours = results.get("crescendo");
        Measurement theirs = results.get("pytorch");
        @Nullable
        Double ratio = ours == null || theirs == null ? null : ours.imagesPerSecond() / theirs.imagesPerSecond();
        return new Outcome(each, ours, theirs, ratio, memoryRatio(ours, theirs), mine);
    }

    static @Nullable Double memoryRatio(@Nullable Measurement ours, @Nullable Measurement theirs) {
        if (ours == null || theirs == null) {
            return null;
        }
        Long mine = ours.processBytes();
        Long others = theirs.processBytes();
        if (mine != null && others != null && others > 0) {
            return (double) mine / others;
        }
        return theirs.reservedBytes() > 0 ? (double) ours.allocatedBytes() / theirs.reservedBytes() : null;
    }

    private interface Attempt {
        void run() throws IOException;
    }

    /** An engine that fails is left out of the rest of the case. */
    private static void attempt(List<String> failures, String engine, Map<String, JsonNode> ready, Attempt attempt) {
        try {
            attempt.run();
        } catch (IOException e) {
            ready.remove(engine);
            failures.add(engine + ": " + e.getMessage());
        }
    }

    /** What the driver counts for a process, context included; null where nvidia-smi is missing or does not see it. */
    private static @Nullable Long processBytes(long pid) {
        try {
            Process process = new ProcessBuilder(
                            "nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")
                    .redirectErrorStream(true)
                    .start();
            List<String> lines = process.inputReader().lines().toList();
            process.waitFor(10, TimeUnit.SECONDS);
            for (String line : lines) {
                String[] columns = line.split(",", -1);
                if (columns.length == 2
                        && columns[0].strip().equals(String.valueOf(pid))
                        && columns[1].strip().matches("\\d+")) {
                    return Long.parseLong(columns[1].strip()) << 20;
                }
            }
        } catch (IOException e) {
            return null;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return null;
    }

    private static String line(Outcome outcome) {
        StringBuilder line = new StringBuilder(String.format(Locale.ROOT, "%-28s", outcome.measured.text()));
        if (outcome.crescendo != null) {
            line.append(String.format(Locale.ROOT, " crescendo %.0f images/s", outcome.crescendo.imagesPerSecond()));
        }
        if (outcome.pytorch != null) {
            line.append(String.format(Locale.ROOT, ", pytorch %.0f images/s", outcome.pytorch.imagesPerSecond()));
        }
        if (outcome.ratio != null) {
            line.append(String.format(Locale.ROOT, ", ratio %.2f", outcome.ratio));
        }
        outcome.failures.forEach(failure -> line.append("\n  ").append(failure.replace("\n", "\n    ")));
        return line.toString();
    }
}
