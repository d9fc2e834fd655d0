package io.crescendo.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.JavaCompiler;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The Java program in the README compiles, runs and trains; the types of lines that it lists are all there are. */
class ReadmeExampleTest {
    private static final int MOST_LINES = 30;

    @Test
    void theReadmesProgramTrainsANetwork(@TempDir Path directory) throws Exception {
        String readme = Files.readString(Path.of("..", "README.md"));
        Matcher block = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(readme);
        assertTrue(block.find(), "the README should hold a Java program");
        String program = block.group(1);
        assertTrue(program.lines().count() <= MOST_LINES, "the program should have at most 30 lines");
        Path source = Files.writeString(directory.resolve("Example.java"), program);

        JavaCompiler compiler = Objects.requireNonNull(ToolProvider.getSystemJavaCompiler(), "tests need a JDK");
        ByteArrayOutputStream errors = new ByteArrayOutputStream();
        int status = compiler.run(
                null,
                null,
                errors,
                "-cp",
                System.getProperty("java.class.path"),
                "-d",
                directory.toString(),
                source.toString());
        assertEquals(0, status, errors.toString(StandardCharsets.UTF_8));

        String printed = run(directory);
        // 250 updates of 32, 50 of 160 and 10 of 800 samples.
        assertTrue(printed.contains("updates=310"), printed);
        Matcher accuracy = Pattern.compile("testAccuracy=([0-9.]+)").matcher(printed);
        assertTrue(accuracy.find(), printed);
        // Guessing gives 0.1; a network that has learned anything in three epochs is far above one half.
        assertTrue(Double.parseDouble(accuracy.group(1)) > 0.7, printed);
    }

    @Test
    void theReadmeListsEveryTypeOfLineThatARunWrites() throws IOException {
        String readme = Files.readString(Path.of("..", "README.md"));
        String writer = Files.readString(Path.of("..", "src/main/java/io/crescendo/cli/run/MetricsFile.java"));
        int list = readme.indexOf("`metrics.jsonl` has one JSON object per line");
        String paragraph = readme.substring(list, readme.indexOf("\n\n", list));
        List<String> types = Pattern.compile("line\\(\"(\\w+)\"\\)")
                .matcher(writer)
                .results()
                .map(match -> match.group(1))
                .toList();
        assertEquals(8, types.size(), types::toString);
        for (String type : types) {
            assertTrue(paragraph.contains("`" + type + "`"), type);
        }
    }

    private static String run(Path classes) throws Exception {
        PrintStream console = System.out;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        try (URLClassLoader loader =
                new URLClassLoader(new URL[] {classes.toUri().toURL()})) {
            System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
            loader.loadClass("Example").getMethod("main", String[].class).invoke(null, (Object) new String[0]);
        } finally {
            System.setOut(console);
        }
        return printed.toString(StandardCharsets.UTF_8);
    }
}
