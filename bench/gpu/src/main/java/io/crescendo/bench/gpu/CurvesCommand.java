package io.crescendo.bench.gpu;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.Precision;
import io.crescendo.data.Augmentation;
import io.crescendo.data.Subset;
import io.crescendo.metrics.UpdateRecord;
import io.crescendo.models.Models;
import io.crescendo.models.data.DataSplit;
import io.crescendo.models.data.FashionMini;
import io.crescendo.optim.Optimizer;
import io.crescendo.schedule.Schedule;
import io.crescendo.schedule.TrainingPlan;
import io.crescendo.train.Trainer;
import io.crescendo.train.TrainingListener;
import io.crescendo.train.TrainingOptions;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * The losses of a training run on real images, a device beside the CPU from the same seed.
 *
 * <p>Training amplifies rounding, so two right runs part after some updates and then stay within the noise of their
 * samples. How fast and how far is measured: the CPU trains once more from weights that are moved by one unit in the
 * last place of the coarsest precision asked for. Over windows of {@value #WINDOW} updates the means of device and CPU
 * may differ by {@value #FACTOR} times the most that the two CPU runs differ in any window, and by {@value #FLOOR} of
 * the loss where that is more; the first loss, before anything is amplified, by {@value #FIRST} units in the last
 * place.
 */
@Command(name = "curves", description = "Loss curves of a run on real images beside the CPU's.")
final class CurvesCommand implements Callable<Integer> {
    private static final int WINDOW = 20;
    private static final double FACTOR = 2;
    private static final double FLOOR = 0.05;
    private static final double FIRST = 16;
    private static final double LEARNING_RATE = 0.02;

    /** One run; losses update by update. */
    record Run(
            String name,
            String description,
            boolean passed,
            double firstDifference,
            double largestWindowDifference,
            double allowedWindowDifference,
            double testAccuracy,
            double imagesPerSecond,
            double seconds,
            List<Double> losses) {}

    /** The file. */
    record Result(String model, String data, int batch, long seed, List<Run> runs, List<String> failures) {}

    @Option(names = "--device", defaultValue = "cuda", description = "What is checked.")
    private String device = "cuda";

    @Option(names = "--precisions", split = ",", defaultValue = "fp32,tf32,bf16", description = "fp32, tf32, bf16.")
    private List<Precision> precisions = List.of();

    @Option(names = "--model", defaultValue = "wide-resnet-16-4", description = "Name of the model.")
    private String model = "wide-resnet-16-4";

    @Option(names = "--updates", defaultValue = "200", description = "Parameter updates.")
    private int updates;

    @Option(names = "--batch", defaultValue = "32", description = "Samples per update.")
    private int batch;

    @Option(names = "--seed", defaultValue = "1", description = "Of weights and order.")
    private long seed;

    @Option(names = "--out", required = true, description = "The JSON file to write.")
    private Path out = Path.of("curves.json");

    @Override
    public Integer call() throws IOException {
        DataSplit all = FashionMini.load();
        // The CPU would spend a fifth of its time on the whole test set.
        DataSplit data = new DataSplit(all.training(), Subset.range("fashion-mini/few", all.test(), 0, 256));
        List<Run> runs = new ArrayList<>();
        List<String> failures = new ArrayList<>();
        Precision coarsest = precisions.stream().max(Precision::compareTo).orElse(Precision.FP32);
        Run cpu = train("cpu", "cpu", Precision.FP32, 0, data);
        runs.add(cpu);
        write(runs, failures);
        Run moved = train("cpu moved", "cpu", Precision.FP32, Rounding.unitInTheLastPlace(coarsest), data);
        double allowed = Math.max(FACTOR * largestDifference(moved.losses, cpu.losses), FLOOR * mean(cpu.losses, 0));
        runs.add(judged(moved, cpu, Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY));
        write(runs, failures);
        for (Precision precision : precisions) {
            String name = device + " " + precision.name().toLowerCase(Locale.ROOT);
            try {
                Run run = judged(
                        train(name, device, precision, 0, data),
                        cpu,
                        allowed,
                        FIRST * Rounding.unitInTheLastPlace(precision));
                runs.add(run);
                System.out.printf(
                        Locale.ROOT,
                        "%-10s first loss differs by %.2e, windows of %d by %.4f of %.4f allowed, %.0f images/s  %s%n",
                        name,
                        run.firstDifference,
                        WINDOW,
                        run.largestWindowDifference,
                        allowed,
                        run.imagesPerSecond,
                        run.passed ? "passed" : "FAILED");
            } catch (RuntimeException | LinkageError e) {
                failures.add(name + ": " + e);
                System.out.println(failures.get(failures.size() - 1));
            }
            write(runs, failures);
        }
        return failures.isEmpty() && runs.stream().allMatch(Run::passed) ? 0 : 1;
    }

    /** After every run: a part that is cut short leaves what it has. */
    private void write(List<Run> runs, List<String> failures) throws IOException {
        Json.write(out, new Result(model, FashionMini.NAME, batch, seed, runs, failures));
    }

    private Run train(String name, String on, Precision precision, double step, DataSplit data) {
        List<Double> losses = new ArrayList<>();
        TrainingPlan plan = TrainingPlan.of(
                        Schedule.constant(LEARNING_RATE), TrainingPlan.batch(batch), TrainingPlan.momentum(0.9))
                .forEpochs(
                        (double) updates * batch / data.training().size(),
                        data.training().size());
        TrainingOptions options = TrainingOptions.DEFAULT.withGhostBatch(batch).withSeed(seed);
        var network = Models.named(model, 1, 28, 28, 10);
        try (Backend backend = Backends.open(on, BackendOptions.DEFAULT.withPrecision(precision));
                Trainer trainer = new Trainer(
                        backend,
                        network,
                        plan,
                        Optimizer.momentum(5e-4),
                        data.training(),
                        data.test(),
                        Augmentation.NONE,
                        options)) {
            if (step > 0) {
                Rounding.move(trainer.model().weights(), step, new SplittableRandom(seed));
            }
            trainer.listen(new TrainingListener() {
                @Override
                public void updated(UpdateRecord update) {
                    losses.add(update.loss());
                }
            });
            var summary = trainer.run(name);
            return new Run(
                    name,
                    backend.description(),
                    true,
                    0,
                    0,
                    0,
                    summary.testAccuracy(),
                    summary.imagesPerSecond(),
                    summary.seconds(),
                    losses);
        }
    }

    private static Run judged(Run run, Run cpu, double allowed, double allowedFirst) {
        double first = Math.abs(run.losses.get(0) - cpu.losses.get(0)) / cpu.losses.get(0);
        double largest = largestDifference(run.losses, cpu.losses);
        return new Run(
                run.name,
                run.description,
                run.losses.size() == cpu.losses.size() && first <= allowedFirst && largest <= allowed,
                first,
                largest,
                Double.isInfinite(allowed) ? 0 : allowed,
                run.testAccuracy,
                run.imagesPerSecond,
                run.seconds,
                run.losses);
    }

    /** The most that the means over a window differ; NaN if a loss is. */
    static double largestDifference(List<Double> a, List<Double> b) {
        double largest = 0;
        for (int start = 0; start < Math.min(a.size(), b.size()); start += WINDOW) {
            largest = Math.max(largest, Math.abs(mean(a, start) - mean(b, start))); // max keeps NaN
        }
        return largest;
    }

    private static double mean(List<Double> losses, int start) {
        return losses.subList(start, Math.min(start + WINDOW, losses.size())).stream()
                .mapToDouble(Double::doubleValue)
                .average()
                .orElse(Double.NaN);
    }
}
