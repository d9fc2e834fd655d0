package io.crescendo.cli.figures;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.crescendo.cli.run.PhaseTable;
import io.crescendo.cli.run.RunLog;
import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.metrics.PhaseRecord;
import io.crescendo.metrics.UpdateRecord;
import java.io.IOException;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.xml.sax.InputSource;

class FiguresTest {
    @Test
    void everyFigureIsWellFormedAndNamesItsSchedules() throws Exception {
        List<Figure> figures =
                ComparisonFigures.of(List.of(run("decaying", 1, 60), run("hybrid", 1, 30), run("increasing", 1, 20)));
        assertEquals(
                List.of("schedules", "training-loss", "test-accuracy", "batch-cost"),
                figures.stream().map(Figure::name).toList());
        for (Figure figure : figures) {
            DocumentBuilderFactory.newInstance()
                    .newDocumentBuilder()
                    .parse(new InputSource(new StringReader(figure.svg())));
            for (String text : List.of("decaying", "hybrid", "increasing", "#0072b2", "#d55e00", "#009e73")) {
                assertTrue(figure.svg().contains(text), () -> text + " in " + figure.name());
            }
        }
    }

    @Test
    void ofSeveralSeedsTheOneThatIsShownIsNamed() {
        List<RunLog> runs = List.of(run("decaying", 1, 60), run("increasing", 2, 7), run("increasing", 3, 9));
        String caption = ComparisonFigures.of(runs).get(3).caption();
        assertTrue(caption.endsWith("Shown: decaying with seed 1, increasing with seed 2."), caption);
        assertFalse(ComparisonFigures.of(runs.subList(0, 2)).get(3).caption().contains("seed"));
        List<List<String>> cells = PhaseTable.cells(runs);
        assertEquals(
                List.of("schedule", "decaying", "decaying", "increasing, seed 2", "increasing, seed 2"),
                cells.stream().map(line -> line.get(0)).toList());
    }

    @Test
    void equalRunsGiveEqualFiles() {
        List<RunLog> runs = List.of(run("decaying", 1, 60), run("increasing", 2, 7), run("increasing", 3, 9));
        assertEquals(ComparisonFigures.of(runs), ComparisonFigures.of(runs));
    }

    @Test
    void whereNoPngCanBeMadeEverySvgIsWrittenAndTheReasonGiven(@TempDir Path folder) throws IOException {
        List<Figure> figures = ComparisonFigures.of(List.of(run("decaying", 1, 60)));
        // A folder in the way of the first file, and not empty, since Java removes an empty one.
        Files.createDirectories(folder.resolve(figures.get(0).name() + ".png").resolve("in the way"));
        FigureFiles.Outcome outcome = new FigureFiles(folder).write(figures);
        assertEquals(
                figures.stream().map(f -> folder.resolve(f.name() + ".svg")).toList(), outcome.files());
        for (Path svg : outcome.files()) {
            assertTrue(Files.size(svg) > 0, svg.toString());
        }
        String fault = String.valueOf(outcome.pngFault());
        assertTrue(fault.startsWith(figures.get(0).name() + ".png could not be drawn"), fault);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2})
    void shortRunsCanBeDrawn(int updates) {
        List<Figure> figures = ComparisonFigures.of(List.of(run("mine", 1, updates)));
        assertEquals(updates == 0 ? 0 : 4, figures.size());
    }

    @RepeatedTest(20)
    void labelsKeepTheirDistanceAndStayInside() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        List<Curve> curves = new ArrayList<>();
        for (int i = 0; i < 1 + random.nextInt(6); i++) {
            curves.add(new Curve(
                    "s" + i, List.of(new Curve.Point(0, 1), new Curve.Point(10, 1 + random.nextDouble() * 0.3))));
        }
        Panel panel = new Panel("t", "x", "y", false, random.nextBoolean(), curves);
        Axis y = Axis.of(panel, false);
        Map<String, Curve.Point> labels = EndLabels.place(panel, Axis.of(panel, true), y);
        assertEquals(curves.size(), labels.size(), "seed " + seed);
        double[] heights = labels.values().stream()
                .mapToDouble(label -> y.share(label.y()))
                .sorted()
                .toArray();
        for (int i = 0; i < heights.length; i++) {
            // 1e-9: shares pass through logarithms and back.
            assertTrue(heights[i] > 0.03 - 1e-9 && heights[i] < 0.97 + 1e-9, "seed " + seed);
            assertTrue(i == 0 || heights[i] - heights[i - 1] > 0.065 - 1e-9, "seed " + seed);
        }
    }

    @Test
    void ticksAreRound() {
        assertEquals(List.of(50.0, 100.0, 200.0, 500.0), new Axis(28, 900, true).ticks());
        assertEquals(List.of(0.0, 5.0, 10.0, 15.0), new Axis(0, 15, false).ticks());
        assertEquals("3,750", Axis.label(3750));
        assertEquals("0.0005", Axis.label(5e-4));
    }

    /** A constant learning rate's axis, and others of less than a decade, lie between two ticks of 1, 2 and 5. */
    @Test
    void everyAxisHasTwoTicks() {
        Panel constant =
                new Panel("t", "x", "y", false, true, List.of(new Curve("s", List.of(new Curve.Point(0, 0.03)))));
        List<Double> ticks = Axis.of(constant, false).ticks();
        assertTrue(ticks.size() >= 2, ticks.toString());
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        for (int round = 0; round < 10_000; round++) {
            double low = Math.pow(10, random.nextDouble() * 12 - 6);
            double high = low * 1.15 * 1.15 * Math.pow(10, 4 * Math.pow(random.nextDouble(), 3));
            Axis axis = new Axis(low, high, random.nextBoolean());
            String what = "seed " + seed + ": " + axis + " " + axis.ticks();
            assertTrue(axis.ticks().size() >= 2 && axis.ticks().size() <= 12, what);
            for (double tick : axis.ticks()) {
                assertTrue(tick >= low * (1 - 1e-8) && tick <= high * (1 + 1e-8), what);
            }
            assertEquals(
                    axis.ticks().size(),
                    axis.ticks().stream().map(Axis::label).distinct().count(),
                    what);
        }
    }

    /** A run of one epoch per ten updates. */
    private static RunLog run(String schedule, long seed, int count) {
        ObjectNode head = new ObjectMapper().createObjectNode();
        head.put("schedule", schedule);
        head.put("seed", seed);
        List<UpdateRecord> updates = new ArrayList<>();
        List<EvaluationRecord> evaluations = new ArrayList<>();
        for (int i = 1; i <= count; i++) {
            int batch = i > count / 2 ? 160 : 32;
            updates.add(
                    new UpdateRecord(i, i * 32L, i / 10.0, batch, 32, 1, 0.1 / i, 0.9, 1, 2.0 / i, 0.5, 1000, 1 << 20));
            if (i % 10 == 0 || i == count) {
                evaluations.add(new EvaluationRecord(i, i / 10.0, 100, 0.5, 0.8 + 0.001 * i));
            }
        }
        List<PhaseRecord> phases = List.of(
                new PhaseRecord(0, 0, 32, List.of(32), "none", 8, 0.1, 0.9, 1, 1 << 20, 500, 400),
                new PhaseRecord(
                        count / 2, count / 20.0, 160, List.of(80, 80), "none", 8, 0.1, 0.9, 1, 3 << 20, 500, 400));
        return new RunLog(
                Path.of("nowhere"),
                head.path("schedule").asText(),
                head,
                phases,
                List.of(),
                updates,
                List.of(),
                evaluations,
                null,
                false);
    }
}
