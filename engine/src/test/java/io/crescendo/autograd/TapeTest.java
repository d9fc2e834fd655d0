package io.crescendo.autograd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Mistakes are refused where they are made, with the layer and the shapes in the message. */
class TapeTest {
    private final Tape tape = Tape.training(6, 4).name("block2.conv1");
    private final Value images = tape.images(3, 9, 7);

    private int weights;

    private Value weight(long... dims) {
        return tape.parameter("w" + weights++, Shape.of(dims), Role.WEIGHT, Initializer.constant(0));
    }

    private static void refused(Executable mistake, String... words) {
        String message = String.valueOf(
                assertThrows(IllegalArgumentException.class, mistake).getMessage());
        for (String word : words) {
            assertTrue(message.contains(word), () -> "'" + word + "' is missing in: " + message);
        }
    }

    @Test
    void convolutions() {
        refused(
                () -> tape.conv2d(images, weight(5, 4, 3, 3), null, Window.square(3, 1, 1), 1),
                "block2.conv1",
                "(5, 4, 3, 3)",
                "(6, 3, 9, 7)",
                "(5, 3, 3, 3)");
        refused(
                () -> tape.conv2d(images, weight(4, 1, 3, 3), null, Window.square(3, 1, 1), 2),
                "block2.conv1",
                "groups",
                "3",
                "4",
                "2");
        refused(
                () -> tape.conv2d(images, weight(5, 3, 11, 11), null, Window.square(11, 1, 0), 1),
                "block2.conv1",
                "11x11",
                "(6, 3, 9, 7)");
        refused(
                () -> tape.conv2d(images, weight(5, 3, 3, 3), weight(4), Window.square(3, 1, 1), 1),
                "block2.conv1",
                "bias",
                "(5)",
                "(4)");
        refused(
                () -> tape.conv2d(tape.flatten(images), weight(5, 3, 3, 3), null, Window.square(3, 1, 1), 1),
                "block2.conv1",
                "(N, C, H, W)",
                "(6, 189)");
    }

    @Test
    void denseLayers() {
        refused(() -> tape.dense(images, weight(5, 189), null), "block2.conv1", "(6, 3, 9, 7)", "flatten");
        refused(() -> tape.dense(tape.flatten(images), weight(5, 188), null), "block2.conv1", "(5, 188)", "(6, 189)");
    }

    @Test
    void norms() {
        Value c = weight(3);
        Value mean = tape.statistic("mean", Shape.of(3), Role.RUNNING_MEAN, Initializer.constant(0));
        refused(
                () -> tape.batchNorm(images, weight(4), c, mean, mean, 1e-5, 0.1),
                "block2.conv1",
                "scale",
                "(3)",
                "(4)");
        refused(() -> tape.batchNorm(images, c, c, mean, mean, 0, 0.1), "block2.conv1", "0.0", "0.1");
        refused(() -> tape.batchNorm(images, c, c, mean, mean, 1e-5, 1.5), "block2.conv1", "1.5");
    }

    @Test
    void sumsAndConcatenations() {
        Value pooled = tape.maxPool(images, Window.square(2, 2, 0));
        refused(() -> tape.add(images, pooled), "block2.conv1", "(6, 3, 9, 7)", "(6, 3, 4, 3)");
        refused(() -> tape.concat(List.of(images, pooled)), "block2.conv1", "(6, 3, 9, 7)", "(6, 3, 4, 3)");
        refused(() -> tape.concat(List.of()), "block2.conv1");
    }

    @Test
    void valuesInTheWrongRole() {
        Value parameter = weight(6, 3, 9, 7);
        refused(() -> tape.relu(parameter), "block2.conv1", "(6, 3, 9, 7)", "WEIGHTS");
        refused(() -> tape.add(images, parameter), "block2.conv1", "WEIGHTS");
        Value flat = tape.flatten(images);
        refused(() -> tape.dense(flat, flat, null), "block2.conv1", "weight", "(6, 189)", "ARENA");
        Value c = weight(3);
        refused(() -> tape.batchNorm(images, c, c, c, c, 1e-5, 0.1), "block2.conv1", "running mean", "STATISTICS");
    }

    @Test
    void otherArguments() {
        refused(() -> tape.images(3, 9, 8), "block2.conv1", "(6, 3, 9, 7)", "(6, 3, 9, 8)");
        refused(() -> tape.dropout(images, 1), "block2.conv1", "1.0");
        refused(() -> tape.dropout(images, Double.NaN), "block2.conv1", "NaN");
        refused(() -> tape.softmaxCrossEntropy(tape.flatten(images), tape.labels(), 1), "block2.conv1", "1.0");
        refused(
                () -> tape.softmaxCrossEntropy(tape.flatten(images), images, 0),
                "block2.conv1",
                "labels",
                "(6, 3, 9, 7)");
        refused(() -> Tape.training(0, 4), "0 and 4");
        refused(() -> Window.square(3, 0, 0), "3x3", "0x0");
        refused(() -> Window.square(3, 1, 3), "3x3", "3");
        refused(() -> Window.square(3, 1, -1), "-1");
        weight(2);
        weights = 0;
        refused(() -> weight(2), "block2.conv1.w0", "another name");
    }

    @Test
    void inputsAreTheSameValueAtEveryCall() {
        assertSame(images, tape.images(3, 9, 7));
        assertSame(tape.labels(), tape.labels());
        Value flat = tape.flatten(images);
        assertSame(flat, tape.flatten(flat));
    }

    @Test
    void dropoutsAreNumberedAlikeOnBothKindsOfTape() {
        assertSame(images, tape.dropout(images, 0));
        Value second = tape.keep(tape.dropout(images, 0.5));
        long key = tape.program(java.util.Set.of()).ops().stream()
                .filter(Op.Dropout.class::isInstance)
                .map(op -> ((Op.Dropout) op).key())
                .findFirst()
                .orElseThrow();
        assertEquals(1, key, "a dropout of rate 0 counts too, so that turning one off leaves the others' masks alone");
        assertEquals(images.shape(), second.shape());
    }

    @Test
    void windowsRoundDown() {
        Window window = new Window(3, 2, 2, 3, 1, 0, 0, 1);
        assertEquals((9 + 1 - 3) / 2 + 1, window.outputHeight(9));
        assertEquals((7 + 1 - 2) / 3 + 1, window.outputWidth(7));
        assertEquals(Shape.of(6, 3, 4, 3), tape.averagePool(images, window).shape());
        assertEquals(Shape.of(6, 3, 1, 1), tape.globalAveragePool(images).shape());
    }
}
