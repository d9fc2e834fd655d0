package io.crescendo.cli.run;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.crescendo.metrics.RunSummary;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class RunLabelsTest {
    private static RunLog run(String folder, String name, String schedule, long seed) {
        ObjectNode head = new ObjectMapper().createObjectNode();
        head.put("name", name).put("schedule", schedule).put("seed", seed);
        RunSummary summary = new RunSummary(schedule, seed, 1, 2, 3, 4, 5, 6, 7, 8);
        return new RunLog(
                Path.of("runs").resolve(folder),
                schedule,
                head,
                List.of(),
                List.of(),
                List.of(),
                List.of(),
                List.of(),
                summary,
                false);
    }

    private static List<String> labels(RunLog... runs) {
        List<RunLog> apart = RunLabels.apart(List.of(runs));
        List<String> labels = apart.stream().map(RunLog::label).toList();
        assertEquals(
                labels,
                apart.stream()
                        .map(RunLog::summary)
                        .map(summary -> Objects.requireNonNull(summary).schedule())
                        .toList());
        return labels;
    }

    @Test
    void ofOneExperimentTheScheduleIsEnough() {
        assertEquals(
                List.of("decaying", "increasing", "increasing"),
                labels(
                        run("q/decaying", "q", "decaying", 1),
                        run("q/increasing/seed-1", "q", "increasing", 1),
                        run("q/increasing/seed-2", "q", "increasing", 2)));
    }

    @Test
    void experimentsGoByWhatTheirNamesDifferIn() {
        assertEquals(
                List.of("original", "learning-rate", "momentum", "momentum"),
                labels(
                        run("a", "fashion-figure5-original", "decaying", 1),
                        run("b", "fashion-figure5-learning-rate", "increasing", 1),
                        run("c", "fashion-figure5-momentum", "increasing", 1),
                        run("d", "fashion-figure5-momentum", "increasing", 2)));
        assertEquals(
                List.of("net", "net-wide"),
                labels(run("a", "net", "increasing", 1), run("b", "net-wide", "increasing", 1)));
    }

    @Test
    void anExperimentWithTwoSchedulesNamesThem() {
        assertEquals(
                List.of("small decaying", "small increasing", "large"),
                labels(
                        run("a/decaying", "net-small", "decaying", 1),
                        run("a/increasing", "net-small", "increasing", 1),
                        run("b", "net-large", "increasing", 1)));
    }

    /** A file that was changed between two runs, and not the name in it. */
    @Test
    void whereNamesDoNotDoFoldersDo() {
        assertEquals(
                List.of("mine", "mine-2", "mine-2"),
                labels(
                        run("mine/seed-1", "mine", "increasing", 1),
                        run("mine-2/seed-1", "mine", "increasing", 1),
                        run("mine-2/seed-2", "mine", "increasing", 2)));
        List<String> nested = labels(
                run("x/increasing", "x", "increasing", 1),
                run("y/increasing", "x", "increasing", 1),
                run("x/increasing/seed-3", "x", "increasing", 3));
        assertEquals(Stream.of("x/increasing", "y/increasing", "x/increasing").toList(), nested);
    }
}
