package io.crescendo.bench.gpu;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * A process that measures on request: a line of text to it, a line of JSON from it.
 *
 * <p>Each engine has one of its own, so that neither's allocator, threads or crash reaches the other, and both live
 * through a whole measurement, so that rounds can alternate without warming up again.
 */
final class Child implements AutoCloseable {
    private static final int LAST_WORDS = 15;
    private static final String END = "";

    private final String name;
    private final boolean repeated;
    private final Process process;
    private final BufferedWriter commands;
    private final BlockingQueue<String> answers = new LinkedBlockingQueue<>();
    private final Deque<String> lastWords = new ArrayDeque<>();

    /**
     * Starts it; the last lines it prints that are no answers are kept as its last words.
     *
     * @param repeated whether those lines are printed here as well
     */
    Child(String name, List<String> command, boolean repeated) throws IOException {
        this(name, command, Map.of(), repeated);
    }

    /** The same with variables of the environment set. */
    Child(String name, List<String> command, Map<String, String> environment, boolean repeated) throws IOException {
        this.name = name;
        this.repeated = repeated;
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().putAll(environment);
        process = builder.start();
        commands = process.outputWriter();
        Thread reader = new Thread(this::listen, name + " reader");
        reader.setDaemon(true);
        reader.start();
    }

    /** This program in a JVM of its own. */
    static List<String> java(String... arguments) {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx4g",
                "-XX:MaxDirectMemorySize=8g",
                "-cp",
                System.getProperty("java.class.path"),
                GpuBench.class.getName()));
        command.addAll(List.of(arguments));
        return command;
    }

    private void listen() {
        try (BufferedReader reader = process.inputReader()) {
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                if (line.startsWith(StepCommand.ANSWER)) {
                    answers.add(line.substring(StepCommand.ANSWER.length()));
                    continue;
                }
                if (repeated) {
                    System.out.println(name + ": " + line);
                }
                synchronized (lastWords) {
                    lastWords.add(line);
                    if (lastWords.size() > LAST_WORDS) {
                        lastWords.remove();
                    }
                }
            }
        } catch (IOException e) {
            // killed: the end is all there is to say
        }
        answers.add(END);
    }

    String name() {
        return name;
    }

    long pid() {
        return process.pid();
    }

    /** Sends a command and waits for its answer. */
    JsonNode ask(String command, double seconds) throws IOException {
        commands.write(command + "\n");
        commands.flush();
        return answer(seconds);
    }

    /**
     * Waits for an answer.
     *
     * @throws IOException if the process ends instead, or takes longer
     */
    JsonNode answer(double seconds) throws IOException {
        try {
            String answer = answers.poll((long) (1e3 * seconds), TimeUnit.MILLISECONDS);
            if (answer == null) {
                throw new IOException(
                        name + " did not answer within " + (long) seconds + " s; its last words:\n" + lastWords());
            }
            if (answer.equals(END)) {
                throw new IOException(name + " ended; its last words:\n" + lastWords());
            }
            return Json.MAPPER.readTree(answer);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while waiting for " + name, e);
        }
    }

    private String lastWords() {
        synchronized (lastWords) {
            return String.join("\n", lastWords);
        }
    }

    /** Asks it to end, then makes it; its own children (PyTorch compiles in some) go with it. */
    @Override
    public void close() {
        try {
            commands.write("quit\n");
            commands.close();
            if (process.waitFor(5, TimeUnit.SECONDS)) {
                return;
            }
        } catch (IOException e) {
            // it ended before
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
        try {
            // What comes next needs the device memory that it held.
            process.waitFor(5, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
