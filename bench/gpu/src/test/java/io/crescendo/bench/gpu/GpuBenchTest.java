package io.crescendo.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.jspecify.annotations.NullMarked;
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
}
