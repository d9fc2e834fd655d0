package io.crescendo.nn;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import java.util.Set;

/**
 * An image classifier: a layer from images (N, channels, height, width) to logits (N, classes).
 *
 * @param name for people and files
 * @param channels of the images
 * @param height rows of the images
 * @param width columns of the images
 * @param classes number of logits
 * @param body everything between images and logits
 */
public record Network(String name, int channels, int height, int width, int classes, Layer body) {
    /**
     * Traces forward, loss and backward.
     *
     * @param microBatch samples per run
     * @param ghostBatch samples per batch-norm statistic
     * @param labelSmoothing of the softmax cross-entropy
     * @param fusions what the backend can fuse
     * @throws IllegalArgumentException if shapes do not fit, or the body does not end in (N, classes)
     */
    public Program trainingProgram(int microBatch, int ghostBatch, double labelSmoothing, Set<Fusion> fusions) {
        return trace(Tape.training(microBatch, ghostBatch), labelSmoothing, fusions);
    }

    /** Traces forward and loss with running statistics; the logits are kept readable. */
    public Program inferenceProgram(int microBatch, double labelSmoothing, Set<Fusion> fusions) {
        return trace(Tape.inference(microBatch), labelSmoothing, fusions);
    }

    /** How many numbers the network learns. */
    public long parameterCount() {
        return inferenceProgram(1, 0, Set.of()).parameters().count();
    }

    private Program trace(Tape tape, double labelSmoothing, Set<Fusion> fusions) {
        Value logits = body.apply(tape, tape.images(channels, height, width));
        if (logits.shape().rank() != 2 || logits.shape().dim(1) != classes) {
            throw new IllegalArgumentException("network '" + name + "' ends in " + logits.shape() + ", but " + classes
                    + " classes need (N, " + classes + ")");
        }
        if (tape.mode() == io.crescendo.autograd.Mode.INFERENCE) {
            tape.keep(logits);
        }
        tape.name("loss").softmaxCrossEntropy(logits, tape.labels(), labelSmoothing);
        return tape.program(fusions);
    }
}
