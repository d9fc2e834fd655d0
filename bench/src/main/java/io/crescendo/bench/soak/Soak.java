package io.crescendo.bench.soak;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import io.crescendo.bench.Machine;
import io.crescendo.cli.run.Environment;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.management.CompilationMXBean;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/**
 * Changes the batch many times, writes down what each change gave and what the process held after it, and compares the
 * results with those of fresh processes.
 *
 * <p>Two batches that were asked for with the same weights must give the same bits, however many came between and
 * however their programs came and went.
 */
public final class Soak {
    /** Changes after which memory and time should have settled. */
    static final int WARM_UP = 100;

    /** Resident memory may differ by this share from that after the warm-up, at any later change. */
    static final double TOLERANCE = 0.02;

    /** The median batch must keep this share of its throughput; single batches differ more on a busy machine. */
    static final double SLOWEST = 0.9;

    /**
     * Before anything counts, every batch is visited until the JVM's compiler is done, but no longer than so many
     * passes over all of them: what the compiler takes from the C library for one large method (10 MB in one piece was
     * seen) stays with the process, and is no change's.
     */
    private static final int MOST_SETTLING_PASSES = 30;

    /** A pass in which the compiler worked for less than this share of the time is one in which it was done. */
    private static final double SETTLED = 0.02;

    private static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);
    private static final String FRESH = "--fresh";
    private static final String CHECKSUM = "checksum ";

    private final SoakOptions options;
    private final Path out;
    private final PrintStream log;
    private final List<Change> settling = new ArrayList<>();
    private final List<Change> changes = new ArrayList<>();
    private int settlingPasses;
    private final Map<Integer, Long> checksums = new TreeMap<>();
    private final List<String> faults = new ArrayList<>();

    Soak(SoakOptions options, Path out, PrintStream log) {
        this.options = options;
        this.out = out;
        this.log = log;
    }

    private record Change(int batch, BatchChanges.Outcome outcome, ProcessMemory memory) {
        double imagesPerSecond() {
            return 1e9 * batch / outcome.updateNanos();
        }
    }

    /** {@code OUT [NAME=VALUE ...]}, or a fresh process: {@code --fresh BATCH [NAME=VALUE ...]}. */
    public static void main(String[] args) throws IOException, InterruptedException {
        if (args.length == 0 || args[0].equals("--help")) {
            System.err.println("usage: bench/soak DIR [NAME=VALUE ...]   with "
                    + String.join(" ", new SoakOptions(Map.of()).arguments()));
            System.exit(2);
        }
        boolean fresh = args[0].equals(FRESH);
        SoakOptions options;
        try {
            options = new SoakOptions(named(List.of(args).subList(fresh ? 2 : 1, args.length)));
        } catch (IllegalArgumentException e) {
            System.err.println(e.getMessage());
            System.exit(2);
            return;
        }
        if (fresh) {
            try (BatchChanges alone = new BatchChanges(options)) {
                System.out.println(
                        CHECKSUM + alone.to(Integer.parseInt(args[1])).checksum());
            }
            return;
        }
        System.exit(new Soak(options, Path.of(args[0]), System.err).run().isEmpty() ? 0 : 1);
    }

    private static Map<String, String> named(List<String> arguments) {
        Map<String, String> named = new LinkedHashMap<>();
        for (String argument : arguments) {
            String[] pair = argument.split("=", 2);
            if (pair.length < 2) {
                throw new IllegalArgumentException(argument + ": expected NAME=VALUE, for example changes=1000");
            }
            named.put(pair[0], pair[1]);
        }
        return named;
    }

    /** Runs it all and writes config.json and raw/; returns what was not as it should be. */
    List<String> run() throws IOException, InterruptedException {
        Files.createDirectories(out.resolve("raw"));
        json("raw/machine.json", Machine.here());
        String device = change();
        Map<String, Object> config = new LinkedHashMap<>();
        config.put("command", "bench/soak DIR " + String.join(" ", options.arguments()));
        config.put("commit", Environment.here(device).commit());
        config.put("device", device);
        options.arguments().forEach(option -> config.put(option.split("=", 2)[0], option.split("=", 2)[1]));
        json("config.json", config);
        table("raw/settling.csv", settling);
        table("raw/changes.csv", changes);
        compareWithFresh();
        if (options.changes() >= 3 * WARM_UP) {
            summarise();
        }
        faults.forEach(fault -> log.println("FAULT: " + fault));
        return List.copyOf(faults);
    }

    private String change() throws IOException {
        try (BatchChanges batches = new BatchChanges(options)) {
            int most = 0;
            if (options.changes() >= 3 * WARM_UP) {
                settle(batches);
            }
            for (int batch : options.sequence()) {
                BatchChanges.Outcome outcome = batches.to(batch);
                changes.add(new Change(batch, outcome, ProcessMemory.now()));
                Long before = checksums.putIfAbsent(batch, outcome.checksum());
                if (before != null && before != outcome.checksum()) {
                    faults.add("change " + changes.size() + ": batch " + batch + " gave other weights than before");
                }
                if (!Double.isFinite(outcome.loss())) {
                    faults.add("change " + changes.size() + ": batch " + batch + " has loss " + outcome.loss());
                }
                most = Math.max(most, batches.programs());
                if (changes.size() % 100 == 0) {
                    log.printf(
                            Locale.ROOT,
                            "%d changes: resident %.1f MiB, heap %.1f MiB, workspace %.1f MiB, %d programs%n",
                            changes.size(),
                            last().memory.residentBytes() / 0x1p20,
                            last().memory.heapBytes() / 0x1p20,
                            batches.workspaceBytes() / 0x1p20,
                            batches.programs());
                }
            }
            log.printf(Locale.ROOT, "most programs kept at once: %d%n", most);
            return batches.device();
        }
    }

    private void settle(BatchChanges batches) throws IOException {
        CompilationMXBean compiler = ManagementFactory.getCompilationMXBean();
        List<Integer> all = options.sequence().stream().distinct().toList();
        double share = 1;
        int quiet = 0;
        // Two quiet passes in a row: a method may be waiting for its last few calls.
        while (quiet < 2 && settlingPasses < MOST_SETTLING_PASSES) {
            long start = System.nanoTime();
            long compiled = compiler.getTotalCompilationTime();
            for (int batch : all) {
                settling.add(new Change(batch, batches.to(batch), ProcessMemory.now()));
            }
            settlingPasses++;
            share = 1e6 * (compiler.getTotalCompilationTime() - compiled) / (System.nanoTime() - start);
            quiet = share < SETTLED ? quiet + 1 : 0;
        }
        log.printf(
                Locale.ROOT,
                "settled in %d passes over %d batches, the last with %.1f %% of its time in the compiler: resident %.1f"
                        + " MiB%n",
                settlingPasses,
                all.size(),
                100 * share,
                settling.get(settling.size() - 1).memory.residentBytes() / 0x1p20);
    }

    private Change last() {
        return changes.get(changes.size() - 1);
    }

    private void table(String file, List<Change> changes) throws IOException {
        StringBuilder table =
                new StringBuilder("change,batch,micro_batches,switch_nanos,update_nanos,images_per_second,"
                        + "resident_bytes,anonymous_bytes,heap_bytes,loss,checksum\n");
        for (int i = 0; i < changes.size(); i++) {
            Change change = changes.get(i);
            table.append(String.format(
                    Locale.ROOT,
                    "%d,%d,%d,%d,%d,%.1f,%d,%d,%d,%.6f,%d%n",
                    i + 1,
                    change.batch,
                    change.outcome.microBatches(),
                    change.outcome.switchNanos(),
                    change.outcome.updateNanos(),
                    change.imagesPerSecond(),
                    change.memory.residentBytes(),
                    change.memory.anonymousBytes(),
                    change.memory.heapBytes(),
                    change.outcome.loss(),
                    change.outcome.checksum()));
        }
        Files.writeString(out.resolve(file), table);
    }

    private void compareWithFresh() throws IOException, InterruptedException {
        StringBuilder table = new StringBuilder("batch,checksum,fresh_process_checksum\n");
        int compared = 0;
        for (Map.Entry<Integer, Long> entry : checksums.entrySet()) {
            if (compared == options.fresh()) {
                break;
            }
            compared++;
            long fresh = fresh(entry.getKey());
            table.append(entry.getKey() + "," + entry.getValue() + "," + fresh + "\n");
            if (fresh != entry.getValue()) {
                faults.add("batch " + entry.getKey() + ": a fresh process gave other weights");
            }
        }
        Files.writeString(out.resolve("raw/fresh.csv"), table);
        log.printf(Locale.ROOT, "%d fresh processes compared%n", compared);
    }

    private long fresh(int batch) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                Soak.class.getName(),
                FRESH,
                Integer.toString(batch)));
        command.addAll(options.arguments());
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (process.waitFor() != 0) {
            throw new IllegalStateException("a fresh process for batch " + batch + " failed:\n" + output);
        }
        return output.lines()
                .filter(line -> line.startsWith(CHECKSUM))
                .mapToLong(line -> Long.parseLong(line.substring(CHECKSUM.length())))
                .findFirst()
                .orElseThrow(() -> new IllegalStateException("a fresh process printed no checksum:\n" + output));
    }

    /** Memory after the warm-up and at the end; throughput of each batch before and after the middle. */
    private void summarise() throws IOException {
        ProcessMemory warm = changes.get(WARM_UP - 1).memory;
        List<Change> settled = changes.subList(WARM_UP, changes.size());
        long lowest =
                settled.stream().mapToLong(c -> c.memory.residentBytes()).min().orElseThrow();
        long highest =
                settled.stream().mapToLong(c -> c.memory.residentBytes()).max().orElseThrow();
        double[] ratios = checksums.keySet().stream()
                .mapToDouble(batch -> laterOverEarlier(settled, batch))
                .filter(Double::isFinite)
                .sorted()
                .toArray();
        double drift = (double) last().memory.residentBytes() / warm.residentBytes() - 1;
        double farthest = Math.max(
                Math.abs((double) highest / warm.residentBytes() - 1),
                Math.abs((double) lowest / warm.residentBytes() - 1));
        double throughput = quantile(ratios, 0.5);
        Map<String, Object> summary = new LinkedHashMap<>();
        summary.put("changes", changes.size());
        summary.put("differentBatches", checksums.size());
        summary.put("settlingPasses", settlingPasses);
        summary.put("residentBytesAfterWarmUp", warm.residentBytes());
        summary.put("residentBytesAtTheEnd", last().memory.residentBytes());
        summary.put("residentDrift", drift);
        summary.put("residentFarthestFromAfterWarmUp", farthest);
        summary.put("lowestResidentBytesAfterWarmUp", lowest);
        summary.put("highestResidentBytesAfterWarmUp", highest);
        summary.put("heapBytesAfterWarmUp", warm.heapBytes());
        summary.put("heapBytesAtTheEnd", last().memory.heapBytes());
        summary.put("batchesTimed", ratios.length);
        summary.put("laterOverEarlierThroughputMedian", throughput);
        summary.put("laterOverEarlierThroughputLowerQuartile", quantile(ratios, 0.25));
        summary.put("laterOverEarlierThroughputUpperQuartile", quantile(ratios, 0.75));
        summary.put(
                "medianSwitchMillis",
                quantile(
                        settled.stream()
                                .mapToDouble(c -> c.outcome.switchNanos() / 1e6)
                                .sorted()
                                .toArray(),
                        0.5));
        json("raw/summary.json", summary);
        summary.forEach((name, value) -> log.println(name + " " + value));
        if (farthest > TOLERANCE) {
            faults.add(String.format(
                    Locale.ROOT,
                    "resident memory was up to %.2f %% from what it was after change %d",
                    100 * farthest,
                    WARM_UP));
        }
        if (throughput < SLOWEST) {
            faults.add(String.format(
                    Locale.ROOT, "the later half has %.2f of the earlier half's throughput per batch", throughput));
        }
    }

    /** Medians of the visits to one batch, which another program's moment on the cores does not move. */
    private static double laterOverEarlier(List<Change> settled, int batch) {
        double earlier = median(settled.subList(0, settled.size() / 2), batch);
        double later = median(settled.subList(settled.size() / 2, settled.size()), batch);
        return later / earlier;
    }

    private static double median(List<Change> changes, int batch) {
        return quantile(
                changes.stream()
                        .filter(change -> change.batch == batch)
                        .mapToDouble(Change::imagesPerSecond)
                        .sorted()
                        .toArray(),
                0.5);
    }

    private static double quantile(double[] sorted, double share) {
        return sorted.length == 0 ? Double.NaN : sorted[(int) Math.round(share * (sorted.length - 1))];
    }

    private void json(String file, Object value) throws IOException {
        Files.writeString(out.resolve(file), JSON.writeValueAsString(value) + "\n");
    }
}
