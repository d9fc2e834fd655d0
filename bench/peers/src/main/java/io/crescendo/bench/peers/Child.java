package io.crescendo.bench.peers;

import com.google.gson.Gson;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** Starts a sample in a JVM of its own, so that allocators and thread pools do not disturb each other. */
final class Child {
    /** Names that change how native libraries allocate and spin; the caller's own are not passed on. */
    private static final List<String> TUNING =
            List.of("MALLOC_", "OMP_", "GOMP_", "KMP_", "GLIBC_TUNABLES", "TF_", "MKL_");

    /**
     * glibc's malloc told to keep what it has: one arena, no mmap, nothing handed back. By default every large tensor
     * is mapped and faulted in anew at each step. Binding OpenMP's threads gained nothing more on an idle machine.
     */
    private static final Map<String, String> KEEPING_MALLOC = Map.of(
            "MALLOC_ARENA_MAX", "1",
            "MALLOC_MMAP_MAX_", "0",
            "MALLOC_TRIM_THRESHOLD_", "99999999999",
            "MALLOC_TOP_PAD_", "268435456");

    private static final List<String> KEEPING_ACTIVATIONS =
            List.of("-Dorg.bytedeco.javacpp.maxbytes=12g", "-Dorg.bytedeco.javacpp.maxphysicalbytes=16g");

    private final Arguments arguments;
    private final Path natives;

    /** Unpacked libraries are kept in {@code natives} from run to run. */
    Child(Arguments arguments, Path natives) {
        this.arguments = arguments;
        this.natives = natives.toAbsolutePath();
    }

    /** Runs a main class of this package and reads the JSON it prints. */
    <T> T run(Class<?> main, Class<T> result, String engine, List<String> args) throws IOException {
        List<String> command = new ArrayList<>(arguments.prefix());
        command.addAll(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx1g",
                "-Xms24m", // a heap that begins at a share of the machine's memory is filled before it is collected
                "-XX:+UseSerialGC", // no idle collector threads beside the two that compute
                "-Dslf4j.internal.verbosity=ERROR",
                "-Dai.djl.offline=true",
                "-DOPT_OUT_TRACKING=true",
                "-DENGINE_CACHE_DIR=" + natives,
                "-DDJL_CACHE_DIR=" + natives,
                "-Dorg.bytedeco.javacpp.cachedir=" + natives.resolve("javacpp"),
                "-Dai.djl.pytorch.num_threads=" + arguments.threads(),
                "-Dai.djl.pytorch.num_interop_threads=1",
                "-cp",
                System.getProperty("peers.classpath." + engine, System.getProperty("java.class.path")),
                main.getName()));
        if (engine.equals("deeplearning4j")) {
            // It keeps every activation of a step outside the heap, and by default no more than twice the heap.
            command.addAll(1 + arguments.prefix().size(), KEEPING_ACTIVATIONS);
        }
        command.addAll(args);
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().keySet().removeIf(name -> TUNING.stream().anyMatch(name::startsWith));
        builder.environment().put("OMP_NUM_THREADS", Integer.toString(arguments.threads()));
        builder.environment().put("TF_ENABLE_ONEDNN_OPTS", "1");
        builder.environment().put("TF_CPP_MIN_LOG_LEVEL", "2");
        if (engine.equals("deeplearning4j")) {
            // OpenBLAS and OpenMP would each start as many threads as there are cores: five times slower.
            builder.environment().put("OPENBLAS_NUM_THREADS", "1");
        }
        if (engine.endsWith("-tuned")) {
            builder.environment().putAll(KEEPING_MALLOC);
        }
        long start = System.nanoTime();
        Process process = builder.start();
        // Ends the reading below too. A sample that is done has printed its line and needs no more than a moment.
        Thread limit = new Thread(() -> endAfterLimit(process), "limit");
        limit.setDaemon(true);
        limit.start();
        Deque<String> tail = new ArrayDeque<>();
        @Nullable String json = null;
        try (BufferedReader reader = process.inputReader()) {
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                if (line.startsWith(Sample.PREFIX)) {
                    json = line.substring(Sample.PREFIX.length());
                }
                tail.add(line);
                if (tail.size() > 12) {
                    tail.remove();
                }
            }
        }
        if (json == null) {
            throw new IOException(String.format(
                    Locale.ROOT,
                    "no result from %s %s after %.0f s (the limit is %d s); its last words:%n  %s",
                    engine,
                    args,
                    (System.nanoTime() - start) / 1e9,
                    arguments.limitSeconds(),
                    String.join("\n  ", tail)));
        }
        return new Gson().fromJson(json, result);
    }

    private void endAfterLimit(Process process) {
        try {
            if (!process.waitFor(arguments.limitSeconds(), TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
        }
    }
}
