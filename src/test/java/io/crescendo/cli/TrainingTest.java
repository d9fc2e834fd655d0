package io.crescendo.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.crescendo.backend.Backends;
import io.crescendo.train.CheckpointFolder;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Real runs, as short as they can be. */
class TrainingTest {
    @TempDir
    Path folder;

    @Test
    void comparisonLeavesItsFilesWhole() throws IOException {
        Path out = folder.resolve("run");
        Run run = Run.of("compare", "--device", device(), "--epochs", "0.05", "--out", out.toString());
        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains("% of the updates"), run.out());
        List<String> summary = Files.readAllLines(out.resolve("summary.csv"));
        assertEquals(4, summary.size());
        int line = 1;
        for (String schedule : List.of("decaying", "hybrid", "increasing")) {
            assertTrue(summary.get(line).startsWith(schedule + ",1,"), summary.get(line));
            line++;
            List<JsonNode> records = records(out.resolve(schedule).resolve("metrics.jsonl"));
            assertEquals("run", records.get(0).path("type").asText());
            assertEquals("phase", records.get(1).path("type").asText());
            assertEquals("[32]", records.get(1).path("sizes").toString());
            assertEquals("none", records.get(1).path("recomputation").asText());
            assertEquals("summary", records.get(records.size() - 1).path("type").asText());
            assertTrue(Files.readString(out.resolve(schedule).resolve("config.yaml"))
                    .contains("schedule: " + schedule));
        }
        for (String figure : List.of("schedules", "training-loss", "test-accuracy", "batch-cost")) {
            assertTrue(Files.exists(out.resolve(figure + ".svg")), figure);
        }
        String report = Files.readString(out.resolve("report.html"));
        assertTrue(report.contains("<svg") && report.contains("Results") && report.contains("noise scale"), "parts");
        // Self-contained: nothing is fetched. Names of XML namespaces are no addresses.
        String fetched = report.replaceAll("xmlns(:\\w+)?=\"[^\"]*\"", "");
        assertFalse(
                Pattern.compile("(src|href)=|@import|url\\((?!#)|<script|<link")
                        .matcher(fetched)
                        .find(),
                "fetches");
        assertEquals(UserError.USAGE, Run.of("compare", "--out", out.toString()).status(), "no silent overwriting");
        assertEquals(
                0,
                Run.of("plot", out.toString(), "--out", folder.resolve("again").toString())
                        .status());
        assertEquals(
                Files.readString(out.resolve("training-loss.svg")),
                Files.readString(folder.resolve("again/training-loss.svg")));
    }

    @Test
    void whatIsUnwiseAboutAPlanIsSaidWhereItIsPaidFor() throws IOException {
        Path config = Files.writeString(folder.resolve("coarse.yaml"), "quantum: 1000\n");
        List<String> common = List.of(
                "--preset",
                "fashion-mini-quick",
                "--config",
                config.toString(),
                "--device",
                device(),
                "--epochs",
                "0.02");
        String never = "the batch never grows, because no multiple of the quantum 1000 lies above";
        for (String command : List.of("train", "compare")) {
            List<String> arguments = new ArrayList<>(
                    List.of(command, "--out", folder.resolve(command).toString()));
            arguments.addAll(common);
            if (command.equals("train")) {
                arguments.addAll(List.of("--schedule", "increasing"));
            }
            Run run = Run.of(arguments.toArray(String[]::new));
            assertEquals(0, run.status(), run.err());
            String label = command.equals("train") ? "note: " : "note, hybrid and increasing: ";
            assertTrue(run.out().contains(label + never), run.out());
            String report = Files.readString(folder.resolve(command).resolve("report.html"));
            assertTrue(report.contains("note: " + never), command);
        }
    }

    @Test
    void theGradientNoiseScaleIsRecordedWhereItIsAskedFor() throws IOException {
        Path out = folder.resolve("noise");
        Run run = Run.of(
                "train",
                "--device",
                device(),
                "--epochs",
                "0.1",
                "--measure-gradient-noise",
                "2",
                "--out",
                out.toString());
        assertEquals(0, run.status(), run.err());
        assertTrue(run.out().contains("gradient noise scale"), run.out());
        assertTrue(Files.readString(out.resolve("config.yaml")).contains("measureGradientNoise: 2"), "configuration");
        List<JsonNode> measured = records(out.resolve("metrics.jsonl")).stream()
                .filter(line -> line.path("type").asText().equals("gradientNoise"))
                .toList();
        assertFalse(measured.isEmpty(), "no batch larger than a ghost batch was measured");
        for (JsonNode line : measured) {
            assertEquals(1, line.path("update").asLong() % 2, line.toString());
            assertTrue(line.path("microBatches").asInt() >= 2, line.toString());
            assertTrue(line.path("meanVariance").asDouble() > 0, line.toString());
        }
        assertTrue(Files.readString(out.resolve("report.html")).contains("gradient noise scale"), "report");
    }

    /** Red and blue JPEGs, which even the first few updates of a large network learn to tell apart. */
    @Test
    void resNet50TrainsOnAFolderOfJpegs() throws IOException {
        for (String part : List.of("train", "val")) {
            for (String label : List.of("blue", "red")) {
                for (int image = 0; image < (part.equals("train") ? 12 : 2); image++) {
                    writeJpeg(folder.resolve(part).resolve(label), image, label.equals("red"));
                }
            }
        }
        Path config = folder.resolve("my.yaml");
        Files.writeString(config, """
                name: red-or-blue
                dataset: image-folder:32
                model: resnet-50
                epochs: 2
                batch: 8
                ghostBatch: 8
                learningRate: {schedule: staircase, initial: 0.01, factor: 0.5, epochs: [1]}
                schedule: increasing
                batchCap: 12
                quantum: 4
                augmentation: {flip: true, pad: 0}
                """);
        Path out = folder.resolve("jpegs");
        Run run = Run.of(
                "train",
                "--config",
                config.toString(),
                "--data",
                folder.toString(),
                "--device",
                device(),
                "--checkpoint-every",
                "never", // 200 MB that this test does not look at
                "--out",
                out.toString());
        assertEquals(0, run.status(), run.err());
        List<JsonNode> updates = records(out.resolve("metrics.jsonl")).stream()
                .filter(line -> line.path("type").asText().equals("update"))
                .toList();
        assertFalse(updates.isEmpty(), run.out());
        JsonNode last = updates.get(updates.size() - 1);
        assertTrue(last.path("loss").asDouble() < updates.get(0).path("loss").asDouble(), updates.toString());
    }

    private static void writeJpeg(Path directory, int number, boolean red) throws IOException {
        BufferedImage image = new BufferedImage(40, 36, BufferedImage.TYPE_INT_RGB);
        Random random = new Random(number);
        for (int x = 0; x < image.getWidth(); x++) {
            for (int y = 0; y < image.getHeight(); y++) {
                int shade = random.nextInt(64);
                image.setRGB(x, y, (red ? 0xC00000 : 0x0000C0) + shade * 0x010101);
            }
        }
        ImageIO.write(
                image,
                "jpeg",
                Files.createDirectories(directory).resolve(number + ".jpg").toFile());
    }

    @Test
    void oneSeedGivesOneMetricsFileTimingsAside() throws IOException {
        List<JsonNode> first = train("a", "5");
        assertEquals(first, train("b", "5"));
        assertFalse(first.equals(train("c", "6")), "another seed must differ, or the test sees nothing");
    }

    @Test
    void aResumedRunLeavesTheMetricsOfAnUninterruptedOne() throws IOException {
        List<JsonNode> whole = train("whole", "5", "--checkpoint-every", "0.01");
        Path out = folder.resolve("whole");
        List<Path> checkpoints = CheckpointFolder.of(out).files();
        assertEquals(2, checkpoints.size());
        // As after a failure: the last checkpoint is cut off and the metrics end within a line.
        byte[] newest = Files.readAllBytes(checkpoints.get(1));
        Files.write(checkpoints.get(1), Arrays.copyOf(newest, newest.length / 2));
        String metrics = Files.readString(out.resolve("metrics.jsonl"));
        Files.writeString(out.resolve("metrics.jsonl"), metrics.substring(0, metrics.length() - 30));
        Run damaged = Run.of("train", "--resume", out.toString(), "--device", device(), "--threads", "2");
        assertEquals(1, damaged.status());
        assertTrue(
                damaged.err().contains(checkpoints.get(1) + ": ")
                        && damaged.err().contains("--resume " + checkpoints.get(0)),
                damaged.err());
        Run resumed =
                Run.of("train", "--resume", checkpoints.get(0).toString(), "--device", device(), "--threads", "2");
        assertEquals(0, resumed.status(), resumed.err());
        List<JsonNode> records = records(out.resolve("metrics.jsonl"));
        records.removeIf(record -> record.path("type").asText().equals("resumed"));
        records.forEach(record -> ((ObjectNode) record).remove("timing"));
        assertEquals(whole, records);
        Run decided = Run.of("train", "--resume", out.toString(), "--epochs", "3");
        assertEquals(UserError.USAGE, decided.status());
        assertTrue(decided.err().contains("leave out --epochs"), decided.err());
    }

    /** One run of the comparison, which has left nothing, is still to come. */
    @Test
    void whatARunWasAskedForHoldsWhenItGoesOn() throws IOException {
        Path out = folder.resolve("budget");
        String[] asked = {"--device", device(), "--threads", "1", "--memory-budget", "1GiB"};
        List<String> compare = new ArrayList<>(List.of("compare", "--epochs", "0.02", "--out"));
        compare.add(out.toString());
        compare.addAll(List.of(asked));
        Run whole = Run.of(compare.toArray(String[]::new));
        assertEquals(0, whole.status(), whole.err());
        assertTrue(whole.out().contains("device " + device() + ", 1 thread, memory budget 1024.0 MiB"), whole.out());
        assertTrue(Files.readString(out.resolve("report.html")).contains("memory budget 1024.0 MiB"), "report");
        Path last = out.resolve("increasing");
        JsonNode before = options(last);
        assertEquals(1L << 30, before.path("memoryBudgetBytes").asLong(), before.toString());
        try (Stream<Path> files = Files.list(last)) {
            for (Path file : files.toList()) {
                Files.delete(file);
            }
        }
        Run resumed = Run.of("compare", "--resume", out.toString());
        assertEquals(0, resumed.status(), resumed.err());
        assertTrue(
                resumed.out().contains("device " + device() + ", 1 thread, memory budget 1024.0 MiB"), resumed.out());
        assertEquals(before, options(last));
        // What is given replaces what was recorded, and is said to end the promise of equal bits.
        Path checkpoint = CheckpointFolder.of(last).files().get(0);
        String single = checkpoint.toString();
        Run same = Run.of("train", "--resume", single);
        assertTrue(same.status() == 0 && !same.out().contains("up to rounding only"), same.out() + same.err());
        Run other = Run.of("train", "--resume", single, "--memory-budget", "2GiB");
        assertTrue(other.out().contains("1 thread, memory budget 2048.0 MiB"), other.out() + other.err());
        assertTrue(other.out().contains("memory budget 2048.0 MiB: equal to an uninterrupted run up to"), other.out());
        assertTrue(Run.of("train", "--resume", single).out().contains("1 thread, memory budget 2048.0 MiB"), "latest");
    }

    private static JsonNode options(Path run) throws IOException {
        return records(run.resolve("metrics.jsonl")).get(0).path("options");
    }

    private List<JsonNode> train(String name, String seed, String... more) throws IOException {
        Path out = folder.resolve(name);
        List<String> arguments = new ArrayList<>(
                List.of("train", "--device", device(), "--epochs", "0.03", "--seed", seed, "--threads", "2", "--out"));
        arguments.add(out.toString());
        arguments.addAll(List.of(more));
        Run run = Run.of(arguments.toArray(String[]::new));
        assertEquals(0, run.status(), run.err());
        List<JsonNode> records = records(out.resolve("metrics.jsonl"));
        records.forEach(record -> ((ObjectNode) record).remove("timing"));
        return records;
    }

    @Test
    void interruptionLeavesFilesWholeAndATable() throws IOException, InterruptedException {
        Path out = folder.resolve("run");
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Djava.io.tmpdir=" + System.getProperty("java.io.tmpdir"),
                        "-cp",
                        System.getProperty("java.class.path"),
                        "io.crescendo.cli.Main",
                        "compare",
                        "--device",
                        device(),
                        "--out",
                        out.toString())
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("log.txt").toFile())
                .start();
        try {
            Path metrics = out.resolve("decaying/metrics.jsonl");
            while (process.isAlive()
                    && (!Files.exists(metrics) || Files.readAllLines(metrics).size() < 6)) {
                Thread.sleep(50);
            }
            process.destroy(); // the signal TERM; the shell's Ctrl-C takes the same way through the JVM
            assertTrue(process.waitFor(60, TimeUnit.SECONDS), "did not end");
            String log = Files.readString(folder.resolve("log.txt"));
            assertTrue(log.contains("interrupted"), log);
            assertEquals(128 + 15, process.exitValue(), log);
            List<JsonNode> records = records(metrics);
            JsonNode last = records.get(records.size() - 1);
            assertEquals("summary", last.path("type").asText());
            assertTrue(last.path("interrupted").asBoolean());
            assertEquals(2, Files.readAllLines(out.resolve("summary.csv")).size());
            try (Stream<Path> files = Files.list(out.resolve("decaying"))) {
                assertTrue(files.anyMatch(file -> CheckpointFolder.updates(file) > 0), "a checkpoint is left");
            }
            assertEquals(0, Run.of("plot", out.toString()).status());
        } finally {
            process.destroyForcibly();
        }
    }

    @Test
    void aScheduleThatDivergesDoesNotEndTheOthers() throws IOException {
        Path config = Files.writeString(
                folder.resolve("wild.yaml"), "learningRate: {schedule: exponential, initial: 1.0e30, factor: 0.5}\n");
        Path out = folder.resolve("wild");
        Run run = Run.of(
                "compare",
                "--device",
                device(),
                "--epochs",
                "0.1",
                "--config",
                config.toString(),
                "--preset",
                "fashion-mini-quick",
                "--out",
                out.toString());
        assertEquals(UserError.FAILURE, run.status(), run.err());
        for (String schedule : List.of("decaying", "hybrid", "increasing")) {
            assertTrue(run.out().contains(schedule + ": the loss became"), run.out());
        }
        assertTrue(Files.exists(out.resolve("report.html")));
    }

    @Test
    void aBudgetTooSmallIsExplained() {
        Run run = withBudget("1KiB", "small");
        assertEquals(UserError.USAGE, run.status(), run.err());
        assertTrue(run.err().contains("--memory-budget: the memory budget of 1024 bytes"), run.err());
        assertFalse(run.err().contains("\tat ") || run.err().contains("internal error"), run.err());
        assertFalse(Files.exists(folder.resolve("small")), "nothing that would be in the way of the next try");
        Matcher needed = Pattern.compile("needs (\\d+) bytes \\((\\S+MiB)\\)").matcher(run.err());
        assertTrue(needed.find(), run.err());
        // What it asks for is enough, whichever of the two is given back.
        for (String budget : List.of(needed.group(1), needed.group(2))) {
            Run enough = withBudget(budget, budget);
            assertEquals(0, enough.status(), enough.err());
        }
    }

    private Run withBudget(String budget, String name) {
        return Run.of(
                "train",
                "--device",
                device(),
                "--epochs",
                "0.05",
                "--memory-budget",
                budget,
                "--out",
                folder.resolve(name).toString());
    }

    /** The fast backend where it runs; the slow one gives the same evidence. */
    private static String device() {
        return Backends.providers().stream()
                        .anyMatch(provider -> provider.name().equals("cpu")
                                && provider.availability().available())
                ? "cpu"
                : "reference";
    }

    private static List<JsonNode> records(Path file) throws IOException {
        List<JsonNode> records = new ArrayList<>();
        for (String line : Files.readAllLines(file)) {
            records.add(new ObjectMapper().readTree(line));
        }
        return records;
    }
}
