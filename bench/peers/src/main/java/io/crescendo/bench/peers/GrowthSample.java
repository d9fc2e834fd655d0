package io.crescendo.bench.peers;

import com.google.gson.Gson;
import io.crescendo.bench.FixedBatch;
import io.crescendo.bench.GrowingStep;
import io.crescendo.bench.TrainingStep;
import io.crescendo.data.Batch;
import io.crescendo.data.BatchStream;
import io.crescendo.nn.Network;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * One engine that trains one network while the batch grows from stage to stage, in a JVM of its own.
 *
 * @param engine name in the table
 * @param network what {@link io.crescendo.models.Models} knows
 * @param round which of the interleaved rounds
 * @param stages one per batch, in order
 * @param description engine, versions, choices
 */
record GrowthSample(String engine, String network, int round, List<Stage> stages, String description) {
    /** Before a growth: until the JVM has compiled what runs, and, as in a phase of training, what comes is ready. */
    private static final int UPDATES = 60;

    private static final int UPDATES_OF_LAST = 10;

    /** Updates whose median is the time of a steady one. */
    private static final int STEADY = 5;

    /**
     * The updates at one batch.
     *
     * @param prepared whether the engine had prepared the batch when it came; false where an engine does not do this
     * @param millis of every update, in order
     * @param firstLoss before the first of them; the same in every engine
     * @param lastLoss before the last of them
     */
    record Stage(int batch, boolean prepared, List<Double> millis, double firstLoss, double lastLoss) {
        /** Of the first update, with all that it takes to get ready for it. */
        double firstMillis() {
            return millis.get(0);
        }

        /** The median of the last updates. */
        double steadyMillis() {
            return Sample.median(millis.subList(millis.size() - STEADY, millis.size()).stream()
                    .mapToDouble(Double::doubleValue)
                    .toArray());
        }
    }

    /** Engine, network, batches with colons between them, round, threads; prints one line of JSON. */
    public static void main(String[] args) {
        String name = args[0];
        List<Integer> ladder =
                Arrays.stream(args[2].split(":")).map(Integer::valueOf).toList();
        int round = Integer.parseInt(args[3]);
        int threads = Integer.parseInt(args[4]);
        Network network = TrainingStep.network(args[1]);
        List<FixedBatch> batches = batches(network, ladder);
        try (GrowingEngine engine = open(name, Task.of(network, batches.get(0)), threads, ladder)) {
            batches.forEach(engine::load);
            List<Stage> stages = new ArrayList<>();
            for (int i = 0; i < ladder.size(); i++) {
                stages.add(stage(engine, ladder.get(i), i + 1 < ladder.size() ? ladder.get(i + 1) : 0));
            }
            System.out.println(Sample.PREFIX
                    + new Gson().toJson(new GrowthSample(name, args[1], round, stages, engine.description())));
        }
    }

    /** The engines whose batch can grow: those that take another batch in the same process with the same weights. */
    private static GrowingEngine open(String name, Task task, int threads, List<Integer> ladder) {
        if (name.startsWith("pytorch")) {
            return new TorchEngine(task);
        } else if (name.equals("tensorflow")) {
            return new TensorFlowEngine(task, threads, true);
        } else if (name.startsWith(Arguments.CRESCENDO)) {
            return new CrescendoGrowth(task, name.substring(Arguments.CRESCENDO.length()), threads, ladder);
        }
        throw new IllegalArgumentException("'" + name + "' does not grow; known are " + Arguments.CRESCENDO
                + "DEVICE, " + Arguments.CRESCENDO + "DEVICE" + CrescendoGrowth.UNANNOUNCED
                + ", pytorch, pytorch-tuned, tensorflow");
    }

    private static Stage stage(GrowingEngine engine, int batch, int grown) {
        boolean prepared = engine instanceof CrescendoGrowth ours && ours.isPrepared(batch);
        int updates = grown > 0 ? UPDATES : UPDATES_OF_LAST;
        List<Double> millis = new ArrayList<>();
        double firstLoss = 0;
        double lastLoss = 0;
        for (int i = 0; i < updates; i++) {
            long start = System.nanoTime();
            lastLoss = engine.step(batch, i + 1 < updates ? batch : grown);
            millis.add((System.nanoTime() - start) / 1e6);
            firstLoss = i == 0 ? lastLoss : firstLoss;
        }
        if (!(lastLoss < firstLoss)) {
            throw new IllegalStateException("training at batch " + batch + " must lower the loss, but it went from "
                    + firstLoss + " to " + lastLoss);
        }
        return new Stage(batch, prepared, millis, firstLoss, lastLoss);
    }

    private static List<FixedBatch> batches(Network network, List<Integer> ladder) {
        try (BatchStream stream = GrowingStep.stream(network, ladder.get(ladder.size() - 1))) {
            return ladder.stream().map(size -> copy(stream.next(0, 0, size))).toList();
        }
    }

    /** The stream fills its buffers again, so a batch that is to last is copied. */
    private static FixedBatch copy(Batch batch) {
        FloatBuffer images = direct(batch.images().limit()).asFloatBuffer();
        IntBuffer labels = direct(batch.size()).asIntBuffer();
        images.put(0, batch.images(), 0, images.capacity());
        labels.put(0, batch.labels(), 0, labels.capacity());
        return new FixedBatch(images, labels, batch.size());
    }

    private static ByteBuffer direct(int numbers) {
        return ByteBuffer.allocateDirect(Float.BYTES * numbers).order(ByteOrder.nativeOrder());
    }
}
