package io.crescendo.cli.commands;

import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.BackendProvider;
import io.crescendo.backend.Backends;
import io.crescendo.backend.Precision;
import io.crescendo.cli.UserError;
import io.crescendo.cli.run.Machine;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The options that say what device computes, and how. */
final class DeviceOptions {
    /** The backend that has a choice of precision and records its programs. */
    private static final String GPU = "cuda";

    private static final String AUTO = "auto";

    /** For shell completion. */
    static final class Names implements Iterable<String> {
        @Override
        public Iterator<String> iterator() {
            return names().iterator();
        }
    }

    /** For shell completion. */
    static final class Precisions implements Iterable<String> {
        @Override
        public Iterator<String> iterator() {
            return Arrays.stream(Precision.values())
                    .map(precision -> precision.name().toLowerCase(Locale.ROOT))
                    .iterator();
        }
    }

    @Option(
            names = "--device",
            paramLabel = "DEVICE",
            completionCandidates = Names.class,
            defaultValue = AUTO,
            description = "auto, cpu, cuda or reference; see 'crescendo info' (default: ${DEFAULT-VALUE}). Of several"
                    + " GPUs cuda takes the first; CUDA_VISIBLE_DEVICES=1 makes another the first.")
    private String device = AUTO;

    @Option(
            names = "--threads",
            paramLabel = "COUNT",
            defaultValue = "0",
            description = "Processor threads to use; 0 for all (default: ${DEFAULT-VALUE}).")
    private int threads;

    @Option(
            names = "--precision",
            paramLabel = "fp32|tf32|bf16",
            completionCandidates = Precisions.class,
            defaultValue = "fp32",
            description = "Number format of products and activations; other than fp32 only on cuda.")
    private Precision precision = Precision.FP32;

    @Option(
            names = "--no-graphs",
            description = "On cuda, run operations one by one, so that an error names the one at fault.")
    private boolean noGraphs;

    @Option(
            names = "--deterministic",
            description = "Only algorithms that give the same bits in every run; slower on cuda.")
    private boolean deterministic;

    private Backends.@Nullable Choice choice;

    /**
     * Takes what an earlier run was asked for wherever the command line says nothing.
     *
     * @param given whether the command line has an option
     */
    void keep(Machine earlier, Predicate<String> given) {
        BackendOptions asked = earlier.backend();
        device = given.test("--device") ? device : earlier.device();
        threads = given.test("--threads") ? threads : asked.threads();
        precision = given.test("--precision") ? precision : asked.precision();
        noGraphs = noGraphs || !asked.graphs();
        deterministic = deterministic || asked.deterministic();
    }

    /** What {@code --device} said. */
    String device() {
        return device;
    }

    /**
     * How to open the device.
     *
     * @throws UserError if the options do not fit each other, or the device cannot be used here
     */
    BackendOptions backend() {
        if (threads < 0 || threads > BackendOptions.MOST_THREADS) {
            throw UserError.usage(
                    "--threads " + threads + ": must be 0 for all, or 1 to " + BackendOptions.MOST_THREADS);
        }
        requireKnown(device);
        if (!device.equals(AUTO) && !device.equals(GPU) && noGraphs) {
            throw UserError.usage(
                    "--no-graphs: only the device '" + GPU + "' records programs, not '" + device + "'; leave it out");
        }
        if (!device.equals(AUTO) && !device.equals(GPU)) {
            requireFloat32(device, "");
        }
        Backends.Choice chosen = choose();
        if (!chosen.provider().name().equals(GPU)) {
            requireFloat32(chosen.provider().name(), " (" + String.join("; ", chosen.passedOver()) + ")");
        }
        return new BackendOptions(threads, precision, !noGraphs, deterministic);
    }

    /** Why {@code auto} did not take what it tries first; a line each, usually none. */
    List<String> notes() {
        Backends.Choice chosen = choose();
        List<String> notes = new ArrayList<>();
        chosen.passedOver().forEach(line -> notes.add(line + " (more: crescendo info)"));
        if (noGraphs && !chosen.provider().name().equals(GPU)) {
            notes.add("--no-graphs has no effect: the device '"
                    + chosen.provider().name() + "' records nothing");
        }
        return notes;
    }

    /** Once: asking a GPU whether it can be opened takes a while. */
    private Backends.Choice choose() {
        try {
            if (choice == null) {
                choice = Backends.choose(device);
            }
            return choice;
        } catch (IllegalStateException e) {
            throw UserError.failure(String.valueOf(e.getMessage()), e);
        }
    }

    private void requireFloat32(String where, String why) {
        if (precision != Precision.FP32) {
            throw UserError.usage("--precision " + precision.name().toLowerCase(Locale.ROOT) + ": only the device '"
                    + GPU + "' computes in it, but this would run on '" + where + "'" + why + "; use fp32");
        }
    }

    private static List<String> names() {
        List<String> known = new ArrayList<>(List.of(AUTO));
        Backends.providers().stream().map(BackendProvider::name).forEach(known::add);
        return known;
    }

    /** Refuses a name that no backend has. */
    static void requireKnown(String device) {
        List<String> known = names();
        if (!known.contains(device)) {
            // No guess at what was meant: gpu is one letter from cpu.
            String number = device.startsWith(GPU + ":") ? device.substring(GPU.length() + 1) : "";
            throw UserError.usage("--device " + device + ": unknown. Known: " + String.join(", ", known)
                    + (number.isEmpty()
                            ? ""
                            : "; for that GPU: CUDA_VISIBLE_DEVICES=" + number + " with --device cuda"));
        }
    }
}
