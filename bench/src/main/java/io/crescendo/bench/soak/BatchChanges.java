package io.crescendo.bench.soak;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.bench.Device;
import io.crescendo.bench.TrainingStep;
import io.crescendo.data.Augmentation;
import io.crescendo.data.BatchStream;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.Normalization;
import io.crescendo.data.RandomDataset;
import io.crescendo.nn.Network;
import io.crescendo.optim.Optimizer;
import io.crescendo.train.Step;
import io.crescendo.train.Steps;
import java.nio.ByteBuffer;
import java.util.zip.CRC32;

/**
 * A model whose batch changes as nobody announced.
 *
 * <p>Each change starts from the same weights and makes three updates, so that its result depends on the batch alone.
 */
final class BatchChanges implements AutoCloseable {
    private static final int UPDATES = 3;
    private static final long SEED = 7;

    /** Higher than the measured steps' rate, so that three updates move the weights by more than their rounding. */
    private static final double LEARNING_RATE = 0.05;

    private final Backend backend;
    private final ModelMemory model;
    private final UpdateKernel update;
    private final Steps steps;
    private final BatchStream stream;
    private final float[] firstWeights;
    private final float[] firstStatistics;

    /**
     * What one change gave.
     *
     * @param microBatches how many the batch was cut into
     * @param checksum of the weights and statistics after its updates, all bits
     * @param switchNanos until the batch could run
     * @param updateNanos of one update; the first, which touches new memory, is not timed
     * @param loss mean over the samples of the last update
     */
    record Outcome(int microBatches, long checksum, long switchNanos, long updateNanos, double loss) {}

    BatchChanges(SoakOptions options) {
        Network network = TrainingStep.network(options.network());
        Dataset data = new RandomDataset(
                Math.max(2, options.largest()),
                network.classes(),
                new ImageShape(network.channels(), network.height(), network.width()),
                SEED);
        backend = Device.open(options.device(), options.threads(), "fp32");
        Program layout = network.inferenceProgram(1, 0, backend.fusions());
        model = ModelMemory.allocate(backend, layout, TrainingStep.WEIGHTS_SEED);
        Optimizer optimizer = Optimizer.momentum(TrainingStep.WEIGHT_DECAY);
        update = backend.prepareUpdate(optimizer.rule(), model, layout.parameters(), optimizer.decay());
        steps = new Steps(backend, network, model, options.ghostBatch(), 0, options.budgetKiB() << 10);
        stream = new BatchStream(data, Normalization.of(data), Augmentation.NONE, SEED);
        firstWeights = read(model.weights());
        firstStatistics = read(model.statistics());
    }

    /** Changes the batch. */
    Outcome to(int batch) {
        model.weights().write(0, firstWeights);
        model.statistics().write(0, firstStatistics);
        model.gradients().clear();
        update.state().forEach(DeviceMemory::clear);
        long asked = System.nanoTime();
        Step step = steps.forBatch(batch);
        long ready = System.nanoTime();
        long started = 0;
        double loss = 0;
        for (int i = 1; i <= UPDATES; i++) {
            step.run(stream, 0, 0, SEED, () -> {});
            loss = backend.metrics().read().loss() / batch;
            backend.metrics().clear();
            update.apply(
                    new UpdateScalars(LEARNING_RATE, TrainingStep.MOMENTUM, 1.0 / batch, TrainingStep.WEIGHT_DECAY, i));
            if (i == 1) {
                started = System.nanoTime();
            }
        }
        long nanos = (System.nanoTime() - started) / (UPDATES - 1);
        CRC32 checksum = new CRC32();
        add(checksum, read(model.weights()));
        add(checksum, read(model.statistics()));
        return new Outcome(step.microBatches(), checksum.getValue(), ready - asked, nanos, loss);
    }

    /** What the device says of itself. */
    String device() {
        return backend.description();
    }

    /** Programs kept at the moment. */
    int programs() {
        return steps.boundMicroBatches().size();
    }

    /** Bytes of the arena at the moment. */
    long workspaceBytes() {
        return backend.workspace().capacityBytes();
    }

    private static float[] read(DeviceMemory memory) {
        float[] values = new float[Math.toIntExact(memory.elements())];
        memory.read(0, values);
        return values;
    }

    private static void add(CRC32 checksum, float[] values) {
        ByteBuffer bytes = ByteBuffer.allocate(values.length * Float.BYTES);
        bytes.asFloatBuffer().put(values);
        checksum.update(bytes);
    }

    @Override
    public void close() {
        stream.close();
        steps.close();
        update.close();
        model.close();
        backend.close();
    }
}
