package io.crescendo.cuda;

import com.sun.jna.Function;
import com.sun.jna.Memory;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;

/** The kernels compiled by g++ for the host, and launched by name. */
@NullMarked
final class CudaOnHost implements KernelLauncher {
    static final Path SOURCES = Path.of("src", "main", "cuda");
    private static final Path EMULATION = Path.of("src", "test", "cuda");

    private final NativeLibrary library;
    private final Function launch;

    private CudaOnHost(Path file) {
        library = NativeLibrary.getInstance(file.toAbsolutePath().toString());
        launch = library.getFunction("launch_kernel");
    }

    /** Why a compiler cannot be used, or null if it can. */
    static @Nullable String missing(String compiler) {
        try {
            Result result = run(List.of(compiler, "--version"));
            return result.exit == 0 ? null : compiler + " --version answered " + result.exit;
        } catch (IOException e) {
            return compiler + " was not found on the PATH: " + e.getMessage();
        }
    }

    /** Why the kernels cannot run on this host, or null if they can. */
    static @Nullable String unavailable() {
        String system = System.getProperty("os.name");
        // The linker's options and the switching of stacks are those of glibc's systems.
        return system.equals("Linux") ? missing("g++") : "the emulation is built on Linux only, this is " + system;
    }

    /** What a command wrote, and its exit code. */
    record Result(int exit, String output) {}

    static Result run(List<String> command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        try {
            return new Result(process.waitFor(), output);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while waiting for " + command, e);
        }
    }

    /**
     * Compiles and loads the kernels.
     *
     * @param name of the library's folder under target
     * @param changes from the text to find, which must be there, to what replaces it: mistakes that a test must notice
     */
    static CudaOnHost compile(String name, Map<String, String> changes) {
        try {
            Path folder = Files.createDirectories(Path.of("target", "cuda-on-host", name));
            copySources(folder, changes);
            Path file = folder.resolve("libkernels.so");
            Result result = run(List.of(
                    "g++",
                    "-std=c++17",
                    "-O1",
                    "-ffp-contract=off",
                    "-Wall",
                    "-Wextra",
                    "-Werror",
                    "-Wno-unknown-pragmas",
                    "-shared",
                    "-fPIC",
                    // Several such libraries in one process: each keeps to its own kernels and shared memory.
                    "-Wl,-Bsymbolic",
                    "-fno-gnu-unique",
                    "-I" + folder,
                    "-o",
                    file.toString(),
                    EMULATION.resolve("kernels_on_host.cpp").toString()));
            if (result.exit != 0) {
                throw new IllegalStateException("g++ could not compile the kernels for the host:\n" + result.output);
            }
            return new CudaOnHost(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void copySources(Path folder, Map<String, String> changes) throws IOException {
        List<String> unused = new ArrayList<>(changes.keySet());
        for (Path source : sources()) {
            String text = Files.readString(source);
            for (Map.Entry<String, String> change : changes.entrySet()) {
                if (text.contains(change.getKey())) {
                    unused.remove(change.getKey());
                    text = text.replace(change.getKey(), change.getValue());
                }
            }
            Files.writeString(folder.resolve(source.getFileName().toString()), text);
        }
        if (!unused.isEmpty()) {
            throw new IllegalArgumentException("no kernel contains " + unused + "; adapt the test to the sources");
        }
    }

    /** All sources, headers included, in a fixed order. */
    static List<Path> sources() throws IOException {
        try (Stream<Path> files = Files.list(SOURCES)) {
            return files.sorted().toList();
        }
    }

    /** The kernels of the library, without the probes of the emulation. */
    List<String> kernels() {
        Function nameOf = library.getFunction("kernel_name");
        List<String> names = new ArrayList<>();
        while (true) {
            String name = nameOf.invokeString(new Object[] {names.size()}, false);
            if (name == null || name.startsWith("probe_")) {
                return names;
            }
            names.add(name);
        }
    }

    @Override
    public void launch(long order, String kernel, Grid grid, @Nullable Object... arguments) {
        launch(order, false, kernel, grid, arguments);
    }

    /** Shared memory is as large as it may be, always. */
    @Override
    public void launchTogether(long order, String kernel, Grids.Teams teams, @Nullable Object... arguments) {
        launch(order, true, kernel, teams.grid(), arguments);
    }

    private void launch(long order, boolean together, String kernel, Grid grid, @Nullable Object... given) {
        Object[] arguments = KernelLauncher.resolved(DeviceBuffer::address, given);
        long[] addresses = new long[arguments.length];
        int words = 0;
        for (Object argument : arguments) {
            words += argument instanceof long[] structure ? structure.length : 1;
        }
        try (Memory values = new Memory(8L * words);
                Memory pointers = new Memory(8L * arguments.length)) {
            long at = 0;
            for (int i = 0; i < arguments.length; i++) {
                Object argument = arguments[i];
                if (argument instanceof Integer number) {
                    values.setInt(at, number);
                } else if (argument instanceof Float number) {
                    values.setFloat(at, number);
                } else if (argument instanceof Long number) {
                    values.setLong(at, number);
                } else if (argument instanceof long[] structure) {
                    values.write(at, structure, 0, structure.length);
                } else {
                    throw new IllegalArgumentException("argument " + i + " of " + kernel + " is a "
                            + argument.getClass().getSimpleName());
                }
                addresses[i] = Pointer.nativeValue(values) + at;
                at += 8L * (argument instanceof long[] structure ? structure.length : 1);
            }
            pointers.write(0, addresses, 0, addresses.length);
            String error = launch.invokeString(
                    new Object[] {
                        kernel, grid.x(), grid.y(), Trial.THREADS, pointers, arguments.length, order, together ? 1 : 0
                    },
                    false);
            if (error == null || !error.isEmpty()) {
                throw new AssertionError(kernel + ": " + error);
            }
        }
        KernelLauncher.requireGuards(kernel, given);
    }

    @Override
    public void close() {
        library.close();
    }
}
