package io.crescendo.bench.peers;

import com.google.gson.Gson;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.ServiceLoader;

/**
 * One engine on one network at one batch, measured in a JVM of its own.
 *
 * @param engine name in the table
 * @param network what {@link io.crescendo.models.Models} knows
 * @param batch samples per update
 * @param round which of the interleaved rounds
 * @param steps how many were timed
 * @param stepMillis median duration of a step
 * @param fastestStepMillis shortest
 * @param slowestStepMillis longest
 * @param imagesPerSecond batch over the median
 * @param flopsPerImage floating-point operations of the convolutions and dense layers, forward and backward
 * @param firstLosses before any update, after the first, after the second; the same in every engine
 * @param lastLoss of the last step
 * @param peakResidentBytes of the whole process, 0 where the system does not tell
 * @param plannedBytes of that, what was planned ahead for all that dies within a step; 0 where nothing is planned
 * @param description engine, versions, choices
 */
public record Sample(
        String engine,
        String network,
        int batch,
        int round,
        int steps,
        double stepMillis,
        double fastestStepMillis,
        double slowestStepMillis,
        double imagesPerSecond,
        double flopsPerImage,
        List<Double> firstLosses,
        double lastLoss,
        long peakResidentBytes,
        long plannedBytes,
        String description) {
    /** What a line with a sample starts with on the child's standard output. */
    static final String PREFIX = "SAMPLE ";

    /** Engine, network, batch, round, threads, seconds; prints one line of JSON. */
    public static void main(String[] args) throws IOException {
        String name = args[0];
        String network = args[1];
        int batch = Integer.parseInt(args[2]);
        int round = Integer.parseInt(args[3]);
        int threads = Integer.parseInt(args[4]);
        double seconds = Double.parseDouble(args[5]);
        Task task = Task.of(network, batch);
        try (Engine engine = open(name, task, threads)) {
            System.out.println(PREFIX + new Gson().toJson(measure(engine, name, task, round, seconds)));
        }
    }

    private static Engine open(String name, Task task, int threads) {
        if (name.startsWith("pytorch")) {
            return new TorchEngine(task);
        } else if (name.startsWith("tensorflow")) {
            return new TensorFlowEngine(task, threads);
        } else if (name.startsWith(Arguments.CRESCENDO)) {
            return new CrescendoEngine(task, name.substring(Arguments.CRESCENDO.length()), threads);
        }
        for (EngineFactory factory : ServiceLoader.load(EngineFactory.class)) {
            if (factory.name().equals(name)) {
                return factory.open(task, threads);
            }
        }
        throw new IllegalArgumentException("unknown engine '" + name + "'; known are pytorch, pytorch-tuned,"
                + " tensorflow, deeplearning4j, crescendo:DEVICE (for example crescendo:cpu)");
    }

    private static Sample measure(Engine engine, String name, Task task, int round, double seconds) throws IOException {
        int batch = task.batch().samples();
        List<Double> firstLosses = List.of(engine.step(), engine.step(), engine.step());
        double firstLoss = firstLosses.get(0);
        // Four steps and a third of the time for compilers, caches and pools to settle.
        long warmUntil = System.nanoTime() + (long) (seconds / 3 * 1e9);
        do {
            engine.step();
        } while (System.nanoTime() < warmUntil);
        List<Double> millis = new ArrayList<>();
        double lastLoss = firstLoss;
        long until = System.nanoTime() + (long) (seconds * 1e9);
        do {
            long start = System.nanoTime();
            lastLoss = engine.step();
            millis.add((System.nanoTime() - start) / 1e6);
        } while (System.nanoTime() < until || millis.size() < 3);
        if (!(lastLoss < firstLoss)) {
            throw new IllegalStateException(name + " on " + task.network().name() + ", batch " + batch
                    + ": training on one batch must lower its loss, but it went from " + firstLoss + " to " + lastLoss);
        }
        double[] sorted =
                millis.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        double median = median(sorted);
        return new Sample(
                name,
                task.network().name(),
                batch,
                round,
                sorted.length,
                median,
                sorted[0],
                sorted[sorted.length - 1],
                1e3 * batch / median,
                task.flopsPerImage(),
                firstLosses,
                lastLoss,
                readPeakResidentBytes(),
                engine.plannedBytes(),
                engine.description());
    }

    static double median(double... values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int middle = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    /** VmHWM of /proc/self/status, which only Linux has. */
    private static long readPeakResidentBytes() throws IOException {
        Path status = Path.of("/proc/self/status");
        if (!Files.isReadable(status)) {
            return 0;
        }
        for (String line : Files.readAllLines(status)) {
            if (line.startsWith("VmHWM:")) {
                return 1024 * Long.parseLong(line.replaceAll("\\D", ""));
            }
        }
        return 0;
    }
}
