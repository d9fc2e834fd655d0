package io.crescendo.bench.suite;

import io.crescendo.bench.Gauges;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.profile.GCProfiler;
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
    /** Starting a JVM, opening the device and comparing with the reference backend, until one has been seen. */
    private static final double START_SECONDS = 2.5;

    static final int WARM_UPS = 2;
    static final int ITERATIONS = 5;
    /** Replaying a step should allocate nothing; JMH's own count says how many bytes of heap it does. */
    private static final String ALLOCATION_COUNTED = "TrainingStepBenchmark.";

    private static final double SHORTEST_ITERATION = 0.1;
    private static final double LONGEST_ITERATION = 3;

    /** A benchmark method with one value of each parameter. */
    private record Run(String part, String method, Mode mode, int forks, Map<String, String> params) {
        String benchmark() {
            return method.substring(method.lastIndexOf('.', method.lastIndexOf('.') - 1) + 1);
        }

        boolean isSingleShot() {
            return mode == Mode.SingleShotTime;
        }

        /** Those of a benchmark with the same network take about as long to start. */
        String kind() {
            return method.substring(0, method.lastIndexOf('.')) + params.getOrDefault("network", "");
        }
    }

    /** Hears of results as they come, so that a run that is interrupted keeps what it measured. */
    interface Keeper {
        void keep(List<Measured> soFar) throws IOException;
    }

    private final Set<Run> runs = new LinkedHashSet<>();
    /** By parameter: what the parts take unless something else is asked for. */
    private final Map<String, Set<String>> offered = new TreeMap<>();

    private final List<String> failures = new ArrayList<>();
    /** By kind of run: seconds beside its iterations, as last seen. */
    private final Map<String, Double> startSeconds = new HashMap<>();

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
                // Of the class's parameters, those that this method's states have.
                listed.keySet().retainAll(entry.getParams().orElse(Map.of()).keySet());
                listed.forEach((name, values) -> offered.computeIfAbsent(name, n -> new LinkedHashSet<>())
                        .addAll(selection.values().getOrDefault(name, values)));
                for (Map<String, String> params : Grid.combinations(listed, selection.values(), asked)) {
                    runs.add(new Run(
                            part.label(),
                            entry.getUsername(),
                            entry.getMode(),
                            entry.getForks().orElse(1),
                            params));
                }
            }
        }
    }

    /**
     * Fails if something that was asked for changes nothing or cannot be read: a misspelt name would be found out after
     * all is measured.
     *
     * @param alsoKnown parameters of what does not run here; who runs it looks at their values
     * @throws IllegalArgumentException naming what is known
     */
    void requireUsed(Map<String, List<String>> asked, Set<String> alsoKnown) {
        asked.forEach((name, values) -> {
            Set<String> names = new TreeSet<>(offered.keySet());
            names.addAll(alsoKnown);
            if (!names.contains(name)) {
                throw new IllegalArgumentException("--param " + name
                        + ": no benchmark of these parts has it; known are " + String.join(", ", names));
            }
            Set<String> usual = offered.getOrDefault(name, Set.of());
            for (String value : values) {
                if (!alsoKnown.contains(name) && runs.stream().noneMatch(run -> value.equals(run.params.get(name)))) {
                    throw new IllegalArgumentException("--param " + name + "=" + value
                            + ": no benchmark of these parts runs with it; they have "
                            + String.join(", ", usual));
                }
                if (!usual.isEmpty()) {
                    ParamValues.require(name, value, usual);
                }
            }
        });
    }

    int size() {
        return runs.size();
    }

    /** Whether one of them is of a class with this simple name. */
    boolean has(String benchmark) {
        return runs.stream().anyMatch(run -> run.benchmark().startsWith(benchmark + "."));
    }

    /** One line for each that gave no result. */
    List<String> failures() {
        return List.copyOf(failures);
    }

    /**
     * Measures one run after another. Each gets an equal share of the time that is left: where one takes longer than
     * its share, because its updates do, the following get less, but never less than the shortest iterations.
     */
    List<Measured> measure(double minutes, Keeper keeper) throws IOException {
        long end = System.nanoTime() + (long) (minutes * 60e9);
        List<Measured> measured = new ArrayList<>();
        int number = 0;
        for (Run run : runs) {
            double share = (end - System.nanoTime()) / 1e9 / (runs.size() - number);
            number++;
            progress.printf(
                    Locale.ROOT, "%3d/%d  %-40s %s", number, runs.size(), run.benchmark(), Tables.brief(run.params));
            progress.flush();
            Path log = Files.createTempFile("jmh", ".log");
            try {
                Measured one = run.isSingleShot() ? shots(run, share, log) : iterations(run, share, log);
                measured.add(one);
                keeper.keep(measured);
                progress.printf(Locale.ROOT, "  %s %s%n", Notes.number(one.median()), one.unit());
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

    /** One fork of iterations that fit into so many seconds. */
    private Measured iterations(Run run, double seconds, Path log) throws RunnerException {
        int count = WARM_UPS + ITERATIONS;
        double free = seconds - startSeconds.getOrDefault(run.kind(), START_SECONDS);
        double each = Math.min(LONGEST_ITERATION, Math.max(SHORTEST_ITERATION, free / count));
        TimeValue time = TimeValue.nanoseconds((long) (each * TimeUnit.SECONDS.toNanos(1)));
        long start = System.nanoTime();
        Samples samples = new Samples();
        samples.add(new Runner(options(run, log)
                        .warmupIterations(WARM_UPS)
                        .warmupTime(time)
                        .measurementIterations(ITERATIONS)
                        .measurementTime(time)
                        .build())
                .runSingle());
        startSeconds.put(run.kind(), (System.nanoTime() - start) / 1e9 - count * each);
        return samples.of(run, each);
    }

    /** As many forks as the benchmark wants, or as fit into so many seconds, but one at least. */
    private static Measured shots(Run run, double seconds, Path log) throws RunnerException {
        long start = System.nanoTime();
        Samples samples = new Samples();
        int forks = 0;
        double elapsed;
        do {
            samples.add(new Runner(options(run, log).build()).runSingle());
            forks++;
            elapsed = (System.nanoTime() - start) / 1e9;
        } while (forks < run.forks && elapsed * (forks + 1) / forks < seconds);
        return samples.of(run, 0);
    }

    private static ChainedOptionsBuilder options(Run run, Path log) {
        ChainedOptionsBuilder options = new OptionsBuilder()
                .include("^" + Pattern.quote(run.method) + "$")
                .output(log.toString())
                .shouldFailOnError(true)
                .addProfiler(Gauges.class)
                .forks(1);
        run.params.forEach((name, value) -> options.param(name, value));
        if (run.benchmark().startsWith(ALLOCATION_COUNTED)) {
            options.addProfiler(GCProfiler.class);
        }
        return options;
    }

    /** What several forks of one run gave. */
    private static final class Samples {
        private final List<Double> scores = new ArrayList<>();
        private final Map<String, List<Double>> extras = new LinkedHashMap<>();
        private String unit = "";

        void add(RunResult result) {
            unit = result.getPrimaryResult().getScoreUnit();
            for (BenchmarkResult fork : result.getBenchmarkResults()) {
                for (IterationResult iteration : fork.getIterationResults()) {
                    scores.add(iteration.getPrimaryResult().getScore());
                    iteration
                            .getSecondaryResults()
                            .forEach((name, extra) -> extras.computeIfAbsent(name, k -> new ArrayList<>())
                                    .add(extra.getScore()));
                }
            }
        }

        Measured of(Run run, double iterationSeconds) {
            Map<String, Double> medians = new LinkedHashMap<>();
            extras.forEach((name, values) -> medians.put(
                    name,
                    Measured.median(
                            values.stream().mapToDouble(Double::doubleValue).toArray())));
            if (iterationSeconds > 0) {
                medians.put(Measured.ITERATION_SECONDS, iterationSeconds);
            }
            return Measured.of(run.part, run.benchmark(), run.params, unit, scores, medians);
        }
    }
}
