package io.crescendo.autograd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.backend.Layers;
import io.crescendo.backend.NetworkCase;
import io.crescendo.tensor.Initializer;
import io.crescendo.tensor.Role;
import io.crescendo.tensor.Shape;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** What the passes make of recorded operations. */
class ProgramTest {
    private static final Set<Fusion> ALL = EnumSet.allOf(Fusion.class);
    private static final Set<Fusion> NONE = EnumSet.noneOf(Fusion.class);

    private interface Body {
        Value record(Layers layers, Value images);
    }

    /** The operations' names, in order, for a body between images (4, 3, 8, 8) and a loss. */
    private static List<String> names(Tape tape, Set<Fusion> fusions, Body body) {
        return program(tape, fusions, body).ops().stream().map(Op::name).toList();
    }

    private static Program program(Tape tape, Set<Fusion> fusions, Body body) {
        Layers layers = new Layers(tape);
        Value features = body.record(layers, tape.images(3, 8, 8));
        tape.softmaxCrossEntropy(layers.dense(features, 5, false), tape.labels(), 0);
        return tape.program(fusions);
    }

    private static int count(List<String> names, String name) {
        return (int) names.stream().filter(name::equals).count();
    }

    @Test
    void everyFusionMakesOneOperationOfTwo() {
        Body convRelu = (l, x) -> l.tape().relu(l.conv(x, 3, 3, 1));
        Body convAdd = (l, x) -> l.tape().add(x, l.conv(x, 3, 3, 1));
        Body normRelu = (l, x) -> l.tape().relu(l.norm(x));
        Body normAdd = (l, x) -> l.tape().add(l.norm(x), x);
        Body addRelu = (l, x) -> l.tape().relu(l.tape().add(l.tape().scale(x, 2), x));
        for (Tape tape : List.of(Tape.training(4, 2), Tape.inference(4))) {
            boolean training = tape.mode() == Mode.TRAINING;
            assertFused(training, Fusion.CONV_RELU, "Relu", convRelu);
            assertFused(training, Fusion.CONV_ADD, "Add", convAdd);
            assertFused(training, Fusion.NORM_RELU, "Relu", normRelu);
            assertFused(training, Fusion.NORM_ADD, "Add", normAdd);
            assertFused(training, Fusion.ADD_RELU, "Relu", addRelu);
        }
    }

    @Test
    void whatElseFlowsIntoANormIsAddedByItsGradient() {
        Body block = (l, x) -> {
            Value y = l.conv(x, 3, 3, 1);
            return l.tape().add(y, l.conv(l.norm(y), 3, 3, 1));
        };
        List<String> apart = names(Tape.training(4, 2), EnumSet.noneOf(Fusion.class), block);
        assertEquals(2, count(apart, "Add"), "one forward, one of gradients: " + apart);
        List<String> fused = names(Tape.training(4, 2), EnumSet.of(Fusion.NORM_GRADIENT_ADD), block);
        assertEquals(1, count(fused, "Add"), fused.toString());
    }

    @Test
    void whatElseFlowsIntoAConvolutionIsAddedByItsGradient() {
        Body block = (l, x) -> {
            Value y = l.norm(l.conv(x, 3, 3, 1));
            return l.tape().concat(List.of(l.conv(y, 3, 3, 1), l.conv(y, 3, 1, 1)));
        };
        List<String> apart = names(Tape.training(4, 2), EnumSet.noneOf(Fusion.class), block);
        assertEquals(1, count(apart, "Add"), "of gradients: " + apart);
        List<String> fused = names(Tape.training(4, 2), EnumSet.of(Fusion.CONV_GRADIENT_ADD), block);
        assertEquals(0, count(fused, "Add"), fused.toString());
        assertEquals(2, count(fused, "Conv2dInputGradient"), fused.toString());
    }

    private static void assertFused(boolean training, Fusion fusion, String swallowed, Body body) {
        for (Fusion allowed : Fusion.values()) {
            List<String> names = names(training ? Tape.training(4, 2) : Tape.inference(4), EnumSet.of(allowed), body);
            assertEquals(
                    allowed == fusion ? 0 : 1, count(names, swallowed), fusion + " with " + allowed + ": " + names);
        }
    }

    @Test
    void reluOfNormPlusShortcutIsOneNorm() {
        Program program = program(
                Tape.training(4, 2), ALL, (l, x) -> l.tape().relu(l.tape().add(l.norm(l.conv(x, 3, 3, 1)), x)));
        List<Op.GhostBatchNorm> norms = program.ops().stream()
                .filter(Op.GhostBatchNorm.class::isInstance)
                .map(Op.GhostBatchNorm.class::cast)
                .toList();
        assertEquals(1, norms.size());
        assertTrue(norms.get(0).relu() && norms.get(0).addend() != null, program.dump());
        assertTrue(
                program.ops().stream().noneMatch(op -> op instanceof Op.Add || op instanceof Op.Relu), program.dump());
    }

    @Test
    void valuesWithTwoReadersOrKeptAreNotSwallowed() {
        List<String> shared = names(Tape.inference(4), ALL, (l, x) -> {
            Value y = l.conv(x, 3, 3, 1);
            return l.tape().concat(List.of(l.tape().relu(y), y));
        });
        assertEquals(1, count(shared, "Relu"), shared.toString());
        List<String> kept =
                names(Tape.inference(4), ALL, (l, x) -> l.tape().relu(l.tape().keep(l.conv(x, 3, 3, 1))));
        assertEquals(1, count(kept, "Relu"), kept.toString());
        List<String> doubled = names(Tape.inference(4), ALL, (l, x) -> {
            Value y = l.conv(x, 3, 3, 1);
            return l.tape().add(y, y);
        });
        assertEquals(1, count(doubled, "Add"), doubled.toString());
    }

    @Test
    void theOperandComputedLastTakesInTheOther() {
        // Whichever way round they are added, the norm computed first is the addend of the second.
        for (boolean swapped : new boolean[] {false, true}) {
            Program program = program(Tape.training(4, 2), ALL, (l, x) -> {
                Value first = l.norm(x);
                Value second = l.norm(l.conv(x, 3, 3, 1));
                return swapped ? l.tape().add(second, first) : l.tape().add(first, second);
            });
            assertEquals(
                    2,
                    program.ops().stream()
                            .filter(Op.GhostBatchNorm.class::isInstance)
                            .count());
            assertEquals(0, count(program.ops().stream().map(Op::name).toList(), "Add"), program.dump());
        }
    }

    @Test
    void everyValueIsDefinedOnceAndBeforeItIsRead() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        List<NetworkCase> cases = new ArrayList<>(NetworkCase.operations(random));
        cases.addAll(NetworkCase.networks(random));
        for (NetworkCase network : cases) {
            for (Set<Fusion> fusions : List.of(ALL, NONE)) {
                for (Program program : List.of(network.training(fusions), network.inference(fusions))) {
                    String what = "seed " + seed + ": " + network + "\n" + program.dump();
                    Set<Value> defined = new HashSet<>();
                    for (Op op : program.ops()) {
                        for (Value input : op.inputs()) {
                            assertTrue(
                                    input.home() != Home.ARENA || defined.contains(input), () -> input + " in " + what);
                        }
                        for (Value output : op.outputs()) {
                            boolean fresh = defined.add(output);
                            assertTrue(fresh || output.home() == Home.GRADIENTS, () -> output + " in " + what);
                            assertTrue(
                                    output.home() == Home.ARENA || output.home() == Home.GRADIENTS,
                                    () -> output + " in " + what);
                        }
                        assertTrue(op.inputs().containsAll(op.overwritable()), what);
                    }
                    for (Value value : program.values()) {
                        assertSame(value, program.values().get(value.id()), what);
                    }
                    assertTrue(program.kept().stream().allMatch(defined::contains), what);
                }
            }
        }
    }

    @Test
    void everyParameterOfATrainingProgramGetsAGradient() {
        Random random = new Random();
        for (NetworkCase network : NetworkCase.operations(random)) {
            Program program = network.training(ALL);
            Set<Long> offsets = new HashSet<>();
            program.ops()
                    .forEach(op -> op.outputs().stream()
                            .filter(v -> v.home() == Home.GRADIENTS)
                            .forEach(v -> offsets.add(v.offset())));
            program.parameters()
                    .parameters()
                    .forEach(p -> assertTrue(
                            offsets.contains(p.offset()), () -> p.name() + " of " + network + "\n" + program.dump()));
        }
    }

    @Test
    void deadOperationsAreDropped() {
        List<String> names = names(Tape.inference(4), ALL, (l, x) -> {
            l.tape().relu(l.conv(x, 7, 3, 1)); // nobody reads it
            return l.conv(x, 2, 1, 1);
        });
        assertEquals(1, count(names, "Conv2d"), names.toString());
        assertEquals(0, count(names, "Relu"), names.toString());
    }

    @Test
    void normsStayForTheirStatistics() {
        List<String> training = names(Tape.training(4, 2), ALL, (l, x) -> {
            l.norm(x); // nobody reads it, but it updates running averages
            return x;
        });
        assertEquals(1, count(training, "GhostBatchNorm"), training.toString());
        List<String> inference = names(Tape.inference(4), ALL, (l, x) -> {
            l.norm(x);
            return x;
        });
        assertEquals(0, count(inference, "BatchNormInference"), inference.toString());
    }

    @Test
    void nothingIsComputedTowardsTheImages() {
        List<String> names =
                names(Tape.training(4, 2), ALL, (l, x) -> l.conv(l.tape().scale(x, 2), 3, 3, 1));
        assertEquals(0, count(names, "Conv2dInputGradient"), names.toString());
        assertEquals(1, count(names, "Scale"), names.toString());
    }

    @Test
    void inferenceTakesNoDropoutNoIndicesNoGradient() {
        Program program = program(
                Tape.inference(4),
                NONE,
                (l, x) -> l.tape().dropout(l.tape().maxPool(l.norm(x), Window.square(2, 2, 0)), 0.5));
        List<String> names = program.ops().stream().map(Op::name).toList();
        assertEquals(List.of("BatchNormInference", "MaxPool", "Reshape", "Dense", "SoftmaxCrossEntropy"), names);
        assertFalse(program.usesGhostBatches());
        assertTrue(program.ops().stream().allMatch(op -> op.outputs().size() <= 1), program.dump());
    }

    @Test
    void theTapeCanGoOnAfterAProgram() {
        Tape tape = Tape.training(4, 2);
        Layers layers = new Layers(tape);
        Value features = layers.conv(tape.images(3, 8, 8), 2, 3, 1);
        Program first = tape.program(ALL);
        assertEquals(List.of(), first.ops(), "without a loss nothing has an effect");
        tape.softmaxCrossEntropy(layers.dense(features, 5, false), tape.labels(), 0);
        Program second = tape.program(ALL);
        assertEquals(second.dump(), tape.program(ALL).dump(), "making a program changes nothing on the tape");
        assertTrue(second.ops().size() > 4, second.dump());
    }

    @Test
    void aProgramSaysWhatItIsFor() {
        Program program = program(Tape.training(4, 2), ALL, (l, x) -> l.tape().relu(l.norm(x)));
        assertEquals(4, program.microBatch());
        assertEquals(2, program.ghostBatch());
        assertEquals(Mode.TRAINING, program.mode());
        assertTrue(program.usesGhostBatches());
        assertEquals(Shape.of(4, 3, 8, 8), program.images().orElseThrow().shape());
    }

    @Test
    void dumpShowsOperationsShapesAndAttributes() {
        Tape tape = Tape.training(4, 2).name("group1");
        Value weight = tape.parameter("weight", Shape.of(6, 3, 3, 3), Role.WEIGHT, Initializer.constant(0));
        Value y = tape.relu(tape.conv2d(tape.images(3, 8, 8), weight, null, Window.square(3, 2, 1), 1));
        tape.name("head");
        Value dense = tape.parameter("weight", Shape.of(5, 96), Role.WEIGHT, Initializer.constant(0));
        tape.softmaxCrossEntropy(tape.dense(tape.flatten(y), dense, null), tape.labels(), 0);
        Program program = tape.program(ALL);
        assertTrue(
                program.dump()
                        .startsWith("training program, micro-batch 4, ghost batch 2, 642 parameters, "
                                + program.ops().size() + " operations\n"),
                program.dump());
        assertTrue(program.dump().contains("group1 (4, 6, 4, 4) = Conv2d("), program.dump());
        assertTrue(program.dump().contains("3x3/2x2 pad 1,1,1,1 relu"), program.dump());
        assertEquals(program.ops().size() + 1, program.dump().lines().count());
        assertTrue(program.describe(0).startsWith("operation 0, Conv2d ["), program.describe(0));
    }

    @Test
    void flopsAreTwoPerMultiplicationAndAddition() {
        // 3 filters of 3x3x3 on 8x8 pixels, forward and for the weights: the images need no gradient.
        double convolution = 2.0 * 3 * 8 * 8 * 27;
        // 192 features to 5 logits, forward and both gradients.
        double dense = 2.0 * 192 * 5;
        Program program = program(Tape.training(4, 2), ALL, (l, x) -> l.conv(x, 3, 3, 1));
        assertEquals(2 * convolution + 3 * dense, program.flopsPerSample());
    }
}
