package io.crescendo.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.bench.TrainingStep;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
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
        String text = TableCommand.text(folder);
        assertTrue(text.contains("| info | passed | 3 |") && text.contains("| curves | out of time | 100 |"), text);
    }

    @Test
    void tableSaysHowConvolutionsAreComputed() throws IOException {
        Files.createDirectories(folder.resolve("convolutions"));
        Files.writeString(folder.resolve("convolutions").resolve("a-device.txt"), """
                the head
                forward-bf16-n128-c3\tclassic1\t0
                forward-bf16-n256-c3\tclassic1\t0
                weight_gradient-fp32-n1\tgraph0\t512
                end 3
                """);
        String warning = "WARNING: cuDNN offers 0 methods for forward-fp32-n1, and none that fits and works;"
                + " a slow kernel computes it\n";
        Files.writeString(folder.resolve("tests.log"), warning + warning);
        String text = TableCommand.text(folder);
        for (String line : List.of("- forward bf16: classic1 2", "- weight_gradient fp32: graph0 1", "kernel: 1\n")) {
            assertTrue(text.contains(line), text);
        }
    }

    @Test
    void memoryIsComparedLikeWithLike() {
        Measurement ours = measurement(100, 0, null);
        assertEquals(
                0.5, ThroughputCommand.memoryRatio(ours, measurement(50, 200, 400L)), "the driver tells of one only");
        assertEquals(0.75, ThroughputCommand.memoryRatio(measurement(100, 0, 300L), measurement(50, 200, 400L)));
        assertNull(ThroughputCommand.memoryRatio(ours, null));
    }

    private static Measurement measurement(long allocated, long reserved, @Nullable Long process) {
        return new Measurement("", 0, List.of(), 0, 0, 0, allocated, reserved, process);
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
