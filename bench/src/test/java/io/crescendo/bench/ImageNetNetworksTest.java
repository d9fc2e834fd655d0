package io.crescendo.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.Executable;
import io.crescendo.backend.Feed;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.memory.WorkspacePlanner;
import io.crescendo.models.InceptionResNetV2;
import io.crescendo.models.ResNet50;
import io.crescendo.nn.Network;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.Role;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * The networks for ImageNet on oneDNN, at sizes that the reference backend can follow.
 *
 * <p>Batches are as large as they are because the last norms see one position per sample: with two or three samples a
 * statistic hangs on single roundings, and no two ways to compute it agree.
 */
class ImageNetNetworksTest {
    private static final long WEIGHTS_SEED = 7;
    private static final int CLASSES = 10;

    @BeforeEach
    void oneDnnIsHere() {
        assumeTrue(
                Backends.providers().stream()
                        .anyMatch(provider -> provider.name().equals("cpu")
                                && provider.availability().available()),
                "the CPU backend cannot run on this machine");
    }

    @Test
    void resNet50HasTheGradientsOfTheReference() {
        Network network = ResNet50.of(3, 32, 32, CLASSES);
        ReferenceCheck.requireClose(
                network.name(), "fp32", gradients("reference", network, 4), gradients("cpu", network, 4));
    }

    private static ReferenceCheck.Result gradients(String device, Network network, int batch) {
        try (Backend backend = Backends.open(device, BackendOptions.DEFAULT);
                Bound bound = Bound.training(backend, network, batch)) {
            double loss = bound.loss();
            return new ReferenceCheck.Result(
                    bound.program.parameters(), ReferenceCheck.read(bound.model.gradients()), loss);
        }
    }

    /** Evaluation has no norm that hangs on roundings, so that one image is enough. */
    @Test
    void inceptionResNetV2EvaluatesLikeTheReference() {
        Network network = InceptionResNetV2.of(3, 75, 75, CLASSES);
        double expected = evaluated("reference", network);
        // Some 250 layers deep, each with roundings of 6e-8 that the next ones hand on.
        assertEquals(expected, evaluated("cpu", network), 1e-4 * expected);
    }

    private static double evaluated(String device, Network network) {
        try (Backend backend = Backends.open(device, BackendOptions.DEFAULT);
                Bound bound = Bound.inference(backend, network, 1)) {
            return bound.loss();
        }
    }

    /**
     * A step against the gradient g changes the loss by its length times |g|. Central differences of 1 % of the loss
     * leave less than 1 % of error, from curvature and from ReLUs that switch; a forgotten or doubled branch leaves
     * more than 5 %.
     */
    @Test
    void gradientsAreTheSlopeOfTheLoss() {
        for (Network network : List.of(ResNet50.of(3, 64, 64, CLASSES), InceptionResNetV2.of(3, 107, 107, CLASSES))) {
            try (Backend backend = Backends.open("cpu", BackendOptions.DEFAULT);
                    Bound bound = Bound.training(backend, network, 4)) {
                double loss = bound.loss();
                float[] gradients = ReferenceCheck.read(bound.model.gradients());
                float[] weights = ReferenceCheck.read(bound.model.weights());
                double norm = norm(gradients);
                double step = 0.01 * loss / (2 * norm);
                double slope = (bound.lossAt(moved(weights, gradients, step / norm))
                                - bound.lossAt(moved(weights, gradients, -step / norm)))
                        / (2 * step);
                assertEquals(1, slope / norm, 0.02, network.name());
            }
        }
    }

    private static float[] moved(float[] weights, float[] gradients, double factor) {
        float[] moved = weights.clone();
        for (int i = 0; i < moved.length; i++) {
            moved[i] += (float) (factor * gradients[i]);
        }
        return moved;
    }

    private static double norm(float[] values) {
        double sum = 0;
        for (float value : values) {
            sum += (double) value * value;
        }
        return Math.sqrt(sum);
    }

    /** A program of a network with one fixed batch and the same weights on every device. */
    private record Bound(Backend backend, Program program, ModelMemory model, Executable executable, Feed feed)
            implements AutoCloseable {
        static Bound training(Backend backend, Network network, int batch) {
            return of(backend, network, batch, network.trainingProgram(batch, batch, 0, backend.fusions()));
        }

        static Bound inference(Backend backend, Network network, int batch) {
            return of(backend, network, batch, network.inferenceProgram(batch, 0, backend.fusions()));
        }

        private static Bound of(Backend backend, Network network, int batch, Program program) {
            ModelMemory model = ModelMemory.allocate(backend, program, WEIGHTS_SEED);
            spreadScales(program, model);
            try (LoweredProgram lowered = backend.lower(program)) {
                Executable executable = lowered.bind(WorkspacePlanner.plan(program, lowered.requirements()), model);
                return new Bound(
                        backend,
                        program,
                        model,
                        executable,
                        FixedBatch.noise(network, batch, 11).feed());
            }
        }

        /** Scales away from one, and from the zeros that would hide what lies in front of them. */
        private static void spreadScales(Program program, ModelMemory model) {
            for (Parameter parameter : program.parameters().parameters()) {
                if (parameter.role() == Role.NORM_SCALE) {
                    SplittableRandom random = new SplittableRandom(parameter.offset());
                    float[] scales = new float[Math.toIntExact(parameter.shape().elements())];
                    double size = parameter.name().contains("conv3") ? 0.2 : 1;
                    for (int i = 0; i < scales.length; i++) {
                        scales[i] = (float) (size * random.nextDouble(0.5, 1.5));
                    }
                    model.weights().write(parameter.offset(), scales);
                }
            }
        }

        double lossAt(float[] weights) {
            model.weights().write(0, weights);
            return loss();
        }

        double loss() {
            executable.run(feed);
            double loss = backend.metrics().read().loss();
            backend.metrics().clear();
            return loss;
        }

        @Override
        public void close() {
            executable.close();
            model.close();
        }
    }
}
