package io.crescendo.bench.gpu;

import static java.util.concurrent.TimeUnit.MINUTES;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.crescendo.train.CheckpointFolder;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Commands on stand-ins of NVIDIA's libraries, which fail when they are told to. */
class CommandLineOnCudaTest {
    private static final Path STAND_INS = Path.of("..", "kernels", "target", "cuda-stand-ins");
    private static final String NOTHING = "run: 0 0";
    private static final int UPDATES = 12;

    @TempDir
    Path folder;

    private Path config = Path.of("");

    private record Ended(int status, String said) {}

    /** 16 images to train on, as small as they can be: the stand-ins compute everything in plain loops. */
    @BeforeEach
    void writeImagesAndConfiguration() throws IOException {
        Random random = new Random(1);
        for (String place : List.of("train/a", "train/b", "val/a", "val/b")) {
            Path images = Files.createDirectories(folder.resolve("data").resolve(place));
            for (int i = 0; i < (place.startsWith("train") ? 8 : 2); i++) {
                BufferedImage image = new BufferedImage(8, 8, BufferedImage.TYPE_INT_RGB);
                for (int pixel = 0; pixel < 64; pixel++) {
                    image.setRGB(pixel % 8, pixel / 8, random.nextInt());
                }
                ImageIO.write(image, "png", images.resolve(i + ".png").toFile());
            }
        }
        config = Files.writeString(folder.resolve("config.yaml"), """
                name: tiny
                dataset: image-folder:8
                model: fashion-cnn
                epochs: 4
                batch: 4
                batchCap: 16
                ghostBatch: 4
                learningRate: {schedule: staircase, initial: 0.03, factor: 0.5, fractions: [0.5]}
                momentum: 0.9
                schedule: increasing
                ragged: drop
                evaluateEvery: 2.0
                """);
    }

    /** The libraries that were built or used last; skips the test where there are none. */
    private static Path standIns() throws IOException {
        Optional<Path> newest = Optional.empty();
        if (Files.isDirectory(STAND_INS)) {
            try (Stream<Path> folders = Files.list(STAND_INS)) {
                newest = folders.filter(f -> Files.exists(f.resolve("libcudnn.so.9")))
                        .max(Comparator.comparing(f -> f.toFile().lastModified()));
            }
        }
        Assumptions.assumeTrue(newest.isPresent(), "no stand-ins: the tests of kernels build them");
        return newest.orElseThrow().toAbsolutePath().normalize();
    }

    private Ended run(String order, String... arguments) throws IOException, InterruptedException {
        Path libraries = standIns();
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                "-Djava.awt.headless=true",
                FailingCommand.class.getName(),
                libraries.toString(),
                order));
        command.addAll(List.of(arguments));
        Path output = folder.resolve("output");
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile());
        builder.environment().put("LD_LIBRARY_PATH", libraries.toString());
        builder.environment().put("XDG_CACHE_HOME", folder.resolve("cache").toString());
        Process process = builder.start();
        boolean ended = process.waitFor(5, MINUTES);
        process.destroyForcibly();
        String said = Files.readString(output);
        assertTrue(ended, said);
        return new Ended(process.waitFor(), said);
    }

    private static List<JsonNode> lines(Path run) throws IOException {
        ObjectMapper mapper = new ObjectMapper();
        List<JsonNode> lines = new ArrayList<>();
        for (String line : Files.readAllLines(run.resolve("metrics.jsonl"))) {
            lines.add(mapper.readTree(line));
        }
        return lines;
    }

    private static List<Long> updates(Path run) throws IOException {
        return lines(run).stream()
                .filter(line -> line.path("type").asText().equals("update"))
                .map(line -> line.path("update").asLong())
                .toList();
    }

    @Test
    void aRunThatTheDeviceEndedIsWholeAndGoesOn() throws IOException, InterruptedException {
        Path run = folder.resolve("run");
        String data = folder.resolve("data").toString();
        Ended failed = run(
                "run:max_pool_bf16 11 719",
                "train",
                "--config",
                config.toString(),
                "--data",
                data,
                "--device",
                "cuda",
                "--no-graphs",
                "--precision",
                "bf16",
                "--checkpoint-every",
                "0.5",
                "--out",
                run.toString());
        assertEquals(1, failed.status, failed.said);
        assertTrue(failed.said.contains("crescendo: cannot run operation "), failed.said);
        assertTrue(failed.said.contains("CUDA_ERROR_LAUNCH_FAILED"), failed.said);
        assertTrue(
                failed.said.contains("'crescendo train --resume " + run + "' goes on from the last checkpoint"),
                failed.said);
        int before = updates(run).size();
        assertTrue(before > 1 && before < UPDATES, before + " updates");
        assertFalse(CheckpointFolder.of(run).files().isEmpty(), "a checkpoint");

        // What it computes with is the first run's.
        Ended resumed = run(NOTHING, "train", "--resume", run.toString(), "--data", data);
        assertEquals(0, resumed.status, resumed.said);
        assertEquals(LongStream.rangeClosed(1, UPDATES).boxed().toList(), updates(run));
        List<JsonNode> lines = lines(run);
        assertEquals("summary", lines.get(lines.size() - 1).path("type").asText());
        JsonNode options = lines.stream()
                .filter(line -> line.path("type").asText().equals("resumed"))
                .findFirst()
                .orElseThrow()
                .path("options");
        assertEquals("cuda", options.path("device").asText());
        assertEquals("bf16", options.path("precision").asText());
    }

    @Test
    void aProfileThatDoesNotFitIsToBeMadeSmallerItself() throws IOException, InterruptedException {
        Ended refused = run(
                "cuMemCreate 2 2", // the first is a trial whether memory can be mapped
                "profile",
                "--config",
                config.toString(),
                "--data",
                folder.resolve("data").toString(),
                "--device",
                "cuda",
                "--seconds",
                "0.1");
        assertEquals(1, refused.status, refused.said);
        assertTrue(refused.said.contains("largest values"), refused.said);
        assertTrue(refused.said.contains("with --batch"), refused.said);
        assertFalse(refused.said.contains("--memory-budget"), refused.said);
    }

    @Test
    void onAGpuThatIsTooOldAutoTakesTheProcessorAndSaysWhy() throws IOException, InterruptedException {
        Ended ended = run(
                "attribute 75 7",
                "train",
                "--config",
                config.toString(),
                "--data",
                folder.resolve("data").toString(),
                "--out",
                folder.resolve("run").toString());
        assertEquals(0, ended.status, ended.said);
        assertTrue(
                ended.said
                        .lines()
                        .anyMatch(line -> line.startsWith("not on cuda: ")
                                && line.contains("needs compute capability 8.0 (Ampere) or newer")),
                ended.said);
    }
}
