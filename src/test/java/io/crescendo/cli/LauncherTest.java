package io.crescendo.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The launcher script in a made-up checkout, with stand-ins for java and mvn that say how they were called. */
@DisabledOnOs(value = OS.WINDOWS, disabledReason = "the launcher is a bash script")
class LauncherTest {
    private static final List<String> TOOLS = List.of(
            "bash",
            "cat",
            "dirname",
            "find",
            "flock",
            "grep",
            "head",
            "mkdir",
            "mv",
            "readlink",
            "rm",
            "sed",
            "sleep",
            "tail");

    @TempDir
    Path folder;

    Path checkout;
    Path bin;

    private record Outcome(int status, String output) {}

    @BeforeEach
    void makeCheckout() throws IOException {
        checkout = Files.createDirectories(folder.resolve("a check out"));
        bin = Files.createDirectories(folder.resolve("bin"));
        Files.copy(Path.of("..", "crescendo"), checkout.resolve("crescendo"));
        Files.createDirectories(checkout.resolve("src/main/java"));
        Files.writeString(checkout.resolve("pom.xml"), "<project/>");
        Files.writeString(checkout.resolve("src/main/java/Some.java"), "class Some {}");
        for (String tool : TOOLS) {
            passOn(tool);
        }
        javaOfVersion("17.0.9");
        script("javac", "exit 0");
        mavenThat(
                "sleep 0.3; mkdir -p src/target/launcher/classes; printf '%s' \"$PWD/src\" >src/target/launcher/classpath.txt");
    }

    @Test
    void buildsOnceThenOnlyStartsJava() throws Exception {
        Outcome first = launch("plan", "--name", "two words");
        assertEquals(7, first.status(), first.output());
        assertContains(first.output(), "building (first use only)");
        Outcome second = launch("plan", "--name", "two words");
        Path root = checkout.toRealPath();
        assertEquals(
                new Outcome(
                        7,
                        "[--enable-native-access=ALL-UNNAMED]\n[-XX:+UseSerialGC]\n[-Xms24m]\n[-Xmx1g]\n[-Dkey=*]\n[-cp]\n["
                                + root
                                + "/src/target/launcher/classes:" + root + "/src]\n"
                                + "[io.crescendo.cli.Main]\n[plan]\n[--name]\n[two words]\n"),
                second);
        assertEquals(1, builds());
    }

    @Test
    void worksThroughSymbolicLinks() throws Exception {
        Files.createDirectories(folder.resolve("links"));
        Path first = Files.createSymbolicLink(folder.resolve("links/first"), Path.of("../a check out/crescendo"));
        Path second = Files.createSymbolicLink(folder.resolve("second"), first);
        Outcome outcome = launch(second, "info");
        assertContains(outcome.output(), "[info]");
        assertTrue(Files.exists(checkout.resolve("target/launcher/stamp")), outcome.output());
    }

    @Test
    void buildsAgainWhenASourceIsNewerOrGone() throws Exception {
        launch("info");
        Path source = checkout.resolve("src/main/java/Some.java");
        // Well past the stamp, whatever the resolution of the file system's clock.
        Files.setLastModifiedTime(source, FileTime.from(Instant.now().plusSeconds(5)));
        assertContains(launch("info").output(), "building (sources changed)");
        Files.delete(source);
        Files.setLastModifiedTime(
                source.getParent(), FileTime.from(Instant.now().plusSeconds(5)));
        assertContains(launch("info").output(), "building (sources changed)");
        assertEquals(3, builds());
    }

    @Test
    void buildsAgainWhenTheCheckoutMovedOrALibraryIsGone() throws Exception {
        launch("info");
        Path moved = folder.resolve("moved");
        Files.move(checkout, moved);
        checkout = moved;
        assertContains(launch("info").output(), "building (");
        Files.delete(checkout.resolve("src/target/launcher/classes"));
        assertContains(launch("info").output(), "building (");
    }

    @Test
    void twoLaunchesAtOnceBuildOnce() throws Exception {
        Process first = start(checkout.resolve("crescendo"), "info");
        Outcome second = launch("info");
        Outcome firstOutcome = finish(first);
        assertContains(firstOutcome.output(), "[info]");
        assertContains(second.output(), "[info]");
        assertEquals(1, builds(), () -> firstOutcome.output() + second.output());
    }

    @Test
    void aFailedBuildShowsItsErrorsAndIsTriedAgain() throws Exception {
        mavenThat("echo '[INFO] chatter'; echo '[ERROR] Some.java:1 broken'; exit 1");
        for (int attempt = 1; attempt <= 2; attempt++) {
            Outcome outcome = launch("info");
            assertEquals(1, outcome.status());
            assertContains(outcome.output(), "Some.java:1 broken");
            assertContains(outcome.output(), checkout.toRealPath() + "/target/launcher/build.log");
            assertTrue(!outcome.output().contains("chatter"), outcome.output());
            assertEquals(attempt, builds());
        }
    }

    @Test
    void namesWhatIsMissing() throws Exception {
        Files.delete(bin.resolve("mvn"));
        assertRefused("Maven was not found", "apt install maven");
        javaOfVersion("1.8.0_392");
        assertRefused("is Java 1.8.0_392, but 17 or newer is needed", "JAVA_HOME");
        javaOfVersion("11.0.2");
        assertRefused("is Java 11.0.2, but 17 or newer is needed", "JAVA_HOME");
        javaOfVersion("21-ea");
        Files.delete(bin.resolve("javac"));
        assertRefused("without a compiler", "openjdk-17-jdk");
        Files.delete(bin.resolve("java"));
        assertRefused("Java was not found", "openjdk-17-jdk");
    }

    private void assertRefused(String complaint, String fix) throws Exception {
        Outcome outcome = launch("info");
        assertEquals(1, outcome.status(), outcome.output());
        assertContains(outcome.output(), complaint);
        assertContains(outcome.output(), fix);
    }

    private static void assertContains(String text, String part) {
        assertTrue(text.contains(part), () -> "'" + part + "' is not in:\n" + text);
    }

    private Outcome launch(String... arguments) throws Exception {
        return launch(checkout.resolve("crescendo"), arguments);
    }

    private Outcome launch(Path launcher, String... arguments) throws Exception {
        return finish(start(launcher, arguments));
    }

    private Process start(Path launcher, String... arguments) throws IOException {
        ProcessBuilder builder = new ProcessBuilder(bin.resolve("bash").toString(), launcher.toString());
        builder.command().addAll(List.of(arguments));
        builder.environment().clear();
        builder.environment().put("PATH", bin.toString());
        builder.environment().put("JAVA_OPTS", "-Xmx1g -Dkey=*");
        return builder.directory(folder.toFile()).redirectErrorStream(true).start();
    }

    private static Outcome finish(Process process) throws IOException, InterruptedException {
        String output = new String(process.getInputStream().readAllBytes(), UTF_8);
        return new Outcome(process.waitFor(), output);
    }

    private long builds() throws IOException {
        try (var lines = Files.lines(folder.resolve("builds"))) {
            return lines.count();
        }
    }

    private void javaOfVersion(String version) throws IOException {
        script(
                "java",
                "if [ \"$1\" = -version ]; then echo 'openjdk version \"" + version + "\" 2023-10-17' >&2; exit; fi\n"
                        + "printf '[%s]\\n' \"$@\"; exit 7");
    }

    private void mavenThat(String commands) throws IOException {
        script("mvn", "echo \"$@\" >>'" + folder.resolve("builds") + "'\n" + commands);
    }

    private void script(String name, String commands) throws IOException {
        Path file = Files.writeString(bin.resolve(name), "#!/bin/sh\n" + commands + "\n");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    /** Puts a tool of this machine on the launcher's PATH, which has no other folder. */
    private void passOn(String name) throws IOException {
        for (String entry : System.getenv("PATH").split(File.pathSeparator, -1)) {
            Path tool = Path.of(entry, name);
            if (Files.isExecutable(tool)) {
                script(name, "exec '" + tool + "' \"$@\"");
                return;
            }
        }
    }
}
