package io.crescendo.cli.config;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.cli.UserError;
import io.crescendo.schedule.PlanVariant;
import io.crescendo.schedule.Progress;
import java.io.IOException;
import java.lang.reflect.RecordComponent;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ConfigSourceTest {
    @TempDir
    Path folder;

    @Test
    void optionsGoBeforeTheFileAndTheFileBeforeThePreset() throws IOException {
        Path file = folder.resolve("mine.yaml");
        Files.writeString(file, "momentum: 0.5\nseed: 3\nweightDecay: 1e-4\n");
        RunConfig config =
                ConfigSource.of("fashion-mini-quick", file).with("seed", 4L).load();
        assertEquals(0.5, config.momentum());
        assertEquals(4, config.seed());
        assertEquals(1e-4, config.weightDecay());
        assertEquals("fashion-cnn", config.model());
    }

    @Test
    void aFileAloneIsNamedAfterItself() throws IOException {
        Path file = folder.resolve("mine.yaml");
        Files.writeString(
                file,
                "dataset: fashion-mini\nepochs: 2\nbatch: 16\nlearningRate: {schedule: constant, initial: 0.01}\n");
        assertEquals("mine", ConfigSource.of(null, file).load().name());
    }

    @Test
    void smoothSchedulesWarmUpAndQuantumReachThePlan() throws IOException {
        Path file = folder.resolve("mine.yaml");
        Files.writeString(file, """
                dataset: fashion-mini
                trainingSamples: 8000
                epochs: 10
                batch: 32
                batchCap: 320
                quantum: 64
                learningRate: {schedule: cosine, initial: 0.1, last: 0.001, warmUp: {epochs: 1, initial: 0.01}}
                """);
        RunConfig config = ConfigSource.of(null, file).load();
        for (long batch : config.plan(PlanVariant.INCREASING, 8000).distinctBatches()) {
            assertEquals(0, batch == 32 ? 0 : batch % 64, "batch " + batch);
        }
        assertNotEquals(
                config.plan(PlanVariant.DECAYING, 8000).updates(),
                config.plan(PlanVariant.INCREASING, 8000).updates());
    }

    @Test
    void anExponentialKeepsItsShapeInAShorterRun() throws IOException {
        Path file = folder.resolve("mine.yaml");
        Files.writeString(file, """
                dataset: fashion-mini
                epochs: 12
                batch: 16
                learningRate: {schedule: exponential, initial: 0.1, factor: 0.5}
                """);
        RunConfig whole = ConfigSource.of(null, file).load();
        RunConfig third = ConfigSource.of(null, file).with("epochs", 4.0).load();
        double end = whole.learningRate().toSchedule(12).at(Progress.atEpoch(12, 8000));
        // One root and one power: a few roundings of doubles.
        assertEquals(end, third.learningRate().toSchedule(4).at(Progress.atEpoch(4, 8000)), 1e-12 * end);
    }

    @Test
    void aFileThatDoesNotSayHowLongIsToldSo() throws IOException {
        Path file = folder.resolve("mine.yaml");
        Files.writeString(file, "dataset: fashion-mini\nbatch: 16\nlearningRate: {schedule: constant, initial: 1}\n");
        UserError error = assertThrows(UserError.class, ConfigSource.of(null, file)::load);
        assertTrue(String.valueOf(error.getMessage()).contains("epochs is missing"), error::getMessage);
    }

    @Test
    void everyKeyIsExplainedWithItsDefault() {
        for (Class<?> type : List.of(RunConfig.class, LearningRateConfig.class)) {
            for (RecordComponent component : type.getRecordComponents()) {
                String line = "# {1,3}(\\w+, )*" + component.getName() + "\\b.*";
                assertTrue(Yaml.keys().lines().anyMatch(each -> each.matches(line)), component::getName);
            }
        }
        RunConfig plain = ConfigSource.of("fashion-mini-quick", null).load();
        assertTrue(Yaml.keys().contains("(" + plain.momentum() + ")"), "momentum");
        assertTrue(Yaml.keys().contains("(" + plain.optimizer() + ")"), "optimizer");
        assertTrue(Yaml.keys().contains("(" + plain.decay() + ")"), "decay");
        assertTrue(Yaml.keys().contains("(" + plain.ragged() + ")"), "ragged");
    }

    @Test
    void suggestsOnlyWhatIsNear() {
        List<String> known = List.of("epochs", "batch");
        assertEquals("; did you mean 'epochs'?", Suggestion.didYouMean("epocs", known));
        assertEquals(".", Suggestion.didYouMean("somethingElse", known));
        List<String> options = List.of("--seed", "--schedule", "--memory", "--memory-budget");
        assertEquals("; did you mean '--schedule'?", Suggestion.didYouMean("--sched", options));
        assertEquals("; did you mean '--seed'?", Suggestion.didYouMean("--sed", options));
        assertEquals(".", Suggestion.didYouMean("--mem", options));
    }

    @Test
    void aWarmUpRisesAndEnds() throws IOException {
        for (String warmUp : List.of("{epochs: 1, initial: 0.2}", "{epochs: 4, initial: 0.01}")) {
            Path file = folder.resolve("mine.yaml");
            Files.writeString(
                    file,
                    "dataset: fashion-mini\nepochs: 4\nbatch: 16\nlearningRate: {schedule: constant, initial: 0.1, warmUp: "
                            + warmUp + "}\n");
            UserError error = assertThrows(UserError.class, ConfigSource.of(null, file)::load);
            String expected =
                    warmUp.contains("0.2") ? "warmUp.initial is 0.2, above" : "warmUp.epochs is 4.0, but the run";
            assertTrue(String.valueOf(error.getMessage()).contains(expected), error::getMessage);
        }
    }
}
