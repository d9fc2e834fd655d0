package io.crescendo.bench.gpu;

import com.fasterxml.jackson.core.JsonProcessingException;
import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.Feed;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.ResidentImages;
import io.crescendo.bench.FixedBatch;
import io.crescendo.bench.TrainingStep;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import io.crescendo.tensor.Parameter;
import io.crescendo.train.NoiseImages;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * Crescendo's side of a measurement: one training step on one device, timed on request.
 *
 * <p>Reads commands from standard input and answers in JSON, a line each, exactly as {@code bench/peers/torch_step.py}
 * does: that file says which.
 */
@Command(name = "step", description = "One training step, measured on request.")
final class StepCommand implements Callable<Integer> {
    /** What a line with an answer starts with. */
    static final String ANSWER = "RESULT ";

    private static final int WARM_UP = 11;
    private static final int LEAST_BLOCKS = 3;

    @Mixin
    private StepOptions options = new StepOptions();

    @Option(names = "--batch", defaultValue = "128", description = "Samples per update, at once on the device.")
    private int batch;

    @Option(names = "--losses", description = "Write weights and a batch there and answer three losses, no more.")
    private @Nullable Path losses;

    @Override
    public Integer call() throws IOException {
        Network network = options.network();
        FixedBatch samples = FixedBatch.noise(network, batch, 7);
        try (Backend backend = options.open()) {
            if (losses != null) {
                writeTask(losses, backend, network, samples);
            }
            long start = System.nanoTime();
            // As PyTorch's side has it, the batch lies on the device; where it does, a step needs no room for feeds.
            Optional<ResidentImages> resident =
                    losses == null ? backend.residentImages(new NoiseImages(network, batch, 7)) : Optional.empty();
            try (TrainingStep step =
                    new TrainingStep(backend, network, batch, 0, Optimizer.momentum(TrainingStep.WEIGHT_DECAY))) {
                Feed feed = samples.feed();
                if (losses != null) {
                    answer(Map.of("losses", List.of(step.run(feed), step.run(feed), step.run(feed))));
                } else if (resident.isPresent()) {
                    ResidentImages images = resident.get();
                    serve(backend, network, step, () -> step.enqueue(images), "batch on the device", start);
                } else {
                    serve(backend, network, step, () -> step.enqueue(feed), "batch on the host", start);
                }
            } finally {
                resident.ifPresent(ResidentImages::close);
            }
        }
        return 0;
    }

    private void serve(
            Backend backend, Network network, TrainingStep step, Runnable enqueue, String batchIs, long start)
            throws IOException {
        enqueue.run();
        double first = step.await();
        double last = first;
        for (int i = 0; i < WARM_UP; i++) {
            enqueue.run();
            last = step.await();
        }
        if (!(last < first)) {
            throw new IllegalStateException("updates on one batch must lower its loss, but it went from " + first
                    + " to " + last + "; a wrong step is not worth timing");
        }
        answer(Map.of(
                "ready",
                true,
                "parameters",
                network.parameterCount(),
                "prepareSeconds",
                (System.nanoTime() - start) * 1e-9,
                "description",
                backend.description() + ", " + batchIs));
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.strip().split(" ", -1);
            switch (words[0]) {
                case "measure" -> answer(measure(step, enqueue, Double.parseDouble(words[1])));
                case "memory" ->
                    answer(Map.of(
                            "allocatedBytes",
                            backend.workspace().peakBytes()
                                    + CapacityStepCommand.outsideArena(network, batch, options.precision()),
                            "reservedBytes",
                            0));
                case "quit" -> {
                    return;
                }
                default -> throw new IllegalArgumentException("unknown command '" + line + "'");
            }
        }
    }

    private static Map<String, Object> measure(TrainingStep step, Runnable enqueue, double seconds) {
        // Blocks of about a tenth of the time: long against one wait, and enough of them for a median.
        int steps = (int) Math.max(1, seconds / 10 / timed(step, enqueue, 2).step);
        List<Double> millis = new ArrayList<>();
        List<Double> host = new ArrayList<>();
        List<Double> busy = new ArrayList<>();
        long until = System.nanoTime() + (long) (seconds * 1e9);
        while (System.nanoTime() < until || millis.size() < LEAST_BLOCKS) {
            Block block = timed(step, enqueue, steps);
            millis.add(1e3 * block.step);
            host.add(1e6 * block.first);
            busy.add(1e6 * block.busy);
        }
        return Map.of("stepMillis", millis, "hostMicros", host, "hostBusyMicros", busy, "stepsPerBlock", steps);
    }

    /**
     * Seconds of a block that starts and ends with an idle device. Where the batch is on the host, issuing includes its
     * copy.
     *
     * @param step of a step, the device included
     * @param first of the host for issuing the first step, when there is nothing to wait for
     * @param busy of the host for issuing one of the next steps, which the device is too busy to begin; the least of
     *     them, for a full queue makes the host wait
     */
    private record Block(double step, double first, double busy) {}

    private static Block timed(TrainingStep step, Runnable enqueue, int steps) {
        long start = System.nanoTime();
        enqueue.run();
        long issued = System.nanoTime();
        long last = issued;
        long least = Long.MAX_VALUE;
        for (int i = 1; i < steps; i++) {
            enqueue.run();
            long now = System.nanoTime();
            least = Math.min(least, now - last);
            last = now;
        }
        double loss = step.await();
        long end = System.nanoTime();
        if (!Double.isFinite(loss)) {
            throw new IllegalStateException("the loss became " + loss + " while it was timed");
        }
        return new Block(
                (end - start) * 1e-9 / steps, (issued - start) * 1e-9, (steps > 1 ? least : issued - start) * 1e-9);
    }

    /** What the peer needs to compute the same: {@code index.json}, {@code weights.f32} without gaps, the batch. */
    private void writeTask(Path folder, Backend backend, Network network, FixedBatch samples) throws IOException {
        Files.createDirectories(folder);
        Program program = network.trainingProgram(batch, batch, 0, Set.of());
        List<Map<String, Object>> index = new ArrayList<>();
        FloatBuffer packed = floats(program.parameters().count());
        try (ModelMemory model = ModelMemory.allocate(backend, program, TrainingStep.WEIGHTS_SEED)) {
            for (Parameter parameter : program.parameters().parameters()) {
                float[] values = new float[Math.toIntExact(parameter.shape().elements())];
                model.weights().read(parameter.offset(), values);
                packed.put(values);
                List<Long> shape = new ArrayList<>();
                for (int i = 0; i < parameter.shape().rank(); i++) {
                    shape.add(parameter.shape().dim(i));
                }
                index.add(Map.of("name", parameter.name(), "shape", shape, "elements", values.length));
            }
        }
        Json.write(folder.resolve("index.json"), Map.of("batch", batch, "parameters", index));
        write(folder.resolve("weights.f32"), packed.rewind());
        write(folder.resolve("images.f32"), samples.images().duplicate().rewind());
        ByteBuffer labels = ByteBuffer.allocate(4 * batch).order(ByteOrder.nativeOrder());
        labels.asIntBuffer().put(samples.labels().duplicate().rewind());
        Files.write(folder.resolve("labels.i32"), labels.array());
    }

    private static FloatBuffer floats(long count) {
        return FloatBuffer.allocate(Math.toIntExact(count));
    }

    private static void write(Path file, FloatBuffer values) throws IOException {
        ByteBuffer bytes =
                ByteBuffer.allocate(Math.multiplyExact(4, values.remaining())).order(ByteOrder.nativeOrder());
        bytes.asFloatBuffer().put(values);
        Files.write(file, bytes.array());
    }

    /** A line that the process which started this one waits for. */
    static void answer(Map<String, ?> values) throws JsonProcessingException {
        System.out.println(ANSWER + Json.MAPPER.writeValueAsString(values));
        System.out.flush();
    }
}
