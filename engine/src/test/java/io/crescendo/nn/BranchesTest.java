package io.crescendo.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Tape;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.Shape;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class BranchesTest {
    private static Layer conv(String name, int outputs, int stride) {
        return new Conv2d(name, outputs, Window.square(1, stride, 0));
    }

    @Test
    void branchesAreJoinedInTheirOrder() {
        Tape tape = Tape.inference(3);
        Layer branches = Branches.of(conv("wide", 5, 1), conv("narrow", 2, 1).then(new Scale(0.25)));
        Value joined = tape.keep(branches.apply(tape, tape.images(4, 6, 7)));
        assertEquals(Shape.of(3, 7, 6, 7), joined.shape());
        List<Op> ops = tape.program(Set.of()).ops();
        Op.Concat concat = (Op.Concat) ops.get(ops.size() - 1);
        assertEquals(
                List.of(5L, 2L),
                concat.inputs().stream().map(v -> v.shape().dim(1)).toList());
        assertEquals(
                List.of(0.25),
                ops.stream()
                        .filter(Op.Scale.class::isInstance)
                        .map(op -> ((Op.Scale) op).factor())
                        .toList());
    }

    @Test
    void branchesOfDifferentExtentAreRefused() {
        Tape tape = Tape.inference(3);
        Layer branches = Branches.of(conv("fine", 5, 1), conv("coarse", 2, 2));
        String message = String.valueOf(assertThrows(
                        IllegalArgumentException.class, () -> branches.apply(tape, tape.images(4, 6, 7)))
                .getMessage());
        assertTrue(message.contains("branches") && message.contains("(3, 2, 3, 4)"), message);
        assertThrows(IllegalArgumentException.class, Branches::of);
    }

    @Test
    void normsMayStartAtZero() {
        Tape tape = Tape.inference(1);
        tape.keep(new BatchNorm("norm").startingAtZero().apply(tape, tape.images(3, 2, 2)));
        Parameter scale = tape.program(Set.of()).parameters().parameters().get(0);
        float[] values = {9, 9, 9};
        scale.initializer().initialize(scale.shape(), 1, values);
        assertEquals("norm.scale", scale.name());
        assertEquals(0f, values[0] + values[1] + values[2]);
    }
}
