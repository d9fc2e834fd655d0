package io.crescendo.cuda;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Puts the kernels as machine code beside their sources when the module is built and nvcc is on the PATH: for the
 * architectures of {@link KernelSources#ARCHITECTURES}, and PTX of the newest, which the driver finishes for devices
 * that did not exist yet. Where there is no nvcc it says so in one line; {@link Kernels} then compiles on the user's
 * machine.
 *
 * <p>The file's name is a digest of sources and flags, so a second build has nothing to do. What ptxas said is kept
 * beside what is in between, under nvcc's version: the second build prints it again, and another nvcc builds anew. The
 * version is not part of the name, which a user's machine without nvcc must know.
 */
final class FatBinary {
    private static final Pattern ENTRY = Pattern.compile("Compiling entry function '(\\w+)' for '(\\w+)'");
    private static final Pattern SPILLS =
            Pattern.compile("(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill loads");
    private static final Pattern USED = Pattern.compile("Used (\\d+) registers(?:.*?(\\d+) bytes smem)?");

    private FatBinary() {}

    /** Registers per thread, shared bytes per block, bytes of stack and of spilled registers per thread. */
    record Usage(int registers, int sharedBytes, int stackBytes, int spilledBytes) {}

    /**
     * What the build calls.
     *
     * @param arguments the directory of the packaged sources, and one for what is in between and for {@code report.txt}
     */
    public static void main(String[] arguments) throws IOException {
        Path work = Files.createDirectories(Path.of(arguments[1]));
        Files.writeString(work.resolve("report.txt"), update(Path.of(arguments[0]), work));
    }

    /** Makes the file if need be; what there is to say about it. */
    private static String update(Path packaged, Path work) throws IOException {
        KernelSources sources = KernelSources.packaged();
        Path wanted = packaged.resolve(sources.fatBinary());
        removeOthers(packaged, wanted);
        Path kept = work.resolve(sources.fatBinary() + ".txt");
        String before = Files.exists(wanted) && Files.exists(kept) ? Files.readString(kept) : "";
        String missing = missing();
        if (!missing.isEmpty()) {
            return Files.exists(wanted)
                    ? before
                    : "No CUDA compiler (" + missing + "): the jar holds the kernels as source, and NVRTC compiles them"
                            + " on the user's machine.\n";
        }
        String version = version();
        if (before.startsWith(version)) {
            return before;
        }
        String report = version + table(build(packaged, work, wanted));
        Files.writeString(kept, report);
        return report;
    }

    /** A line that changes with the compiler. */
    private static String version() throws IOException {
        List<String> said = run(List.of("nvcc", "--version")).output.lines().toList();
        return "Kernels by nvcc, " + said.get(Math.max(0, said.size() - 1)) + "\n";
    }

    private static void removeOthers(Path packaged, Path wanted) throws IOException {
        try (DirectoryStream<Path> files = Files.newDirectoryStream(packaged, "kernels-*.fatbin")) {
            for (Path file : files) {
                if (!file.equals(wanted)) {
                    Files.delete(file);
                }
            }
        }
    }

    /** Why there is no compiler here; empty if there is one. */
    static String missing() {
        try {
            Result result = run(List.of("nvcc", "--list-gpu-code"));
            for (String architecture : KernelSources.ARCHITECTURES) {
                if (!result.output.contains("sm_" + architecture)) {
                    return "this nvcc does not know sm_" + architecture;
                }
            }
            return "";
        } catch (IOException e) {
            return "nvcc is not on the PATH";
        }
    }

    /**
     * Compiles all kernels with warnings as errors.
     *
     * @param sources their directory
     * @param work a directory for what is in between
     * @param wanted the file to make
     * @return what each kernel uses, by architecture and kernel
     * @throws IllegalStateException if they do not compile
     */
    static Map<String, Map<String, Usage>> build(Path sources, Path work, Path wanted) throws IOException {
        Path unfinished = work.resolve("unfinished.fatbin");
        List<String> command = new ArrayList<>(List.of("nvcc", "--threads=0", "-o", unfinished.toString()));
        command.addAll(flags());
        command.add(sources.resolve(KernelSources.PROGRAM).toString());
        Result result = run(command);
        if (result.exit != 0) {
            throw new IllegalStateException("nvcc could not compile the kernels:\n" + result.output);
        }
        // In one step, so that a build that was stopped leaves no half of a file.
        Files.move(unfinished, wanted, StandardCopyOption.REPLACE_EXISTING);
        return usages(result.output);
    }

    /** What decides, beside sources and compiler, what becomes of them. */
    static List<String> flags() {
        String newest = KernelSources.ARCHITECTURES.get(KernelSources.ARCHITECTURES.size() - 1);
        List<String> flags = new ArrayList<>(List.of(
                "-std=c++17",
                "-Werror=all-warnings",
                "-Xptxas=-v,-warn-spills",
                // The jar is compressed anyway, and drivers before 12.4 cannot read what newer compilers compress.
                "--no-compress",
                "-fatbin"));
        for (String architecture : KernelSources.ARCHITECTURES) {
            flags.add("-gencode=arch=compute_" + architecture + ",code=sm_" + architecture);
        }
        flags.add("-gencode=arch=compute_" + newest + ",code=compute_" + newest);
        return flags;
    }

    /** Reads the report of ptxas: per kernel a line with its name, one with spills, one with registers. */
    static Map<String, Map<String, Usage>> usages(String report) {
        Map<String, Map<String, Usage>> usages = new TreeMap<>();
        Map<String, Usage> kernels = new TreeMap<>();
        String kernel = "";
        int stack = -1;
        int spilled = -1;
        for (String line : report.lines().toList()) {
            Matcher entry = ENTRY.matcher(line);
            Matcher spills = SPILLS.matcher(line);
            Matcher used = USED.matcher(line);
            if (entry.find()) {
                kernel = entry.group(1);
                kernels = usages.computeIfAbsent(entry.group(2), architecture -> new TreeMap<>());
            } else if (spills.find()) {
                stack = Integer.parseInt(spills.group(1));
                spilled = Integer.parseInt(spills.group(2)) + Integer.parseInt(spills.group(3));
            } else if (used.find()) {
                int shared = used.group(2) == null ? 0 : Integer.parseInt(used.group(2));
                kernels.put(kernel, new Usage(Integer.parseInt(used.group(1)), shared, stack, spilled));
            }
        }
        return usages;
    }

    /** The usages for people, a line each. */
    static String table(Map<String, Map<String, Usage>> usages) {
        StringBuilder table = new StringBuilder();
        usages.forEach((architecture, kernels) -> kernels.forEach((kernel, usage) -> table.append(String.format(
                Locale.ROOT,
                "%-6s %-34s %3d registers %6d bytes shared %3d stack %3d spilled%n",
                architecture,
                kernel,
                usage.registers(),
                usage.sharedBytes(),
                usage.stackBytes(),
                usage.spilledBytes()))));
        return table.toString();
    }

    private record Result(int exit, String output) {}

    private static Result run(List<String> command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        try {
            return new Result(process.waitFor(), output);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while waiting for " + command, e);
        }
    }
}
