package io.crescendo.bench.gpu;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * How the processes that are compared are started.
 *
 * @param device what is measured
 * @param python a Python that has PyTorch
 * @param peer {@code torch_step.py}; null leaves PyTorch out
 */
record Engines(String device, String python, @Nullable Path peer) {
    static final String CRESCENDO = "crescendo";
    static final String PYTORCH = "pytorch";

    /** Why PyTorch cannot be measured here, or null. */
    @Nullable
    String reasonAgainstPyTorch() {
        if (peer == null) {
            return "no --peer was given";
        }
        String check = device.equals("cpu") ? "" : "; assert torch.cuda.is_available(), 'PyTorch sees no GPU'";
        try {
            Process process = new ProcessBuilder(python, "-c", "import torch" + check)
                    .redirectErrorStream(true)
                    .start();
            String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            return process.waitFor() == 0
                    ? null
                    : python + ": "
                            + said.lines()
                                    .reduce((first, last) -> last)
                                    .orElse("ended with status " + process.exitValue() + " and without a word");
        } catch (IOException e) {
            return python + ": " + e.getMessage();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return "interrupted";
        }
    }

    /** PyTorch on a case; the modes are those of torch.compile, and eager. */
    Child torch(Case measured, String mode, String... more) throws IOException {
        return torch(measured, mode, Map.of(), more);
    }

    /** The same with variables of the environment set. */
    Child torch(Case measured, String mode, Map<String, String> environment, String... more) throws IOException {
        List<String> command = new ArrayList<>(List.of(python, String.valueOf(peer)));
        command.addAll(arguments(measured));
        command.addAll(List.of("--mode", mode));
        command.addAll(List.of(more));
        return new Child(PYTORCH, command, environment, false);
    }

    /** Crescendo on a case. */
    Child crescendo(Case measured, String... more) throws IOException {
        return crescendo("step", measured, Map.of(), more);
    }

    /** The same by another command of this program, with variables of the environment set. */
    Child crescendo(String by, Case measured, Map<String, String> environment, String... more) throws IOException {
        List<String> command = new ArrayList<>(Child.java(by));
        command.addAll(arguments(measured));
        command.addAll(List.of(more));
        return new Child(CRESCENDO, command, environment, true);
    }

    private List<String> arguments(Case measured) {
        return List.of(
                "--network",
                measured.network(),
                "--batch",
                String.valueOf(measured.batch()),
                "--precision",
                measured.precision(),
                "--device",
                device);
    }
}
