package io.crescendo.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.backend.Backend;
import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.ForwardingBackend;
import io.crescendo.backend.ImageSource;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.ResidentImages;
import io.crescendo.backend.StepMetrics;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.data.BatchStream;
import io.crescendo.data.Dataset;
import io.crescendo.data.ImageShape;
import io.crescendo.data.Normalization;
import io.crescendo.data.RandomDataset;
import io.crescendo.metrics.EvaluationRecord;
import io.crescendo.nn.Dense;
import io.crescendo.nn.Layer;
import io.crescendo.nn.Network;
import io.crescendo.nn.Relu;
import io.crescendo.reference.ReferenceBackend;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** Evaluation fed by the host, and from images that lie on the device. */
class EvaluatorTest {
    private static final Dataset DATA = new RandomDataset(31, 3, new ImageShape(2, 6, 5), 11);

    /** A device that keeps images itself. */
    private static final class Keeping extends ForwardingBackend {
        private final List<Integer> sizes = new ArrayList<>();
        private boolean closed;

        @Override
        public Optional<ResidentImages> residentImages(ImageSource source) {
            return Optional.of(new ResidentImages() {
                @Override
                public void run(Executable executable, long epoch, long position, int samples) {
                    sizes.add(samples);
                    executable.run(feed(source, epoch, position, samples));
                }

                @Override
                public StepMetrics.Reading update(
                        Executable executable,
                        long epoch,
                        long position,
                        int samples,
                        UpdateKernel update,
                        UpdateScalars scalars) {
                    throw new AssertionError("an evaluation updates nothing");
                }

                @Override
                public void close() {
                    closed = true;
                }
            });
        }

        private static Feed feed(ImageSource source, long epoch, long position, int samples) {
            int plane = source.height() * source.width();
            byte[] image = new byte[source.channels() * plane];
            FloatBuffer images = bytes(samples * image.length).asFloatBuffer();
            IntBuffer labels = bytes(samples).asIntBuffer();
            for (int i = 0; i < samples; i++) {
                int sample = source.order(epoch)[(int) position + i];
                source.copyImage(sample, image, 0);
                labels.put(i, source.label(sample));
                for (int pixel = 0; pixel < image.length; pixel++) {
                    int level = 256 * (pixel / plane) + (image[pixel] & 255);
                    images.put(i * image.length + pixel, source.table()[level]);
                }
            }
            return new Feed(images, labels, samples, position, 0);
        }

        private static ByteBuffer bytes(int elements) {
            return ByteBuffer.allocateDirect(4 * elements).order(ByteOrder.nativeOrder());
        }
    }

    private static Evaluator evaluator(Backend backend, StepPlanner planner, ModelMemory model) {
        return new Evaluator(
                backend, planner, model, BatchStream.evaluation(DATA, Normalization.of(DATA)), DATA.size(), 12);
    }

    private static EvaluationRecord evaluate(Backend backend) {
        Network network = new Network("dense", 2, 6, 5, 3, new Dense("logits", 3));
        try (backend;
                StepPlanner planner = new StepPlanner(backend, network, 1, 0, Long.MAX_VALUE);
                ModelMemory model =
                        ModelMemory.allocate(backend, network.inferenceProgram(1, 0, backend.fusions()), 3);
                Evaluator evaluator = evaluator(backend, planner, model)) {
            EvaluationRecord first = evaluator.evaluate(5, 1, Long.MAX_VALUE);
            assertEquals(first, evaluator.evaluate(5, 1, Long.MAX_VALUE));
            return first;
        }
    }

    @Test
    void imagesOnTheDeviceGiveWhatTheHostWouldFeed() {
        EvaluationRecord fed = evaluate(new ReferenceBackend());
        Keeping keeping = new Keeping();
        assertEquals(fed, evaluate(keeping));
        assertEquals(List.of(12, 12, 7, 12, 12, 7), keeping.sizes);
        assertTrue(keeping.closed, "the device's memory is given back");
        assertEquals(DATA.size(), fed.samples());
    }

    @Test
    void evaluationKeepsWithinWhatTrainingHolds() {
        Network network = new Network("dense", 2, 6, 5, 3, new Dense("logits", 3));
        Dataset data = new RandomDataset(200, 3, new ImageShape(2, 6, 5), 11);
        Keeping backend = new Keeping();
        try (backend;
                StepPlanner planner = new StepPlanner(backend, network, 1, 0, Long.MAX_VALUE);
                ModelMemory model =
                        ModelMemory.allocate(backend, network.inferenceProgram(1, 0, backend.fusions()), 3);
                Evaluator evaluator = new Evaluator(
                        backend,
                        planner,
                        model,
                        BatchStream.evaluation(data, Normalization.of(data)),
                        data.size(),
                        Evaluator.BATCH)) {
            EvaluationRecord few = evaluator.evaluate(5, 1, 1);
            assertEquals(List.of(32, 32, 32, 32, 32, 32, 8), backend.sizes);
            backend.sizes.clear();
            long trainingBytes = planner.evaluationBytes(50, Long.MAX_VALUE);
            EvaluationRecord more = evaluator.evaluate(5, 1, trainingBytes);
            assertEquals(List.of(50, 50, 50, 50), backend.sizes);
            assertEquals(trainingBytes, backend.workspace().capacityBytes());
            assertEquals(few.loss(), more.loss(), 1e-12);
            backend.sizes.clear();
            evaluator.evaluate(5, 1, Long.MAX_VALUE);
            assertEquals(List.of(128, 72), backend.sizes);
        }
    }

    @Test
    void aSmallerBudgetHoldsForEvaluationToo() {
        Network network = new Network(
                "dense", 2, 6, 5, 3, Layer.sequence(new Dense("hidden", 40), new Relu(), new Dense("logits", 3)));
        Keeping backend = new Keeping();
        try (backend;
                StepPlanner planner = new StepPlanner(backend, network, 1, 0, Long.MAX_VALUE);
                ModelMemory model =
                        ModelMemory.allocate(backend, network.inferenceProgram(1, 0, backend.fusions()), 3);
                Steps steps = new Steps(backend, model, planner);
                Evaluator evaluator = evaluator(backend, planner, model)) {
            EvaluationRecord whole = evaluator.evaluate(5, 1, Long.MAX_VALUE);
            long before = planner.budgetBytes();
            long budget = planner.evaluationBytes(5, Long.MAX_VALUE);
            assertTrue(budget < planner.evaluationBytes(12, Long.MAX_VALUE));
            steps.budgetBytes(budget);
            backend.sizes.clear();
            EvaluationRecord pieces = evaluator.evaluate(5, 1, Long.MAX_VALUE);
            int largest = backend.sizes.stream().mapToInt(size -> size).max().orElseThrow();
            assertTrue(largest >= 5 && largest < 12, backend.sizes.toString());
            assertTrue(
                    backend.workspace().capacityBytes() <= budget,
                    backend.workspace().capacityBytes() + " of " + budget);
            assertEquals(whole.loss(), pieces.loss(), 1e-12);
            assertEquals(whole.accuracy(), pieces.accuracy());
            steps.budgetBytes(before);
            backend.sizes.clear();
            assertEquals(whole, evaluator.evaluate(5, 1, Long.MAX_VALUE));
            assertEquals(List.of(12, 12, 7), backend.sizes);
        }
    }
}
