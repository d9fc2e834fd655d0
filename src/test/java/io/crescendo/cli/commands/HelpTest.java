package io.crescendo.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.cli.Run;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class HelpTest {
    @ParameterizedTest
    @ValueSource(strings = {"compare", "train", "plan", "plot", "profile", "info", "fetch-cuda", "completion"})
    void everyCommandShowsExamples(String command) {
        Run run = Run.of(command, "--help");
        assertEquals(0, run.status());
        assertTrue(run.out().contains("Example") && run.out().contains("crescendo " + command), run.out());
    }

    @Test
    void infoNamesDevicesDataAndPresets() {
        Run run = Run.of("info");
        assertEquals(0, run.status(), run.err());
        for (String text : new String[] {
            "reference", "fashion-mini", "8,000 training", "cifar10-figure1", "processors", "cuda libraries", "cuDNN"
        }) {
            assertTrue(run.out().contains(text), () -> text + " in " + run.out());
        }
    }

    @Test
    void completionKnowsPresetsAndSchedules() {
        String script = Run.of("completion").out();
        assertTrue(script.contains("cifar10-figure1") && script.contains("increasing"), script);
    }

    @Test
    void versionIsFilledIn() {
        assertTrue(
                Run.of("--version").out().matches("crescendo \\d+\\.\\d+.*\\R"),
                Run.of("--version").out());
    }
}
