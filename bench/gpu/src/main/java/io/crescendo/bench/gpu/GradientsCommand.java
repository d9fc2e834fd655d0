package io.crescendo.bench.gpu;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.Precision;
import io.crescendo.bench.FixedBatch;
import io.crescendo.bench.TrainingStep;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.nn.Network;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Gradients of whole networks, a device beside the CPU.
 *
 * <p>Error of a tensor = ‖g − g′‖ / ‖g′‖, g′ being the CPU's. Allowed is {@value #FACTOR} times what g′ itself changes
 * by when weights and pixels move by one unit in the last place of the device's precision (the most of three draws); a
 * tensor is allowed at least what the whole gradient is. A device rounds in each of some fifty layers where the draws
 * move the ends only; roundings are independent, so √50 is about how much more that is.
 */
@Command(name = "gradients", description = "Gradients of whole networks beside the CPU's.")
final class GradientsCommand implements Callable<Integer> {
    private static final double FACTOR = 8;
    private static final int DRAWS = 3;
    private static final int GHOST_BATCH = 16;

    /** One network at one precision. */
    record Comparison(
            String network,
            String precision,
            int batch,
            int ghostBatch,
            double loss,
            double lossOfCpu,
            double error,
            double allowed,
            String worstTensor,
            double worstError,
            double worstAllowed,
            boolean passed) {}

    /** The file. */
    record Result(String device, String cpu, long seed, List<Comparison> comparisons, List<String> failures) {}

    @Option(names = "--device", defaultValue = "cuda", description = "What is checked.")
    private String device = "cuda";

    @Option(names = "--precisions", split = ",", defaultValue = "fp32,tf32,bf16", description = "fp32, tf32, bf16.")
    private List<Precision> precisions = List.of();

    @Option(
            names = "--networks",
            split = ",",
            defaultValue = "fashion-cnn,wide-resnet-16-4",
            description = "Names of models.")
    private List<String> networks = List.of();

    // Not a multiple of the ghost batch: the last group is smaller than the others.
    @Option(names = "--batch", defaultValue = "40", description = "Samples.")
    private int batch;

    @Option(names = "--seed", description = "Of pixels and draws; random if not given.")
    private long seed = new SplittableRandom().nextLong();

    @Option(names = "--out", required = true, description = "The JSON file to write.")
    private Path out = Path.of("gradients.json");

    /** A loss summed over samples and the gradient pack. */
    private static final class Answer {
        final double loss;
        final float[] gradients;

        Answer(double loss, float[] gradients) {
            this.loss = loss;
            this.gradients = gradients;
        }
    }

    @Override
    public Integer call() throws IOException {
        List<Comparison> comparisons = new ArrayList<>();
        List<String> failures = new ArrayList<>();
        String description = device;
        try (Backend cpu = Backends.open("cpu", BackendOptions.DEFAULT)) {
            for (String name : networks) {
                Network network = TrainingStep.network(name);
                FixedBatch samples = FixedBatch.noise(network, batch, seed);
                Answer expected = answer(cpu, network, samples.feed(), 0, 0);
                for (Precision precision : precisions) {
                    List<Answer> moved = new ArrayList<>();
                    for (int draw = 1; draw <= DRAWS; draw++) {
                        FixedBatch other = FixedBatch.noise(network, batch, seed);
                        moved.add(answer(
                                cpu, network, other.feed(), Rounding.unitInTheLastPlace(precision), seed + draw));
                    }
                    try (Backend candidate = Backends.open(device, BackendOptions.DEFAULT.withPrecision(precision))) {
                        description = candidate.description();
                        Answer found = answer(candidate, network, samples.feed(), 0, 0);
                        comparisons.add(compare(network, precision, found, expected, moved));
                        System.out.println(line(comparisons.get(comparisons.size() - 1)));
                    } catch (RuntimeException | LinkageError e) {
                        // One precision that cannot run does not hide the others.
                        failures.add(name + " " + precision + ": " + e);
                        System.out.println(failures.get(failures.size() - 1));
                    }
                    Json.write(out, new Result(description, cpu.description(), seed, comparisons, failures));
                }
            }
        }
        return failures.isEmpty() && comparisons.stream().allMatch(Comparison::passed) ? 0 : 1;
    }

    private static Answer answer(Backend backend, Network network, Feed feed, double step, long draw) {
        Program program = network.trainingProgram(feed.samples(), GHOST_BATCH, 0, backend.fusions());
        try (ModelMemory model = ModelMemory.allocate(backend, program, TrainingStep.WEIGHTS_SEED);
                LoweredProgram lowered = backend.lower(program);
                Executable executable = lowered.bind(WorkspacePlanner.plan(program, lowered.requirements()), model)) {
            if (step > 0) {
                SplittableRandom random = new SplittableRandom(draw);
                Rounding.move(model.weights(), step, random);
                Rounding.move(feed.images(), step, random);
            }
            backend.metrics().clear();
            executable.run(feed);
            double loss = backend.metrics().read().loss();
            backend.metrics().clear();
            float[] gradients = new float[Math.toIntExact(model.gradients().elements())];
            model.gradients().read(0, gradients);
            return new Answer(loss, gradients);
        }
    }

    private Comparison compare(
            Network network, Precision precision, Answer found, Answer expected, List<Answer> moved) {
        ParameterPack pack = network.trainingProgram(1, 1, 0, Set.of()).parameters();
        int all = Math.toIntExact(pack.elements());
        double whole = spread(expected, moved, 0, all);
        double error = distance(found.gradients, expected.gradients, 0, all);
        boolean passed = error <= FACTOR * whole; // NaN does not pass
        String worst = "";
        double worstError = 0;
        double worstAllowed = 0;
        for (Parameter parameter : pack.parameters()) {
            int start = Math.toIntExact(parameter.offset());
            int end = Math.toIntExact(parameter.end());
            double own = distance(found.gradients, expected.gradients, start, end);
            double allowed = FACTOR * Math.max(whole, spread(expected, moved, start, end));
            passed &= own <= allowed;
            if (worst.isEmpty() || !(own / allowed <= worstError / worstAllowed)) {
                worst = parameter.name();
                worstError = own;
                worstAllowed = allowed;
            }
        }
        return new Comparison(
                network.name(),
                precision.name().toLowerCase(Locale.ROOT),
                batch,
                GHOST_BATCH,
                found.loss / batch,
                expected.loss / batch,
                error,
                FACTOR * whole,
                worst,
                worstError,
                worstAllowed,
                passed);
    }

    private static double spread(Answer expected, List<Answer> moved, int start, int end) {
        return moved.stream()
                .mapToDouble(answer -> distance(answer.gradients, expected.gradients, start, end))
                .max()
                .orElse(0);
    }

    /** ‖a − b‖ / ‖b‖ over [start, end). */
    static double distance(float[] a, float[] b, int start, int end) {
        double difference = 0;
        double norm = 0;
        for (int i = start; i < end; i++) {
            difference += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
            norm += (double) b[i] * b[i];
        }
        return difference == 0 ? 0 : Math.sqrt(difference / norm);
    }

    private static String line(Comparison c) {
        return String.format(
                Locale.ROOT,
                "%-17s %-5s loss %.5f (cpu %.5f)  gradient's error %.2e of %.2e allowed, worst %s %.2e of %.2e  %s",
                c.network,
                c.precision,
                c.loss,
                c.lossOfCpu,
                c.error,
                c.allowed,
                c.worstTensor,
                c.worstError,
                c.worstAllowed,
                c.passed ? "passed" : "FAILED");
    }
}
