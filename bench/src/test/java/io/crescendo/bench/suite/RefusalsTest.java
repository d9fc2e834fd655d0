package io.crescendo.bench.suite;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.cli.UserError;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the suite is asked wrongly ends at once, in one line that says what helps. */
class RefusalsTest {
    @TempDir
    Path folder;

    /** Command line, then words of the answer. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "--part norms -> unknown part 'norms'; known are step",
                "--minutes x -> --minutes x: expected a number above 0",
                "--minutes 0 -> --minutes 0: expected a number above 0",
                "--minutes 10000 -> --minutes 10000: | below 10,000",
                "--minutes -> option '--minutes' has no value",
                "--fast yes -> unknown option '--fast'; known are --out",
                "--records nowhere -> --records nowhere: there is no such folder",
                "--param batch -> --param batch: expected NAME=VALUE",
                "--part step --param batchs=32 -> --param batchs | known are | batch",
                "--part step --param network=fashion -> --param network=fashion: | fashion-cnn",
                "--param network=fashion-cnn,batch=32 -> write --param network=fashion-cnn --param batch=32",
                "--param batch=32 --param batch=64 -> --param batch=64: batch is given twice",
                "--part norm --param batch=x -> --param batch=x: expected a whole number from 1",
                "--part norm --param batch=8,0 -> --param batch=0: expected a whole number from 1",
                "--part norm --param threads=-1 -> --param threads=-1: expected a whole number from 0",
                "--part update --param megabytes=1,many -> --param megabytes=many: expected a number above 0",
                "--part update --param optimizer=mom -> --param optimizer=mom: | known are sgd, momentum",
                "--part update --param network=fashion -> --param network=fashion: | known are fashion-cnn",
                "--part data --param augment=maybe -> --param augment=maybe: known are true, false",
                "--part norm --param device=nope -> --param device=nope | known are auto",
                "--part norm --param precision=fp32,fp33 -> --param precision=fp33: | known are fp32, tf32, bf16",
                "--part sweep --param network=fashion -> --param network=fashion: | known are fashion-cnn",
                "--part sweep --param threads=x -> --param threads=x: expected a whole number from 0",
                "--part sweep --param largest=1 -> --param largest=1: expected a whole number from 2",
                "--part sweep --param ghostBatch=8,16 -> --param ghostBatch=8,16: the sweep takes one value",
            })
    void aWrongOption(String example) throws IOException {
        String[] sides = example.split(" -> ", 2);
        Path out = folder.resolve("out");
        assertRefused("--out " + out + " " + sides[0], sides[1]);
        assertFalse(Files.exists(out), "nothing is written");
    }

    @Test
    void aFolderThatCannotBeWritten() throws IOException {
        assertRefused("--minutes 1", "--out is missing");
        Path file = Files.writeString(folder.resolve("file"), "x");
        assertRefused(
                "--out " + file.resolve("out"), "--out " + file.resolve("out") + ": cannot be written | is a file");
        assertRefused("--out " + file, "--out " + file + ": cannot be written | is a file");
    }

    @Test
    void aFolderThatHoldsAnything() throws IOException {
        Path notes = Files.writeString(folder.resolve("notes.txt"), "mine");
        assertRefused("--out " + folder, "--out " + folder + ": is not empty | --force");
        assertEquals(List.of(notes), all(folder));
    }

    @Test
    void forceTakesTheOldRunAwayAndNothingElse() throws IOException {
        Path raw = Files.createDirectories(folder.resolve("raw"));
        Path figures = Files.createDirectories(folder.resolve("figures"));
        for (String old : List.of("README.md", "config.json", "raw/suite.json", "raw/machine.json", "figures/a.svg")) {
            Files.writeString(folder.resolve(old), "old");
        }
        Path console = Files.writeString(raw.resolve("console.txt"), "mine");
        assertThrows(UserError.class, () -> OutFolder.prepare(folder, false));
        assertEquals(5 + 1 + 2, all(folder).size());
        OutFolder.prepare(folder, SuiteOptions.parse("--force", "--out", "x").force());
        assertEquals(Set.of(raw, figures, console), Set.copyOf(all(folder)));
    }

    @Test
    void aNewFolderIsMadeAndAnEmptyOneTaken() throws IOException {
        OutFolder.prepare(folder, false);
        OutFolder.prepare(folder.resolve("raw/deeper"), false);
        assertTrue(Files.isDirectory(folder.resolve("raw/deeper/figures")));
    }

    @Test
    void whatBenchmarksHaveIsTaken() {
        assertEquals(
                List.of(Part.NORM, Part.DATA),
                SuiteOptions.parse("--part", "norm,data", "--out", "x").parts());
        Map<String, List<String>> right = Map.of(
                "batch", List.of("77"),
                "network", List.of("fashion-cnn"),
                "threads", List.of("0", "3"),
                "megabytes", List.of("0.25", "7"),
                "optimizer", List.of("lamb"));
        JmhRuns runs = new JmhRuns(System.err);
        runs.add(Part.STEP, right);
        runs.add(Part.UPDATE, right);
        runs.requireUsed(right, Set.of());
        assertTrue(runs.size() > 0);
    }

    private static void assertRefused(String commandLine, String answer) throws IOException {
        ByteArrayOutputStream errors = new ByteArrayOutputStream();
        int status = Suite.run(new PrintStream(errors, true, UTF_8), commandLine.split(" ", -1));
        String said = errors.toString(UTF_8);
        assertEquals(1, said.lines().count(), said);
        Arrays.stream(answer.split(" \\| ", -1)).forEach(words -> assertTrue(said.contains(words), said));
        assertEquals(UserError.USAGE, status);
    }

    private static List<Path> all(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            return files.filter(path -> !path.equals(folder)).toList();
        }
    }
}
