package io.crescendo.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.cli.Run;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class HelpTest {
    @TempDir
    Path folder = Path.of("");

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

    /** Asked of a bash that has read the script, as the key does it. */
    @ParameterizedTest
    @CsvSource({
        "plan --preset, cifar10-figure1",
        "train --schedule, decaying hybrid increasing",
        "plan --schedule, decaying hybrid increasing",
        "compare --device, auto cpu cuda reference",
        "plan --ragged, drop keep",
        "train --precision, fp32 tf32 bf16"
    })
    void completionOffersWhatTheOptionTakes(String words, String expected) throws Exception {
        Path bash = Path.of("/bin/bash");
        Assumptions.assumeTrue(Files.isExecutable(bash), "there is no bash here");
        Path script = Files.writeString(
                folder.resolve("completion.sh"), Run.of("completion").out());
        String ask = "source " + script + "; COMP_WORDS=(crescendo " + words + " ''); COMP_CWORD=3;"
                + " _complete_crescendo; echo ${COMPREPLY[*]}";
        Process process = new ProcessBuilder(bash.toString(), "-c", ask).start();
        List<String> offered = List.of(new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8)
                .strip()
                .split("\\s+"));
        assertEquals(0, process.waitFor());
        assertTrue(offered.containsAll(List.of(expected.split(" "))), () -> expected + " in " + offered);
        assertTrue(
                words.contains("--preset") || offered.size() == expected.split(" ").length,
                () -> expected + " and nothing else in " + offered);
    }

    @Test
    void versionIsFilledIn() {
        assertTrue(
                Run.of("--version").out().matches("crescendo \\d+\\.\\d+.*\\R"),
                Run.of("--version").out());
    }
}
