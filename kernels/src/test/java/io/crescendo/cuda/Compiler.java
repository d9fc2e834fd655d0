package io.crescendo.cuda;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Assumptions;

/** gcc, for tests that need real ELF files. */
@NullMarked
final class Compiler {
    private final Path directory;

    /** Skips the test, saying so, on a machine without gcc or of another kind. */
    Compiler(Path directory) {
        this.directory = directory;
        Assumptions.assumeTrue(Machine.here().supported(), "skipped: not Linux on x86-64");
        Assumptions.assumeTrue(works(), "skipped: gcc is not installed (Debian, Ubuntu: apt install gcc)");
    }

    private static boolean works() {
        try {
            return new ProcessBuilder("gcc", "--version")
                            .redirectErrorStream(true)
                            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                            .start()
                            .waitFor()
                    == 0;
        } catch (IOException e) {
            return false;
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /**
     * A shared library whose symbols carry its own name as their version, as NVIDIA's do.
     *
     * @param needed libraries beside it to link against
     */
    Path library(String name, String source, String... needed) throws IOException {
        Path script = Files.writeString(directory.resolve(name + ".map"), name + " { global: *; };\n");
        Path code = Files.writeString(directory.resolve(name + ".c"), source);
        List<String> command = new ArrayList<>(List.of(
                "gcc",
                "-shared",
                "-fPIC",
                "-Wl,-soname," + name,
                "-Wl,--version-script=" + script,
                "-Wl,--no-as-needed"));
        command.addAll(List.of("-o", directory.resolve(name).toString(), code.toString(), "-L" + directory));
        for (String library : needed) {
            command.add("-l:" + library);
        }
        return built(command, directory.resolve(name));
    }

    Path program(String name, String source, String... needed) throws IOException {
        Path code = Files.writeString(directory.resolve(name + ".c"), source);
        List<String> command = new ArrayList<>(
                List.of("gcc", "-o", directory.resolve(name).toString(), code.toString(), "-L" + directory));
        for (String library : needed) {
            command.add("-l:" + library);
        }
        return built(command, directory.resolve(name));
    }

    private static Path built(List<String> command, Path result) throws IOException {
        String output = output(command, "");
        if (!Files.exists(result)) {
            throw new IOException(command + ": " + output);
        }
        return result;
    }

    /** What a program prints, both ways, with an LD_LIBRARY_PATH. */
    static String output(List<String> command, String libraryPath) throws IOException {
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().put("LD_LIBRARY_PATH", libraryPath);
        Process process = builder.start();
        String output = new String(process.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
        try {
            process.waitFor();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        return output.strip();
    }
}
