package io.crescendo.cuda;

import com.sun.jna.Function;
import com.sun.jna.NativeLibrary;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.NullMarked;

/**
 * Stand-ins of libcuda, NVRTC, cuBLAS and cuDNN, built by g++ and loaded by JCuda like the real ones.
 *
 * <p>They are test doubles: memory is host memory, kernels run through the host emulation, products and convolutions
 * are plain loops. No speed and no numerical claim rests on them. What they are strict about says
 * {@code src/test/cuda/standins/stand_in.h}; this class builds them and gives tests a hold on them.
 */
@NullMarked
final class StandIns {
    private static final Path SOURCES = Path.of("src", "test", "cuda", "standins");
    private static final Path EMULATION = Path.of("src", "test", "cuda");
    private static final Path TARGET = Path.of("target", "cuda-stand-ins");
    private static final List<String> FLAGS = List.of(
            "g++",
            "-std=c++17",
            "-O2",
            "-ffp-contract=off",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-missing-field-initializers",
            "-Wno-unknown-pragmas",
            "-fPIC");

    static final int SHARED_BYTES_OF_MULTIPROCESSOR = 81; // an attribute

    /** What a function without a stand-in answers, for each library: its own "not supported". */
    private static final Map<CudaLibrary, Integer> NOT_SUPPORTED =
            Map.of(CudaLibrary.DRIVER, 801, CudaLibrary.NVRTC, 11, CudaLibrary.CUBLAS, 15, CudaLibrary.CUDNN, 3000);

    /** When work on a stream runs. */
    enum Schedule {
        /** As late as it may: finds missing waiting. */
        LAZY(0),
        /** At once. */
        EAGER(1),
        /** Now and then, drawn from a seed. */
        RANDOM(2);

        private final int code;

        Schedule(int code) {
            this.code = code;
        }
    }

    /** How an engine of cuDNN's graph functions may be wrong. */
    enum WrongEngine {
        /** Multiplies by zero what lay at the result, and adds it. */
        READS_THE_RESULT(0),
        /** The same with its workspace. */
        READS_THE_WORKSPACE(1),
        /** One number is wrong. */
        MISCOUNTS(2);

        private final int code;

        WrongEngine(int code) {
            this.code = code;
        }
    }

    private final Path directory;

    private StandIns(Path directory) {
        this.directory = directory;
    }

    /** Builds what is not built yet. */
    static StandIns build() {
        try {
            Files.createDirectories(TARGET);
            Path lock = TARGET.resolve("lock");
            try (FileChannel channel = FileChannel.open(lock, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                    FileLock held = channel.lock()) {
                if (!held.isValid()) {
                    throw new IOException(lock + " cannot be locked");
                }
                return new StandIns(new Build().libraries());
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A machine that has these libraries and no others, and keeps its caches below target. */
    Machine machine() {
        return new Machine(
                directory.resolve("no-root"),
                // What is built with these libraries is kept beside them: others would not know it again.
                Map.of(
                        "LD_LIBRARY_PATH",
                        directory.toString(),
                        "XDG_CACHE_HOME",
                        directory.resolve("cache").toString()),
                directory,
                Machine.here().platform());
    }

    private Function function(CudaLibrary library, String name) {
        return NativeLibrary.getInstance(directory.resolve(library.name(12)).toString())
                .getFunction(name);
    }

    private Function driver(String name) {
        return function(CudaLibrary.DRIVER, name);
    }

    /**
     * Forgets orders, counts, problems and leaks, and goes back to lazy work, 2 GiB of memory, the attributes that
     * tests change and loud problems.
     */
    void reset() {
        driver("standin_reset").invokeVoid(new Object[0]);
        schedule(Schedule.LAZY, 1);
        memory(2L << 30);
        attribute(75, 9); // compute capability
        attribute(102, 1); // maps memory
        attribute(SHARED_BYTES_OF_MULTIPROCESSOR, 228 << 10);
        wrongEngine(-1, WrongEngine.MISCOUNTS);
        driver("standin_peak").invokeLong(new Object[] {1});
    }

    /**
     * Lets a call fail.
     *
     * @param name {@code cuMemAlloc}, say; {@code *} for any call of any library; {@code run:relu_f32} for a piece of
     *     work while it runs
     * @param number which of these calls from now on, from 1; 0 takes the order back
     * @param status the driver's status to answer; the other libraries translate it
     */
    void fail(String name, long number, int status) {
        driver("standin_fail").invokeVoid(new Object[] {name, number, status});
    }

    /** Whether the ordered failure has happened. */
    boolean failed() {
        return driver("standin_failures").invokeLong(new Object[0]) > 0;
    }

    /** How often a call was made since the last reset; {@code *} stands for every call of every library. */
    long calls(String name) {
        return driver("standin_calls").invokeLong(new Object[] {name});
    }

    /** The first thing that a caller did wrong since the last reset; empty if there is none. */
    String problem() {
        return driver("standin_problem").invokeString(new Object[0], false);
    }

    /** Whether problems are also printed: off where a test makes one on purpose. */
    void loud(boolean on) {
        driver("standin_loud").invokeVoid(new Object[] {on ? 1 : 0});
    }

    /** What is not released, a line for each kind; empty if nothing is held. */
    String leaks() {
        StringBuilder leaks = new StringBuilder(driver("standin_leaks").invokeString(new Object[0], false));
        leaks.append(function(CudaLibrary.NVRTC, "standin_nvrtc_leaks").invokeString(new Object[0], false));
        leaks.append(function(CudaLibrary.CUBLAS, "standin_cublas_leaks").invokeString(new Object[0], false));
        leaks.append(function(CudaLibrary.CUDNN, "standin_cudnn_leaks").invokeString(new Object[0], false));
        return leaks.toString();
    }

    /** Makes the engine at a place of the heuristics' list wrong; -1 for none. */
    void wrongEngine(int place, WrongEngine how) {
        function(CudaLibrary.CUDNN, "standin_cudnn_wrong_engine").invokeVoid(new Object[] {place, how.code});
    }

    void schedule(Schedule schedule, long seed) {
        driver("standin_schedule").invokeVoid(new Object[] {schedule.code, seed});
    }

    /** How much memory the device has. */
    void memory(long bytes) {
        driver("standin_memory").invokeVoid(new Object[] {bytes});
    }

    /** Device memory that is taken: every allocation rounded up to 256 bytes. */
    long usedBytes() {
        return driver("standin_used").invokeLong(new Object[0]);
    }

    /** The most that was taken since the last reset. */
    long peakBytes() {
        return driver("standin_peak").invokeLong(new Object[] {0});
    }

    /** What the device answers when it is asked for an attribute. */
    void attribute(int attribute, int value) {
        driver("standin_attribute").invokeVoid(new Object[] {attribute, value});
    }

    /** Compiles and links; what was built from the same text before is taken as it is. */
    private static final class Build {
        private final Path objects = Files.createDirectories(TARGET.resolve("objects"));
        private final String headers = text(EMULATION, ".h") + text(SOURCES, ".h");

        Build() throws IOException {}

        Path libraries() throws IOException {
            List<Path> driver = new ArrayList<>();
            for (String source : List.of("calls", "memory", "streams", "driver")) {
                driver.add(object(SOURCES.resolve(source + ".cpp"), ""));
            }
            driver.add(object(EMULATION.resolve("kernels_on_host.cpp"), text(CudaOnHost.SOURCES, "")));
            driver.add(missing(CudaLibrary.DRIVER));
            List<Path> nvrtc = List.of(object(SOURCES.resolve("nvrtc.cpp"), ""), missing(CudaLibrary.NVRTC));
            List<Path> light = List.of(object(SOURCES.resolve("cublas_light.cpp"), ""));
            List<Path> cublas = List.of(object(SOURCES.resolve("cublas.cpp"), ""), missing(CudaLibrary.CUBLAS));
            List<Path> cudnn = List.of(
                    object(SOURCES.resolve("cudnn.cpp"), ""),
                    object(SOURCES.resolve("cudnn_graph.cpp"), ""),
                    missing(CudaLibrary.CUDNN));
            String all = hash(Stream.of(driver, nvrtc, light, cublas, cudnn)
                    .flatMap(List::stream)
                    .map(Path::toString)
                    .collect(Collectors.joining(" ")));
            Path folder = TARGET.toAbsolutePath().resolve(all);
            if (!Files.exists(folder)) {
                // Under another name first: a build that was broken off must not be taken for a whole one.
                Path unfinished = Files.createTempDirectory(TARGET.toAbsolutePath(), "unfinished");
                link(unfinished, "libcuda.so.1", driver);
                link(unfinished, "libnvrtc.so.12", nvrtc, "libcuda.so.1");
                link(unfinished, "libcublasLt.so.12", light);
                link(unfinished, "libcublas.so.12", cublas, "libcuda.so.1", "libcublasLt.so.12");
                link(unfinished, "libcudnn.so.9", cudnn, "libcuda.so.1");
                Files.move(unfinished, folder, StandardCopyOption.ATOMIC_MOVE);
            }
            Files.setLastModifiedTime(folder, FileTime.from(Instant.now())); // others' tests use those used last
            return folder;
        }

        private Path object(Path source, String alsoDependsOn) throws IOException {
            String content = Files.readString(source);
            Path object = objects.resolve(hash(FLAGS + content + headers + alsoDependsOn) + ".o");
            if (!Files.exists(object)) {
                Path unfinished = Files.createTempFile(objects, "unfinished", ".o");
                List<String> command = new ArrayList<>(FLAGS);
                command.addAll(List.of("-I" + CudaOnHost.SOURCES, "-I" + EMULATION, "-I" + SOURCES));
                command.addAll(List.of("-c", "-o", unfinished.toString(), source.toString()));
                run(command);
                Files.move(unfinished, object, StandardCopyOption.ATOMIC_MOVE);
            }
            return object;
        }

        /** Weak definitions of every function that JCuda may call: those that are not written say so. */
        private Path missing(CudaLibrary library) throws IOException {
            Path binding = objects.resolve(JCudaNatives.fileName(library));
            Files.write(binding, JCudaNatives.fromJar(library));
            String source = Stream.of(run(List.of("nm", "-D", "--undefined-only", binding.toString()))
                            .split("\n", -1))
                    .map(line -> line.replaceFirst("^.* U ", "")
                            .replaceFirst("@.*", "")
                            .strip())
                    .filter(name -> name.matches("(cu|nvrtc)[A-Za-z]\\w+") && !name.startsWith("cuda"))
                    .sorted()
                    .map(name -> "extern \"C\" __attribute__((weak)) int " + name + "() { standin_missing(\"" + name
                            + "\"); return " + NOT_SUPPORTED.get(library) + "; }\n")
                    .collect(Collectors.joining("", "extern \"C\" int standin_missing(const char*);\n", ""));
            Path file = objects.resolve("missing_" + library.binding() + ".cpp");
            Files.writeString(file, source);
            return object(file, "");
        }

        private void link(Path folder, String name, List<Path> parts, String... needed) throws IOException {
            Path script = Files.writeString(folder.resolve(name + ".map"), name + " { global: *; };\n");
            List<String> command = new ArrayList<>(List.of("g++", "-shared", "-Wl,-soname," + name));
            // NVIDIA's libraries version their symbols by their own names.
            command.addAll(List.of("-Wl,--version-script=" + script, "-Wl,-Bsymbolic", "-Wl,--no-as-needed"));
            command.addAll(List.of("-o", folder.resolve(name).toString()));
            parts.forEach(part -> command.add(part.toString()));
            command.add("-L" + folder);
            for (String library : needed) {
                command.add("-l:" + library);
            }
            run(command);
        }

        private static String run(List<String> command) throws IOException {
            CudaOnHost.Result result = CudaOnHost.run(command);
            if (result.exit() != 0) {
                throw new IllegalStateException(String.join(" ", command) + "\n" + result.output());
            }
            return result.output();
        }

        private static String text(Path folder, String ending) throws IOException {
            try (Stream<Path> files = Files.list(folder)) {
                StringBuilder text = new StringBuilder();
                for (Path file : files.filter(f -> f.toString().endsWith(ending) && Files.isRegularFile(f))
                        .sorted()
                        .toList()) {
                    text.append(Files.readString(file));
                }
                return text.toString();
            }
        }

        private static String hash(String text) {
            try {
                byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
                return HexFormat.of().formatHex(digest).substring(0, 24);
            } catch (NoSuchAlgorithmException e) {
                throw new IllegalStateException(e); // every Java has it
            }
        }
    }
}
