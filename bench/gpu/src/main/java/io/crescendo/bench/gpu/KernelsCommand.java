package io.crescendo.bench.gpu;

import com.fasterxml.jackson.databind.JsonNode;
import io.crescendo.backend.Precision;
import io.crescendo.cuda.CudaException;
import io.crescendo.cuda.CudaLibraryException;
import io.crescendo.cuda.KernelTimes;
import io.crescendo.cuda.KernelTimes.Times;
import io.crescendo.cuda.NormTimes.Activation;
import io.crescendo.cuda.NormTimes.Form;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * The hand-written kernels alone, by the device's clock: bandwidth, its share of what the driver's copy reaches in the
 * same run, and the optimizers of PyTorch on as many parameters.
 *
 * <p>PyTorch's are held against the bytes that such an update cannot do without, whatever they really move.
 */
@Command(name = "kernels", description = "Bandwidth of the kernels alone, beside PyTorch's optimizers.")
final class KernelsCommand implements Callable<Integer> {
    /** What a shell's scripts take for "not here". */
    private static final int NOT_HERE = 77;

    /** A large layer of Wide ResNet, with groups of every size. */
    private static final Activation WIDE = new Activation(128, 160, 32);

    private static final List<Integer> GHOST_BATCHES = List.of(16, 32, 64, 128);

    /** The layers of Wide ResNet 16-4 at two batches, in groups of 128. */
    private static final List<Activation> LAYERS = List.of(
            new Activation(128, 64, 32),
            new Activation(128, 128, 16),
            new Activation(128, 256, 8),
            new Activation(1024, 64, 32),
            new Activation(1024, 128, 16),
            new Activation(1024, 256, 8));

    private static final int GHOST_BATCH = 128;

    /**
     * One kernel on one size.
     *
     * @param size parameters, or a shape
     * @param bytes read plus written by the contract
     * @param shareOfCopy bandwidth over that of a copy of as many bytes, both with an empty cache
     */
    record Row(
            String kernel,
            String precision,
            String size,
            long bytes,
            double microseconds,
            double gigabytesPerSecond,
            double shareOfCopy,
            double cachedMicroseconds,
            double cachedGigabytesPerSecond) {
        static Row of(String kernel, String precision, String size, long bytes, double cold, double warm, double copy) {
            return new Row(
                    kernel,
                    precision,
                    size,
                    bytes,
                    cold * 1e6,
                    bytes / cold * 1e-9,
                    bytes / cold / copy,
                    warm * 1e6,
                    bytes / warm * 1e-9);
        }

        String line() {
            return String.format(
                    Locale.ROOT,
                    "| %-22s | %-4s | %-22s | %9.1f | %7.0f | %5.1f %% | %9.1f | %7.0f |",
                    kernel,
                    precision,
                    size,
                    microseconds,
                    gigabytesPerSecond,
                    100 * shareOfCopy,
                    cachedMicroseconds,
                    cachedGigabytesPerSecond);
        }
    }

    /** The file. */
    record Result(String device, @Nullable String noPyTorch, List<Row> rows, List<String> failures) {}

    @Option(names = "--device", defaultValue = "cuda", description = "What is measured; kernels run on cuda only.")
    private String device = "cuda";

    @Option(
            names = "--sizes",
            split = ",",
            defaultValue = "2700,25000,100000,500000",
            description = "Thousands of parameters: Wide ResNet 16-4, ResNet-50 and larger.")
    private List<Integer> sizes = List.of();

    @Option(
            names = "--precisions",
            split = ",",
            defaultValue = "fp32,bf16",
            description = "fp32, bf16; none for PyTorch alone.")
    private List<String> precisions = List.of();

    @Option(names = "--limit", defaultValue = "60", description = "Seconds; nothing is begun after them.")
    private double limit;

    @Option(names = "--python", defaultValue = "python3", description = "A Python that has PyTorch.")
    private String python = "python3";

    @Option(names = "--peer", description = "torch_kernels.py; without it PyTorch is left out.")
    private @Nullable Path peer;

    @Option(names = "--out", required = true, description = "The JSON file to write.")
    private Path out = Path.of("kernels.json");

    private final List<Row> rows = new ArrayList<>();
    private final List<String> failures = new ArrayList<>();
    /** A copy of ten bytes per parameter in fp32's run, by size: what PyTorch is held against. */
    private final Map<Integer, Double> copies = new HashMap<>();

    private long start;
    private String description = "none";

    @Override
    public Integer call() throws IOException {
        start = System.nanoTime();
        if (!device.equals("cuda")) {
            System.out.println("kernels are not measured: they run on --device cuda, not on " + device);
            return NOT_HERE;
        }
        for (String precision : precisions) {
            if (precision.equals("none")) {
                continue;
            }
            try (KernelTimes times = KernelTimes.open(Precision.valueOf(precision.toUpperCase(Locale.ROOT)))) {
                description = times.device();
                measure(times, precision);
            } catch (CudaLibraryException | CudaException e) {
                if (rows.isEmpty() && failures.isEmpty()) {
                    System.out.println("kernels are not measured: " + e.getMessage());
                    return NOT_HERE;
                }
                failures.add(precision + ": " + e.getMessage());
            }
        }
        @Nullable String noPyTorch = peer == null ? "no --peer was given" : measurePyTorch(peer);
        Json.write(out, new Result(description, noPyTorch, rows, failures));
        System.out.println(table(description, rows));
        if (noPyTorch != null) {
            System.out.println("PyTorch is left out: " + noPyTorch);
        }
        failures.forEach(System.out::println);
        return failures.isEmpty() ? 0 : 1;
    }

    private double left() {
        return limit - (System.nanoTime() - start) * 1e-9;
    }

    private void measure(KernelTimes times, String precision) {
        measureNorms(times, precision);
        for (int thousands : sizes) {
            long elements = 1000L * thousands;
            String size = size(thousands);
            double ceiling = times.copy(10 * elements).cold().bytesPerSecond();
            copies.putIfAbsent(thousands, ceiling);
            measure("copy", precision, size, ceiling, () -> times.copy(10 * elements));
            for (String rule : List.of("sgd", "momentum", "adam")) {
                measure(rule, precision, size, ceiling, () -> times.update(rule, elements));
            }
            measure("momentum + clear", precision, size, ceiling, () -> times.update("momentum", elements, true));
            measure("adam + clear", precision, size, ceiling, () -> times.update("adam", elements, true));
            measure("gradient check", precision, size, ceiling, () -> times.gradientCheck(elements));
            for (int parts : new int[] {1, 2, 8}) {
                measure("sum of " + parts, precision, size, ceiling, () -> times.gradientSum(parts, elements));
            }
        }
        double ceiling = times.copy(256L << 20).cold().bytesPerSecond();
        measure("cross-entropy", precision, "256 x 100,000", ceiling, () -> times.crossEntropy(256, 100_000));
        measure("dropout", precision, "128 x 160 x 32^2", ceiling, () -> times.dropout(128, 160, 32));
    }

    /** With a ReLU, as networks have it; cuDNN's over the whole batch is without. */
    private void measureNorms(KernelTimes times, String precision) {
        double ceiling = times.copy(256L << 20).cold().bytesPerSecond();
        for (int ghostBatch : GHOST_BATCHES) {
            measureNorm(times, precision, WIDE, ghostBatch, ceiling);
        }
        measurePlainNorm(times, precision, WIDE, ceiling);
        for (Activation layer : LAYERS) {
            measureNorm(times, precision, layer, GHOST_BATCH, ceiling);
            measurePlainNorm(times, precision, layer, ceiling);
        }
    }

    private void measureNorm(KernelTimes times, String precision, Activation x, int ghostBatch, double ceiling) {
        String size = size(x) + " / " + ghostBatch;
        measure("norm", precision, size, ceiling, () -> times.norms().ghostForward(x, ghostBatch, Form.RELU));
        measure("norm gradient", precision, size, ceiling, () -> times.norms().ghostBackward(x, ghostBatch, Form.RELU));
    }

    private void measurePlainNorm(KernelTimes times, String precision, Activation x, double ceiling) {
        measure("cuDNN norm", precision, size(x), ceiling, () -> times.norms().plainForward(x));
        measure(
                "cuDNN norm gradient",
                precision,
                size(x),
                ceiling,
                () -> times.norms().plainBackward(x));
    }

    private static String size(Activation x) {
        return x.samples() + " x " + x.channels() + " x " + x.side() + "^2";
    }

    private void measure(String kernel, String precision, String size, double copy, Supplier<Times> measured) {
        String what = kernel + ", " + precision + ", " + size;
        if (left() < 0) {
            failures.add("not measured, the time was used up: " + what);
            return;
        }
        try {
            Times times = measured.get();
            rows.add(Row.of(
                    kernel,
                    precision,
                    size,
                    times.cold().bytes(),
                    times.cold().seconds(),
                    times.warm().seconds(),
                    copy));
        } catch (CudaException e) {
            failures.add(what + ": " + e.getMessage());
        }
    }

    /** Why there is nothing of it, or null. */
    private @Nullable String measurePyTorch(Path script) {
        List<String> command = List.of(
                python,
                script.toString(),
                "--sizes",
                sizes.stream().map(String::valueOf).collect(Collectors.joining(",")),
                "--device",
                device);
        try (Child child = new Child("pytorch", command, false)) {
            addPyTorch(child.answer(Math.max(10, left())));
            return null;
        } catch (IOException e) {
            return e.getMessage();
        }
    }

    private void addPyTorch(JsonNode answer) {
        for (JsonNode time : answer.path("times")) {
            int thousands = time.path("thousands").asInt();
            rows.add(Row.of(
                    "torch " + time.path("optimizer").asText(),
                    "fp32",
                    size(thousands),
                    time.path("bytesPerParameter").asLong() * 1000 * thousands,
                    time.path("seconds").asDouble(),
                    time.path("cachedSeconds").asDouble(),
                    copies.getOrDefault(thousands, Double.NaN)));
        }
        answer.path("failures").forEach(failure -> failures.add("torch: " + failure.asText()));
    }

    private static String size(int thousands) {
        return String.format(Locale.ROOT, "%.1f M", thousands / 1000.0);
    }

    /** For people. */
    static String table(String device, List<Row> rows) {
        return "Kernels alone on " + device + "; bytes by their contracts, copy measured in the same run\n"
                + "| kernel                 |      | size                   | empty: us |    GB/s | of copy | cached: us |  GB/s |\n"
                + "|---|---|---|---:|---:|---:|---:|---:|\n"
                + rows.stream().map(Row::line).collect(Collectors.joining("\n"));
    }
}
