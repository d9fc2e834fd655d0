package io.crescendo.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.crescendo.backend.Backends;
import io.crescendo.cli.Run;
import io.crescendo.cli.UserError;
import io.crescendo.cli.config.Presets;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PlanCommandTest {
    /** Updates of the published tables, an epoch's partial batch dropped and kept. */
    @ParameterizedTest
    @CsvSource({
        "cifar10-figure1, decaying, 78000, 78200",
        "cifar10-figure1, hybrid, 34320, 34520",
        "cifar10-figure1, increasing, 28800, 29000",
        "cifar10-figure5-original, , 78000, 78200",
        "cifar10-figure5-increasing, , 29040, 29240",
        "cifar10-figure5-learning-rate, , 6300, 6500",
        "cifar10-figure5-momentum, , 2160, 2360",
        "imagenet-inception-decaying, , 14040, 14130",
        "imagenet-inception-increasing, , 5580, 5670",
        "imagenet-inception-momentum90, , 5820, 5910",
        "imagenet-inception-momentum95, , 3480, 3570",
        "imagenet-inception-momentum975, , 2310, 2400",
        "imagenet-resnet50-constant, , 14040, 14130",
        "imagenet-resnet50-increasing, , 9360, 9450",
        "imagenet-resnet50-large, , 7020, 7110"
    })
    void countsThePublishedUpdates(String preset, @Nullable String schedule, long drop, long keep) throws IOException {
        assertEquals(drop, json(preset, schedule, "drop").path("updates").asLong());
        assertEquals(keep, json(preset, schedule, "keep").path("updates").asLong());
    }

    private static JsonNode json(String preset, @Nullable String schedule, String ragged) throws IOException {
        List<String> arguments = new ArrayList<>(List.of("plan", "--preset", preset, "--ragged", ragged, "--json"));
        if (schedule != null) {
            arguments.addAll(List.of("--schedule", schedule));
        }
        Run run = Run.of(arguments.toArray(String[]::new));
        assertEquals(0, run.status(), run.err());
        return new ObjectMapper().readTree(run.out());
    }

    /** Plain SGD has no momentum: g = 0.03 · 8000 / 32. */
    @Test
    void noiseScaleOfPlainSgdKnowsNoMomentum(@TempDir Path folder) throws IOException {
        Path file = Files.writeString(folder.resolve("sgd.yaml"), "optimizer: sgd\nmomentum: 0.9\n");
        Run run = Run.of("plan", "--preset", "fashion-mini-quick", "--config", file.toString(), "--json");
        assertEquals(0, run.status(), run.err());
        JsonNode first = new ObjectMapper().readTree(run.out()).path("phases").path(0);
        assertEquals(0, first.path("momentum").asDouble());
        assertEquals(7.5, first.path("noiseScale").asDouble(), 1e-9);
    }

    @Test
    void jsonHasTheKeysThatScriptsRelyOn() throws IOException {
        JsonNode plan = json("cifar10-figure5-increasing", null, "drop");
        assertEquals(List.of("phases", "updates"), names(plan));
        long sum = 0;
        for (JsonNode phase : plan.path("phases")) {
            assertEquals(
                    List.of(
                            "firstEpoch",
                            "lastEpoch",
                            "batch",
                            "learningRate",
                            "momentum",
                            "noiseScale",
                            "updates",
                            "lastLearningRate",
                            "lastNoiseScale"),
                    names(phase));
            for (JsonNode value : phase) {
                assertTrue(value.isNumber(), phase.toString());
            }
            sum += phase.path("updates").asLong();
        }
        assertEquals(4, plan.path("phases").size());
        assertEquals(sum, plan.path("updates").asLong());
        assertEquals(5120, plan.path("phases").get(3).path("batch").asLong());
        // 0.1·(1/5)³ at 128 has the noise scale of 0.032 at 5120; only rounding may differ.
        assertEquals(0.032, plan.path("phases").get(3).path("learningRate").asDouble(), 1e-12);
    }

    /** A learning rate that falls smoothly is at its end nearly zero, and so is the noise scale that it carries. */
    @Test
    void jsonAndCsvTellWhatASmoothScheduleEndsWith(@TempDir Path folder) throws IOException {
        Path file =
                Files.writeString(folder.resolve("cosine.yaml"), "learningRate: {schedule: cosine, initial: 0.1}\n");
        String[] plan = {"plan", "--preset", "fashion-mini-quick", "--config", file.toString(), "--schedule", "decaying"
        };
        JsonNode phase = new ObjectMapper()
                .readTree(Run.of(with(plan, "--json")).out())
                .path("phases")
                .path(0);
        assertEquals(0.1, phase.path("learningRate").asDouble());
        assertEquals(250, phase.path("noiseScale").asDouble(), 1e-9);
        double end = phase.path("lastLearningRate").asDouble();
        assertTrue(end > 0 && end < 1e-6, phase.toString());
        // g = ε · 8000 / (32 · 0.1)
        assertEquals(2500 * end, phase.path("lastNoiseScale").asDouble(), 1e-9 * end);
        List<String> csv = Run.of(with(plan, "--csv")).out().lines().toList();
        for (String name : names(phase)) {
            int column = List.of(csv.get(0).split(",", -1)).indexOf(name);
            assertEquals(
                    phase.path(name).asDouble(), Double.parseDouble(csv.get(1).split(",", -1)[column]), name);
        }
    }

    private static String[] with(String[] arguments, String... more) {
        return Stream.of(arguments, more).flatMap(Stream::of).toArray(String[]::new);
    }

    private static List<String> names(JsonNode object) {
        List<String> names = new ArrayList<>();
        object.fieldNames().forEachRemaining(names::add);
        return names;
    }

    @Test
    void csvHasOneLinePerPhaseAfterItsHeader() {
        List<String> lines = Run.of("plan", "--preset", "cifar10-figure1", "--csv")
                .out()
                .lines()
                .toList();
        assertEquals(5, lines.size());
        assertTrue(
                lines.get(0).startsWith("firstEpoch,lastEpoch,batch,learningRate,momentum,noiseScale,updates"),
                lines.get(0));
        assertEquals(lines.get(0).split(",").length, lines.get(4).split(",").length);
    }

    @Test
    void textShowsAllThreeSchedules() {
        String out = Run.of("plan").out();
        assertTrue(out.startsWith("fashion-mini-quick"), out);
        for (String text :
                List.of("\ndecaying\n", "\nhybrid (", "\nincreasing (37.6 % of the updates)\n", "3750", "1410")) {
            assertTrue(out.contains(text), () -> text + " in " + out);
        }
    }

    @Test
    void everyPresetHasAPlanForEverySchedule() {
        for (String preset : Presets.names()) {
            Run run = Run.of("plan", "--preset", preset);
            assertEquals(0, run.status(), preset + ": " + run.err());
            assertTrue(run.out().contains("increasing"), preset);
        }
    }

    @Test
    void whatPresetsSayOfTheirUpdatesIsSo() throws IOException {
        int counted = 0;
        for (String preset : Presets.names()) {
            String yaml = Run.of("plan", "--preset", preset, "--yaml").out();
            Matcher matcher =
                    Pattern.compile("description: .*; ([\\d,]+) updates\\W*\n").matcher(yaml);
            if (matcher.find()) {
                String json = Run.of("plan", "--preset", preset, "--json").out();
                assertEquals(
                        Long.parseLong(matcher.group(1).replace(",", "")),
                        new ObjectMapper().readTree(json).path("updates").asLong(),
                        preset);
                counted++;
            }
        }
        assertEquals(4, counted, "presets that count their updates");
    }

    @Test
    void memoryIsForecastPerBatch() {
        Run run = Run.of("plan", "--schedule", "increasing", "--memory-budget", "1GiB");
        assertEquals(0, run.status(), run.err());
        assertEquals(
                4,
                run.out()
                        .lines()
                        .filter(line -> line.matches(".* (32|160|800)  \\S+ MiB"))
                        .count(),
                run.out());
        assertTrue(run.out().contains("no plan can take less than"), run.out());
        assertEquals(
                10,
                run.out()
                        .lines()
                        .filter(line -> line.matches(" *[\\d.]+ MiB  .*"))
                        .count(),
                run.out());
        assertTrue(run.out().contains("evaluation: "), run.out());
        Run share = Run.of("plan", "--schedule", "increasing", "--memory-budget", "0.1%");
        assertEquals(0, share.status(), share.err());
        Run tight = Run.of("plan", "--schedule", "increasing", "--memory-budget", "1KiB");
        assertEquals(UserError.USAGE, tight.status());
        assertTrue(tight.err().contains("--memory-budget: the memory budget of 1024"), tight.err());
    }

    /** The largest workspace is enough for what was planned, as it is printed. */
    @Test
    void printedSizesAreBudgets() {
        String[] plan = {"plan", "--schedule", "increasing", "--device", "reference", "--memory-budget"};
        String out = Run.of(with(plan, "100GiB")).out();
        Matcher largest = Pattern.compile("largest workspace: .*?, ([^;]+);").matcher(out);
        assertTrue(largest.find(), out);
        Run again = Run.of(with(plan, largest.group(1)));
        assertEquals(0, again.status(), again.err());
        assertEquals(out, again.out());
    }

    /** The processor's values are those of a few samples, whatever their shapes say. */
    @Test
    void theNumberOfSamplesInTheWorkspaceIsSaid(@TempDir Path folder) throws IOException {
        String file =
                Files.writeString(folder.resolve("large.yaml"), "batch: 800\n").toString();
        String[] plan = {
            "plan", "--preset", "fashion-mini-quick", "--config", file, "--schedule", "decaying", "--memory", "--device"
        };
        String cpu = Run.of(with(plan, "cpu")).out();
        Matcher samples = Pattern.compile("fullest at .*, computing (\\d+) of the 800 samples at a time")
                .matcher(cpu);
        assertTrue(samples.find() && Integer.parseInt(samples.group(1)) < 800, cpu);
        String reference = Run.of(with(plan, "reference")).out();
        assertTrue(reference.contains("fullest at ") && !reference.contains("at a time"), reference);
    }

    /** Whoever means to rent a GPU has none yet. */
    @Test
    void memoryOfAGpuIsForecastWithoutOne() {
        Assumptions.assumeFalse(available("cuda"), "a GPU is here");
        String[] plan = {"plan", "--preset", "cifar10-figure1", "--schedule", "increasing", "--device", "cuda"};
        Run bf16 = Run.of(with(plan, "--precision", "bf16", "--memory-budget", "2GiB"));
        assertEquals(0, bf16.status(), bf16.err());
        assertTrue(bf16.out().contains("memory on a forecast of a GPU with the measures of an H100, bf16"), bf16.out());
        assertTrue(bf16.out().contains("evaluation: "), bf16.out());
        double tf32 =
                firstPhase(Run.of(with(plan, "--precision", "tf32", "--memory")).out());
        double half = firstPhase(bf16.out()) / tf32;
        assertTrue(half > 0.5 && half < 0.52, half + " of tf32: all but masks and statistics are half as long");
        Run share = Run.of(with(plan, "--memory-budget", "80%"));
        assertEquals(UserError.USAGE, share.status());
        assertTrue(share.err().contains("state an amount, such as 8GiB"), share.err());
    }

    @Test
    void onlyAGpuHasAChoiceOfPrecision() {
        Run run = Run.of("plan", "--device", "reference", "--precision", "bf16", "--memory");
        assertEquals(UserError.USAGE, run.status());
        assertTrue(run.err().contains("--precision: the device 'reference' computes in fp32 only"), run.err());
    }

    private static double firstPhase(String out) {
        Matcher matcher = Pattern.compile("\\s128  ([\\d.]+) MiB").matcher(out);
        assertTrue(matcher.find(), out);
        return Double.parseDouble(matcher.group(1));
    }

    private static boolean available(String device) {
        return Backends.providers().stream()
                .anyMatch(provider -> provider.name().equals(device)
                        && provider.availability().available());
    }

    /** Nobody has ImageNet at hand while choosing a device, and its form is known without it. */
    @Test
    void memoryOfTheImageNetPresetsIsForecastWithoutImages() {
        for (String preset : List.of("imagenet-resnet50-large", "imagenet-inception-momentum975")) {
            Run run = Run.of("plan", "--preset", preset, "--schedule", "increasing", "--memory-budget", "16GiB");
            assertEquals(0, run.status(), run.err());
            assertEquals("", run.err());
            assertTrue(run.out().lines().anyMatch(line -> line.matches(".* \\d+ x \\d+ .* MiB.*")), run.out());
            assertTrue(run.out().contains("no plan can take less than"), run.out());
        }
    }

    @Test
    void aShorterRunKeepsItsShape() {
        String out = Run.of("plan", "--preset", "cifar10-figure1", "--epochs", "20", "--schedule", "increasing")
                .out();
        assertTrue(out.contains("6 - 12") && out.contains("16 - 20"), out);
    }

    @Test
    void yamlCanBeFedBack(@TempDir Path folder) throws IOException {
        for (String preset : Presets.names()) {
            Run yaml = Run.of("plan", "--preset", preset, "--yaml");
            Path file = folder.resolve(preset + ".yaml");
            Files.writeString(file, yaml.out());
            assertEquals(
                    yaml.out(),
                    Run.of("plan", "--config", file.toString(), "--yaml").out());
            assertEquals(
                    Run.of("plan", "--preset", preset).out(),
                    Run.of("plan", "--config", file.toString()).out());
        }
    }
}
