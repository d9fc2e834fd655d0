package io.crescendo.bench.suite;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import io.crescendo.backend.Backend;
import io.crescendo.bench.Device;
import io.crescendo.bench.Machine;
import io.crescendo.cli.UserError;
import io.crescendo.cli.figures.Figure;
import io.crescendo.cli.figures.FigureFiles;
import io.crescendo.cli.run.Environment;
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
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Runs parts of the suite and leaves the draft of a record. */
public final class Suite {
    private static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

    private Suite() {}

    /** See {@link SuiteOptions#USAGE}. */
    public static void main(String[] args) throws IOException {
        System.exit(run(System.err, args));
    }

    /** Does what the command line says; returns the exit status. */
    static int run(PrintStream errors, String... args) throws IOException {
        if (args.length == 0 || List.of(args).contains("--help")) {
            System.out.println(SuiteOptions.USAGE);
            return 0;
        }
        if (List.of(args).contains("--list")) {
            for (Part part : Part.values()) {
                JmhRuns runs = new JmhRuns(System.err);
                runs.add(part, Map.of());
                System.out.printf(
                        Locale.ROOT,
                        "%-10s %3d measurements  %s%n",
                        part.label(),
                        part == Part.SWEEP ? Sweep.batches(Sweep.LARGEST).size() : runs.size(),
                        part.selections().stream()
                                .map(Part.Selection::benchmark)
                                .distinct()
                                .collect(Collectors.joining(", ")));
            }
            return 0;
        }
        SuiteOptions options;
        JmhRuns jmh = new JmhRuns(errors);
        Sweep.@Nullable Setting sweep;
        String device;
        try {
            options = SuiteOptions.parse(args);
            options.parts().forEach(part -> jmh.add(part, options.params()));
            boolean sweeps = options.parts().contains(Part.SWEEP);
            jmh.requireUsed(options.params(), sweeps ? Sweep.Setting.NAMES : Set.of());
            sweep = sweeps ? Sweep.Setting.of(options.params()) : null;
            device = description(options);
            OutFolder.prepare(options.out(), options.force());
        } catch (IllegalArgumentException | UserError e) {
            errors.println(e.getMessage());
            return UserError.USAGE;
        }
        return measure(options, jmh, sweep, device, List.of(args)).isEmpty() ? 0 : UserError.FAILURE;
    }

    /** Measures, prints, writes; returns what failed. */
    private static List<String> measure(
            SuiteOptions options, JmhRuns jmh, Sweep.@Nullable Setting sweep, String device, List<String> args)
            throws IOException {
        Machine machine = Machine.here();
        write(options, OutFolder.MACHINE, machine);

        // The sweep is one program that runs for long; alone it takes all the time, otherwise what eight others would.
        double sweepMinutes = sweep == null ? 0 : options.minutes() * (jmh.size() == 0 ? 1 : 8.0 / (jmh.size() + 8));
        Map<String, Object> config = new LinkedHashMap<>();
        config.put("command", command(args));
        config.put("commit", Environment.here(device).commit());
        config.put("device", device);
        config.put("parts", options.parts().stream().map(Part::label).toList());
        config.put("minutes", options.minutes());
        config.put("params", options.params());
        config.put("combinations", jmh.size());
        config.put("sweepMinutes", sweepMinutes);
        write(options, OutFolder.CONFIG, config);

        long start = System.nanoTime();
        List<Measured> byJmh =
                jmh.measure(options.minutes() - sweepMinutes, soFar -> write(options, OutFolder.RESULTS, soFar));
        List<Measured> measured = new ArrayList<>(byJmh);
        if (sweep != null) {
            measured.addAll(Sweep.measure(sweep, sweepMinutes, System.err, soFar -> {
                List<Measured> all = new ArrayList<>(byJmh);
                all.addAll(soFar);
                write(options, OutFolder.RESULTS, all);
            }));
        }
        write(options, OutFolder.RESULTS, measured);
        double minutes = (System.nanoTime() - start) / 60e9;
        config.put("minutesTaken", Math.round(10 * minutes) / 10.0);
        write(options, OutFolder.CONFIG, config);
        String tables = new Tables(measured, EarlierRecords.read(options.records(), machine, device)).text();
        List<Figure> figures = SuiteFigures.of(measured);
        FigureFiles.Outcome drawn = new FigureFiles(options.out().resolve(OutFolder.FIGURES)).write(figures);
        if (drawn.pngFault() != null) {
            System.err.println(drawn.pngFault());
        }
        RecordDraft draft = new RecordDraft(machine, device, config, measured, tables, figures, jmh.failures());
        Files.writeString(options.out().resolve(OutFolder.README), draft.text());
        System.out.print(tables);
        System.out.printf(
                Locale.ROOT,
                "%nmeasured in %.1f of %s minutes%s; written to %s: README.md there is the draft of a record%n",
                minutes,
                options.minutes(),
                minutes > 1.1 * options.minutes() ? ", the least that these measurements take" : "",
                options.out());
        return jmh.failures();
    }

    /** As it can be repeated elsewhere: with the prefix that the script took off, without this machine's folders. */
    private static String command(List<String> args) {
        List<String> words = new ArrayList<>(List.of("bench/run"));
        for (int i = 0; i < args.size(); i++) {
            boolean folder = i > 0 && args.get(i - 1).equals("--out");
            words.add(folder ? "out/" + Path.of(args.get(i)).getFileName() : args.get(i));
        }
        String prefix = System.getProperty("bench.prefix", "");
        if (!prefix.isEmpty()) {
            words.addAll(List.of("--prefix", "'" + prefix + "'"));
        }
        return String.join(" ", words);
    }

    private static void write(SuiteOptions options, String file, Object value) throws IOException {
        Path path = options.out().resolve(file);
        Files.writeString(path, JSON.writeValueAsString(value) + "\n");
    }

    /** Opens every device at every precision that will be measured. */
    private static String description(SuiteOptions options) {
        Set<String> lines = new LinkedHashSet<>();
        for (String name : options.params().getOrDefault("device", List.of("cpu"))) {
            for (String precision : options.params().getOrDefault("precision", List.of("fp32"))) {
                try (Backend backend = Device.open(name, 0, precision)) {
                    lines.add(backend.description());
                } catch (IllegalArgumentException | IllegalStateException e) {
                    throw new IllegalArgumentException(
                            "--param device=" + name + " --param precision=" + precision + ": " + e.getMessage(), e);
                }
            }
        }
        return String.join("; ", lines);
    }
}
