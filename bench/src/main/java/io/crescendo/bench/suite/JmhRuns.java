package io.crescendo.bench.suite;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.results.BenchmarkResult;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.BenchmarkList;
import org.openjdk.jmh.runner.BenchmarkListEntry;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.format.OutputFormatFactory;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

/** Runs the JMH benchmarks of parts, one combination of parameters after another, each in forks of its own. */
final class JmhRuns {
    /** Starting a JVM, opening the device and comparing with the reference backend, roughly. */
    private static final double START_SECONDS = 2.5;

    private static final int WARM_UPS = 2;
    private static final int ITERATIONS = 5;

    /** A benchmark method with one value of each parameter. */
    private record Run(String part, String method, Mode mode, Map<String, String> params) {
        String benchmark() {
            return method.substring(method.lastIndexOf('.', method.lastIndexOf('.') - 1) + 1);
        }
    }

    private final Set<Run> runs = new LinkedHashSet<>();
    private final List<String> failures = new ArrayList<>();
    private final PrintStream progress;

    JmhRuns(PrintStream progress) {
        this.progress = progress;
    }

    /** Every benchmark on the class path. */
    private static Set<BenchmarkListEntry> known() {
        return BenchmarkList.defaultList()
                .getAll(OutputFormatFactory.createFormatInstance(System.err, VerboseMode.SILENT), List.of());
    }

    /** Adds the combinations of a part; a benchmark that was not built is left out. */
    void add(Part part, Map<String, List<String>> asked) {
        for (Part.Selection selection : part.selections()) {
            for (BenchmarkListEntry entry : known()) {
                String type = entry.getUserClassQName();
                if (!type.endsWith("." + selection.benchmark())) {
                    continue;
                }
                Map<String, List<String>> listed;
                try {
                    listed = Grid.values(Class.forName(type));
                } catch (ClassNotFoundException e) {
                    throw new IllegalStateException(type + " is in JMH's list but not on the class path", e);
                }
                for (Map<String, String> params : Grid.combinations(listed, selection.values(), asked)) {
                    runs.add(new Run(part.label(), entry.getUsername(), entry.getMode(), params));
                }
            }
        }
    }

    int size() {
        return runs.size();
    }

    /** One line for each that gave no result. */
    List<String> failures() {
        return List.copyOf(failures);
    }

    /** How long an iteration may take so that all of them end in time; at least a tenth of a second. */
    double iterationSeconds(double minutes) {
        double each = 60 * minutes / Math.max(1, runs.size()) - START_SECONDS;
        return Math.min(3, Math.max(0.1, each / (WARM_UPS + ITERATIONS)));
    }

    List<Measured> measure(double iterationSeconds) throws IOException {
        List<Measured> measured = new ArrayList<>();
        int number = 0;
        for (Run run : runs) {
            number++;
            progress.printf(
                    Locale.ROOT, "%3d/%d  %-40s %s", number, runs.size(), run.benchmark(), Tables.brief(run.params));
            progress.flush();
            Path log = Files.createTempFile("jmh", ".log");
            try {
                RunResult result =
                        new Runner(options(run, iterationSeconds, log).build()).runSingle();
                Measured one = measured(run, result);
                measured.add(one);
                progress.printf(Locale.ROOT, "  %.4g %s%n", one.median(), one.unit());
            } catch (RunnerException e) {
                List<String> words = Files.readAllLines(log);
                String cause = words.stream()
                        .filter(line -> line.contains("Exception") || line.contains("Error"))
                        .findFirst()
                        .orElse(String.valueOf(e.getMessage()));
                failures.add(run.benchmark() + " " + Tables.brief(run.params) + ": " + cause);
                progress.println("  failed: " + cause);
            } finally {
                Files.deleteIfExists(log);
            }
        }
        return measured;
    }

    private static ChainedOptionsBuilder options(Run run, double iterationSeconds, Path log) {
        ChainedOptionsBuilder options = new OptionsBuilder()
                .include("^" + Pattern.quote(run.method) + "$")
                .output(log.toString())
                .shouldFailOnError(true);
        run.params.forEach((name, value) -> options.param(name, value));
        if (run.mode != Mode.SingleShotTime) {
            TimeValue time = TimeValue.nanoseconds((long) (iterationSeconds * TimeUnit.SECONDS.toNanos(1)));
            options.forks(1)
                    .warmupIterations(WARM_UPS)
                    .warmupTime(time)
                    .measurementIterations(ITERATIONS)
                    .measurementTime(time);
        }
        return options;
    }

    private static Measured measured(Run run, RunResult result) {
        List<Double> samples = new ArrayList<>();
        Map<String, List<Double>> extras = new LinkedHashMap<>();
        for (BenchmarkResult fork : result.getBenchmarkResults()) {
            for (IterationResult iteration : fork.getIterationResults()) {
                samples.add(iteration.getPrimaryResult().getScore());
                iteration
                        .getSecondaryResults()
                        .forEach((name, extra) -> extras.computeIfAbsent(name, k -> new ArrayList<>())
                                .add(extra.getScore()));
            }
        }
        Map<String, Double> medians = new LinkedHashMap<>();
        extras.forEach((name, values) -> medians.put(
                name,
                Measured.median(values.stream().mapToDouble(Double::doubleValue).toArray())));
        return Measured.of(
                run.part, run.benchmark(), run.params, result.getPrimaryResult().getScoreUnit(), samples, medians);
    }
}
