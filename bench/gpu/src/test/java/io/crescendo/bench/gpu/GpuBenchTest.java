package io.crescendo.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.crescendo.bench.TrainingStep;
import io.crescendo.train.NoiseImages;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@NullMarked
class GpuBenchTest {
    @TempDir
    Path folder;

    @Test
    void distanceIsRelativeToTheSecond() {
        assertEquals(0.5, GradientsCommand.distance(new float[] {9, 3, 6}, new float[] {9, 2, 4}, 1, 3), 1e-12);
        assertTrue(Double.isNaN(GradientsCommand.distance(new float[] {Float.NaN}, new float[] {1}, 0, 1)));
    }

    @Test
    void oneBadWindowOfACurveCounts() {
        List<Double> zeros = Collections.nCopies(45, 0.0);
        List<Double> late = new ArrayList<>(zeros);
        late.set(44, 1.0); // the last window holds five
        assertEquals(0.2, CurvesCommand.largestDifference(late, zeros), 1e-12);
        late.set(0, Double.NaN);
        assertTrue(Double.isNaN(CurvesCommand.largestDifference(late, zeros)));
    }

    @Test
    void gradientsOfTheCpuAgreeWithItself() throws IOException {
        Path file = folder.resolve("gradients.json");
        int status = GpuBench.commandLine()
                .execute(
                        "gradients",
                        "--device",
                        "cpu",
                        "--precisions",
                        "fp32",
                        "--networks",
                        "fashion-cnn",
                        "--batch",
                        "5",
                        "--out",
                        file.toString());
        assertEquals(0, status);
        assertTrue(Json.MAPPER
                .readTree(file.toFile())
                .path("comparisons")
                .path(0)
                .path("passed")
                .asBoolean());
    }

    @Test
    void testsThatAllSkipShowNothingOnADevice() throws IOException {
        Files.writeString(
                folder.resolve("TEST-a.xml"),
                "<testsuite name=\"a\" tests=\"3\" skipped=\"3\" failures=\"0\" errors=\"0\" time=\"1\">");
        assertEquals(1, GpuBench.commandLine().execute("tests", "--folder", folder.toString()));
        assertEquals(0, GpuBench.commandLine().execute("tests", "--device", "cpu", "--folder", folder.toString()));
        Files.writeString(
                folder.resolve("TEST-b.xml"),
                "<testsuite name=\"b\" tests=\"2\" skipped=\"0\" failures=\"1\" errors=\"0\">");
        assertEquals(new TestReports(5, 1, 3), TestReports.in(folder));
    }

    @Test
    void tableHasALineForEveryPart() throws IOException {
        Files.writeString(folder.resolve("parts.tsv"), "info\tpassed\t3\ncurves\tout of time\t100\n");
        Files.writeString(folder.resolve("parts.tsv"), "tests\tFAILED\t7\n", StandardOpenOption.APPEND);
        Files.createDirectories(folder.resolve("tests"));
        Files.writeString(folder.resolve("tests/classes.tsv"), "ATest\tpassed\t2\nBTest\tout of time\t5\n");
        Files.writeString(folder.resolve("parts.tsv"), "sanitizer\tpassed\t90\n", StandardOpenOption.APPEND);
        Files.createDirectories(folder.resolve("sanitizer"));
        Files.writeString(
                folder.resolve("sanitizer/classes.tsv"),
                "ATest under memcheck\tpassed, 3 tests\t40\nBTest under racecheck\tracecheck complains\t50\n");
        Files.createDirectories(folder.resolve("profile"));
        Files.writeString(folder.resolve("profile/128-bf16.txt"), "a step takes 3 ms\n\nConv2d 2 ms\n");
        Files.writeString(folder.resolve("kernels.log"), "noise\nKernels alone on x\n| kernel |\n|---|\n| adam |\n");
        String text = TableCommand.text(folder);
        assertTrue(text.contains("\n\nKernels alone on x\n\n| kernel |\n|---|\n| adam |\n"), text);
        assertTrue(text.contains("0 skipped; BTest: out of time |"), text);
        assertTrue(
                text.contains("; ATest under memcheck: passed, 3 tests; BTest under racecheck: racecheck complains |"),
                text);
        assertTrue(text.contains("```\na step takes 3 ms\nConv2d 2 ms\n```"), text);
        assertTrue(text.contains("| info | passed | 3 |") && text.contains("| curves | out of time | 100 |"), text);
    }

    @Test
    void tableSaysHowConvolutionsAreComputed() throws IOException {
        Files.createDirectories(folder.resolve("convolutions"));
        Files.writeString(folder.resolve("convolutions").resolve("a-device.txt"), """
                the head
                forward-bf16-n128-c3\tclassic1\t0
                forward-bf16-n256-c3\tclassic1\t0
                weight_gradient-fp32-n1\tengine62:2=4,13=0\t512
                weight_gradient-fp32-n2\tengine62:2=1,13=0\t512
                end 4
                """);
        String warning = "WARNING: cuDNN offers 0 methods for forward-fp32-n1, and none that fits and works;"
                + " a slow kernel computes it\n";
        Files.writeString(folder.resolve("tests.log"), warning + warning);
        String text = TableCommand.text(folder);
        for (String line : List.of("- forward bf16: classic1 2", "- weight_gradient fp32: engine62 2", "kernel: 1\n")) {
            assertTrue(text.contains(line), text);
        }
    }

    @Test
    void memoryIsComparedLikeWithLike() {
        Measurement ours = measurement(100, 0, null);
        assertEquals(0.5, CaseRun.memoryRatio(ours, measurement(50, 200, 400L)), "the driver tells of one only");
        assertEquals(0.75, CaseRun.memoryRatio(measurement(100, 0, 300L), measurement(50, 200, 400L)));
        assertNull(CaseRun.memoryRatio(ours, null));
    }

    /** Stands in for PyTorch, and cannot be compiled with max-autotune. */
    private static final String FAKE_PYTHON = """
            #!/bin/sh
            case "$*" in
                '-c '*) exit 0 ;;
                *--losses*) echo 'RESULT {"losses": []}'; exit 0 ;;
                *default*--budget*) echo 'RESULT {"batch": 16, "exact": false, "allocatedBytes": 7}'; exit 0 ;;
                *--budget*) echo 'RESULT {"batch": 8, "exact": true, "allocatedBytes": 7}'; exit 0 ;;
                *max-autotune*) echo 'no autotuning here'; exit 1 ;;
            esac
            echo 'RESULT {"ready": true, "prepareSeconds": 2, "description": "fake"}'
            while read -r command; do
                case $command in
                    measure*) echo 'RESULT {"stepMillis": [2, 4], "hostMicros": [1], "hostBusyMicros": [0.5], "stepsPerBlock": 1}' ;;
                    'grow 8 '*) echo 'RESULT {"batch": 8, "millis": [3, 2, 2, 2, 2, 2]}' ;;
                    'grow 16 '*) echo 'RESULT {"batch": 16, "millis": [9, 8, 4, 4, 4, 4]}' ;;
                    grow*) echo 'RESULT {"batch": 32, "failure": "out of memory"}' ;;
                    memory) echo 'RESULT {"allocatedBytes": 1, "reservedBytes": 2}' ;;
                    *) exit 0 ;;
                esac
            done
            """;

    @Test
    void aModeThatFailsOrHasNoTimeGivesWayToACheaperOne() throws IOException {
        JsonNode failed = throughput("fashion-cnn:8:fp32", "600", "8192");
        assertEquals("reduce-overhead", failed.path("mode").asText());
        assertTrue(failed.path("notes").toString().contains("no autotuning here"), failed.toString());
        assertTrue(failed.path("ratio").isNumber(), failed.toString());
        // Time for one that compiles, or on a slow machine only for eager, but not for two that compile.
        JsonNode late = throughput("fashion-cnn:8:fp32", "65", "8192");
        assertTrue(
                List.of("reduce-overhead", "eager").contains(late.path("mode").asText()), late.toString());
        assertTrue(late.path("notes").toString().contains("are left for it"), late.toString());
    }

    @Test
    void largeBatchesAreMeasuredOneAfterTheOther() throws IOException {
        JsonNode outcome = throughput("fashion-cnn:8:fp32", "600", "7");
        assertEquals(3, outcome.path("pytorch").path("medianMillis").asDouble());
        assertTrue(outcome.path("crescendo").path("stepMillis").size() >= 2 * 3, "of both times; " + outcome);
        assertTrue(outcome.path("notes").toString().contains("one after the other"), outcome.toString());
    }

    @Test
    void whatGrowingCostsIsTheFirstUpdateLessASteadyOne() throws IOException {
        JsonNode result = beside("growth", "--network", "fashion-cnn", "--ladder", "8,16,32", "--ghost-batch", "8");
        JsonNode ours = result.path("runs").path(0);
        assertEquals(2, ours.path("steps").size(), result.toString());
        assertTrue(ours.path("stages").path(1).path("waitedSeconds").isNumber(), "it was announced");
        JsonNode theirs = result.path("runs").path(1);
        assertEquals("pytorch eager", theirs.path("engine").asText());
        assertEquals(5, theirs.path("steps").path(0).path("costMillis").asDouble());
        assertEquals(2.5, theirs.path("steps").path(0).path("overUpdateBefore").asDouble());
        assertEquals(1, theirs.path("steps").size(), "what was done before it failed stays");
        assertTrue(result.path("failures").toString().contains("batch 32: out of memory"), result.toString());
        assertTrue(result.path("runs").path(2).path("failure").asText().contains("no autotuning here"));
        assertTrue(result.path("runs")
                .path(3)
                .path("stages")
                .path(1)
                .path("waitedSeconds")
                .isNull());
        String table = TableCommand.text(folder);
        assertTrue(table.contains("| pytorch eager | fp32 | 8 to 16 | 2.00 | 9.00 | 4.00 | 5.00 | 2.50 |  |"), table);
    }

    @Test
    void theLargestBatchIsPlannedAndTrained() throws IOException {
        JsonNode result = beside("capacity", "--cases", "fashion-cnn:8:fp32", "--budget", "0.04");
        JsonNode engines = result.path("outcomes").path(0).path("engines");
        assertEquals(4, engines.size(), result.toString());
        int batch = engines.path(0).path("batch").asInt();
        assertTrue(batch >= 8 && batch % 8 == 0, result.toString());
        assertTrue(
                engines.path(0).path("allocatedBytes").asLong()
                        <= result.path("budgetBytes").asLong(),
                result.toString());
        assertEquals("none", engines.path(0).path("recomputation").asText());
        assertFalse(engines.path(3).path("recomputation").asText().equals("none"), result.toString());
        assertTrue(TableCommand.text(folder).contains("| pytorch default | 16 or more | none |"));
    }

    /** A command beside what stands in for PyTorch, on a CPU and in float32. */
    private JsonNode beside(String command, String... more) throws IOException {
        List<String> arguments = new ArrayList<>(List.of(command, "--device", "cpu"));
        if (command.equals("growth")) {
            arguments.addAll(List.of("--precisions", "fp32", "--updates", "6"));
        }
        Path file = folder.resolve(command + ".json");
        arguments.addAll(
                List.of("--python", fakePython().toString(), "--peer", "torch_step.py", "--out", file.toString()));
        arguments.addAll(List.of(more));
        GpuBench.commandLine().execute(arguments.toArray(String[]::new));
        return Json.MAPPER.readTree(file.toFile());
    }

    private Path fakePython() throws IOException {
        Path python = folder.resolve("python");
        Files.writeString(python, FAKE_PYTHON);
        assertTrue(python.toFile().setExecutable(true));
        return python;
    }

    private JsonNode throughput(String measured, String limit, String together) throws IOException {
        Path file = folder.resolve("throughput.json");
        int status = GpuBench.commandLine()
                .execute(
                        "throughput",
                        "--device",
                        "cpu",
                        "--cases",
                        measured,
                        "--rounds",
                        "2",
                        "--seconds",
                        "0.05",
                        "--limit",
                        limit,
                        "--together",
                        together,
                        "--python",
                        fakePython().toString(),
                        "--peer",
                        "torch_step.py",
                        "--out",
                        file.toString());
        assertEquals(1, status, "losses that are not there are not the same");
        return Json.MAPPER.readTree(file.toFile()).path("outcomes").path(0);
    }

    private static Measurement measurement(long allocated, long reserved, @Nullable Long process) {
        return new Measurement("", 0, List.of(), 0, 0, 0, null, allocated, reserved, process);
    }

    @Test
    void noiseIsTheSameWheneverItIsDrawn() {
        NoiseImages noise = new NoiseImages(TrainingStep.network("fashion-cnn"), 5, 3);
        byte[] first = new byte[28 * 28 + 1];
        byte[] again = new byte[28 * 28 + 1];
        byte[] other = new byte[28 * 28 + 1];
        noise.copyImage(4, first, 1);
        noise.copyImage(4, again, 1);
        noise.copyImage(3, other, 1);
        assertArrayEquals(first, again);
        assertFalse(Arrays.equals(first, other));
        assertEquals(-1.7f, noise.table()[0]);
        assertEquals(1.7f, noise.table()[255]);
    }
}
