package io.crescendo.bench.suite;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.crescendo.bench.Machine;
import io.crescendo.cli.figures.Curve;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SuiteTest {
    private static final Machine HERE = machine("a processor");

    @TempDir
    Path records;

    private static Machine machine(String processor) {
        return new Machine("now", processor, List.of("fma"), 2, 1L << 34, "a system", "a JVM", "0.00");
    }

    private static Measured measured(String benchmark, String device, String unit, double value) {
        return Measured.of("step", benchmark, Map.of("device", device, "batch", "32"), unit, List.of(value), Map.of());
    }

    private void record(String name, Machine machine, String device, Measured... measured) throws IOException {
        ObjectMapper mapper = new ObjectMapper();
        Path raw = Files.createDirectories(records.resolve(name).resolve("raw"));
        mapper.writeValue(raw.resolve("machine.json").toFile(), machine);
        mapper.writeValue(raw.resolve("suite.json").toFile(), measured);
        mapper.writeValue(records.resolve(name).resolve("config.json").toFile(), Map.of("device", device));
    }

    @Test
    void eachRowIsComparedWithTheNewestRecordThatHasIt() throws IOException {
        record(
                "2026-01-01_all",
                HERE,
                "oneDNN 1",
                measured("A.a", "cpu", "ops/s", 10),
                measured("B.b", "cpu", "ms/op", 6));
        record("2026-01-02_a", HERE, "oneDNN 2", measured("A.a", "cpu", "ops/s", 20));
        record("2026-01-03_elsewhere", machine("another"), "oneDNN 2", measured("A.a", "cpu", "ops/s", 99));
        Files.createDirectories(records.resolve("2026-01-04_of-another-tool"));
        EarlierRecords earlier = EarlierRecords.read(records, HERE, "oneDNN 3, AVX2");

        Measured faster = measured("A.a", "cpu", "ops/s", 30);
        Measured slower = measured("B.b", "cpu", "ms/op", 12);
        Measured unknown = measured("C.c", "cpu", "ms/op", 1);
        assertEquals(
                new EarlierRecords.Comparison("2026-01-02_a", 1.5),
                earlier.of(faster).orElseThrow());
        assertEquals(
                new EarlierRecords.Comparison("2026-01-01_all", 0.5),
                earlier.of(slower).orElseThrow());
        assertTrue(earlier.of(unknown).isEmpty());

        String table = new Tables(List.of(faster, slower, unknown), earlier).text();
        assertTrue(table.contains("| A.a | batch=32 | 30.0 | ops/s | 30.0 - 30.0 |  | 1.50 |\n"), table);
        assertTrue(table.contains("| C.c | batch=32 | 1.00 | ms/op | 1.00 - 1.00 |  | - |\n"), table);
        assertTrue(table.contains("2026-01-01_all (1 row), 2026-01-02_a (1 row)"), table);
        assertEquals(
                6,
                new Tables(List.of(faster), EarlierRecords.none())
                                .text()
                                .lines()
                                .toList()
                                .get(0)
                                .split("\\|")
                                .length
                        - 1);
    }

    @Test
    void accelerators() throws IOException {
        record("2026-01-01_gpu", HERE, "A GPU, 12 units, cuDNN 9.1", measured("A.a", "cuda", "ops/s", 10));
        Measured now = measured("A.a", "cuda", "ops/s", 20);
        assertTrue(EarlierRecords.read(records, HERE, "A GPU, 12 units, cuDNN 9.5")
                .of(now)
                .isPresent());
        assertTrue(EarlierRecords.read(records, HERE, "B GPU, 12 units, cuDNN 9.1")
                .of(now)
                .isEmpty());
    }

    @Test
    void theLineGoesThroughPointsOnALine() {
        Random random = new Random();
        long seed = random.nextLong();
        random.setSeed(seed);
        double fixed = random.nextDouble(0.1, 2);
        double each = random.nextDouble(0.01, 1);
        List<Measured> points = new ArrayList<>();
        for (int batch : Sweep.batches(777)) {
            points.add(Measured.of(
                    "sweep",
                    Sweep.NAME,
                    Map.of("batch", "" + batch),
                    "ms/op",
                    List.of(fixed + each * batch),
                    Map.of()));
        }
        Sweep.Line line = Sweep.Line.through(points);
        // Exact up to rounding: sums of some 50 terms, whose determinant loses at most five of sixteen digits.
        assertEquals(fixed, line.fixedMillis(), 1e-8, "seed " + seed);
        assertEquals(each, line.millisPerSample(), 1e-8, "seed " + seed);
        assertTrue(new Tables(points, EarlierRecords.none()).text().contains("above the line: none"), "seed " + seed);
    }

    @Test
    void sweepsTakePowersOfTwoAndTheirNeighbours() {
        List<Integer> batches = Sweep.batches(4096);
        for (int power = 1; power <= 4096; power *= 2) {
            assertTrue(
                    batches.contains(power) && batches.contains(Math.max(1, power - 1)), batches + " lacks " + power);
        }
        assertTrue(batches.stream().filter(batch -> batch % 2 == 1).count() > 20, batches.toString());
    }

    @Test
    void theCostOfGrowthIsWhatASteadyUpdateDoesNotTake() {
        Map<String, String> params = Map.of("network", "fashion-cnn", "from", "32");
        Map<String, String> ahead = Map.of("network", "fashion-cnn", "from", "32", "ahead", "true");
        List<Measured> all = List.of(
                growth("switchAndFirstUpdate", ahead, 60),
                growth("updateBefore", params, 10),
                growth("updateAfter", params, 50));
        assertEquals("growth costs 10.0 ms beyond an update after, 1.00 updates before", new Notes(all).of(all.get(0)));
    }

    private static Measured growth(String method, Map<String, String> params, double millis) {
        return Measured.of("growth", "BatchGrowthBenchmark." + method, params, "ms/op", List.of(millis), Map.of());
    }

    /** A device that works on its own: the host's numbers, 2 times as fast here, say how fast work was handed over. */
    @Test
    void theClockOfTheDeviceDecidesWhatIsFaster() {
        for (Map<String, Double> device :
                List.of(Map.of("deviceImages", 3.0, "images", 1.0), Map.of("deviceBytes", 3.0))) {
            assertEquals(3, counted("ops/s", 2, device).speedOver(counted("ops/s", 1, ones(device))));
        }
        for (String time : List.of("deviceMicros", "deviceMillis")) {
            assertEquals(3, counted("ms/op", 1, Map.of(time, 1.0)).speedOver(counted("ms/op", 2, Map.of(time, 3.0))));
        }
        assertEquals(2, counted("ops/s", 2, Map.of("deviceImages", 3.0)).speedOver(counted("ops/s", 1, Map.of())));
        assertEquals(2, counted("ops/s", 2, Map.of("deviceImages", 0.0)).speedOver(counted("ops/s", 1, Map.of())));
    }

    private static Map<String, Double> ones(Map<String, Double> extras) {
        return extras.keySet().stream().collect(Collectors.toMap(name -> name, name -> 1.0));
    }

    private static Measured counted(String unit, double value, Map<String, Double> extras) {
        return Measured.of("step", "A.a", Map.of(), unit, List.of(value), extras);
    }

    @Test
    void aSplitBatchIsHeldAgainstTheWholeOneOnTheSameDevice() {
        List<Measured> all = List.of(split("1", "reference", 99), split("1", "cpu", 10), split("4", "cpu", 8));
        Notes notes = new Notes(all);
        assertEquals("125 % of the time of one", notes.of(all.get(2)));
        assertEquals("", notes.of(all.get(1)));
    }

    private static Measured split(String parts, String device, double batches) {
        return Measured.of(
                "reduction",
                "GradientReductionBenchmark.gradients",
                Map.of("microBatches", parts, "device", device, "network", "fashion-cnn", "batch", "512"),
                "ops/s",
                List.of(batches),
                Map.of());
    }

    /** Rows that differ in more than network and batch would be drawn over one another. */
    @Test
    void everyRowIsAPointOfItsCurve() {
        List<Measured> all = new ArrayList<>();
        for (String device : List.of("cpu", "reference")) {
            for (String batch : List.of("8", "32")) {
                all.add(Measured.of(
                        "step",
                        "TrainingStepBenchmark.step",
                        Map.of("network", "fashion-cnn", "batch", batch, "device", device),
                        "ops/s",
                        List.of(1.0),
                        Map.of("images", device.equals("cpu") ? 9.0 : 1.0)));
            }
        }
        assertEquals(
                List.of(
                        new Curve("cpu", List.of(new Curve.Point(8, 9), new Curve.Point(32, 9))),
                        new Curve("reference", List.of(new Curve.Point(8, 1), new Curve.Point(32, 1)))),
                throughput(all));
        assertEquals("otherwise", throughput(all.subList(0, 2)).get(0).schedule());
    }

    private static List<Curve> throughput(List<Measured> all) {
        return SuiteFigures.curves(all, "batch", row -> "otherwise", Notes::imagesPerSecond);
    }

    @Test
    void theDraftNamesTheSeedsOfItsParts() {
        String step = draft(measured("A.a", "cpu", "ops/s", 10));
        assertTrue(step.contains("batches of noise from seed 7, the same in every run."), step);
        String reduction = draft(split("1", "cpu", 10));
        assertTrue(reduction.contains("batches of noise from seed 7, in part reduction 11, the same"), reduction);
    }

    private static String draft(Measured measured) {
        Map<String, Object> config = Map.of("commit", "c", "command", "bench/run");
        return new RecordDraft(HERE, "oneDNN", config, List.of(measured), "a table", List.of(), List.of()).text();
    }

    /** A part whose benchmark was renamed would silently be empty. */
    @Test
    void everyPartHasSomethingToRun() {
        for (Part part : Part.values()) {
            JmhRuns runs = new JmhRuns(System.err);
            runs.add(part, Map.of());
            assertTrue(part == Part.SWEEP || runs.size() >= 8, part + " has " + runs.size());
            for (Part.Selection selection : part.selections()) {
                assertTrue(runs.has(selection.benchmark()), selection.benchmark());
            }
        }
    }
}
