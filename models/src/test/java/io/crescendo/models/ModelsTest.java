package io.crescendo.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.nn.Network;
import io.crescendo.tensor.ParameterPack;
import io.crescendo.tensor.Role;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class ModelsTest {
    @Test
    void wideResNetHasThePublishedNumberOfParameters() {
        assertEquals(2_748_890, WideResNet.of(16, 4, 3, 32, 32, 10).parameterCount());
        // Zagoruyko and Komodakis 2016, table 4, round to 0.1 million.
        assertEquals(36.5e6, (double) WideResNet.of(28, 10, 3, 32, 32, 10).parameterCount(), 0.05e6);
        assertEquals(8.9e6, (double) WideResNet.of(40, 4, 3, 32, 32, 10).parameterCount(), 0.06e6);
    }

    @Test
    void resNet50HasThePublishedNumberOfParameters() {
        // torchvision's documentation of resnet50, num_params.
        assertEquals(25_557_032, ResNet50.of(3, 224, 224, 1000).parameterCount());
        Program program = ResNet50.of(3, 224, 224, 1000).inferenceProgram(1, 0, Set.of());
        // One mean and one variance for each of torchvision's 26,560 normalised channels.
        assertEquals(2 * 26_560, program.statistics().count());
        assertEquals(
                List.of(
                        "(1, 64, 112, 112)",
                        "(1, 256, 56, 56)",
                        "(1, 512, 28, 28)",
                        "(1, 1024, 14, 14)",
                        "(1, 2048, 7, 7)"),
                shapesAlong(
                        program,
                        "conv1",
                        "stage1.block3.conv3",
                        "stage2.block4.conv3",
                        "stage3.block6.conv3",
                        "stage4.block3.conv3"));
    }

    /** Version 1.5: a halving block's first convolution keeps the extent and its second one halves it. */
    @Test
    void resNet50StridesInTheThreeByThree() {
        Program program = ResNet50.of(3, 64, 96, 10).inferenceProgram(2, 0, Set.of());
        assertEquals(
                List.of("(2, 128, 16, 24)", "(2, 128, 8, 12)", "(2, 512, 8, 12)", "(2, 512, 8, 12)"),
                shapesAlong(
                        program,
                        "stage2.block1.conv1",
                        "stage2.block1.conv2",
                        "stage2.block1.conv3",
                        "stage2.block1.shortcut"));
    }

    @Test
    void inceptionResNetV2HasThePublishedNumberOfParameters() {
        Network network = InceptionResNetV2.of(3, 299, 299, 1000);
        // As in timm, whose norms have scales.
        assertEquals(55_843_464, network.parameterCount());
        Program program = network.inferenceProgram(1, 0, Set.of());
        // As in Keras, whose norms have none: 55,873,736 numbers, 60,544 of them running averages.
        long scales = program.parameters().parameters().stream()
                .filter(parameter -> parameter.role() == Role.NORM_SCALE)
                .mapToLong(parameter -> parameter.shape().elements())
                .sum();
        assertEquals(60_544, program.statistics().count());
        assertEquals(
                55_873_736,
                network.parameterCount() - scales + program.statistics().count());
        assertEquals(
                List.of(
                        "(1, 32, 149, 149)",
                        "(1, 192, 71, 71)",
                        "(1, 320, 35, 35)",
                        "(1, 1088, 17, 17)",
                        "(1, 2080, 8, 8)",
                        "(1, 1536, 8, 8)"),
                shapesAlong(
                        program,
                        "stem.conv1",
                        "stem.conv5",
                        "a10.projection",
                        "b20.projection",
                        "c10.projection",
                        "last"));
    }

    private static List<String> shapesAlong(Program program, String... layers) {
        return Stream.of(layers)
                .map(layer -> program.values().stream()
                        .filter(value -> value.name().equals(layer))
                        .findFirst()
                        .orElseThrow(() -> new AssertionError("no value is named " + layer))
                        .shape()
                        .toString())
                .toList();
    }

    @Test
    void smallImagesGoAsFarAsTheyMay() {
        assertEquals(
                List.of("(3, 2048, 1, 1)"),
                shapesAlong(ResNet50.of(1, 32, 32, 7).inferenceProgram(3, 0, Set.of()), "stage4.block3.conv3"));
        assertEquals(
                List.of("(3, 1536, 1, 1)"),
                shapesAlong(InceptionResNetV2.of(1, 75, 75, 7).inferenceProgram(3, 0, Set.of()), "last"));
        for (Executable tooSmall : List.<Executable>of(
                () -> Models.named("resnet-50", 3, 31, 224, 10),
                () -> Models.named("inception-resnet-v2", 3, 299, 74, 10))) {
            String message = String.valueOf(
                    assertThrows(IllegalArgumentException.class, tooSmall).getMessage());
            assertTrue(message.contains("at least") && message.matches(".*(31x224|299x74).*"), message);
        }
    }

    @Test
    void fashionCnnCountsByHand() {
        long expected = 9 * 32 + 2 * 32 + 9 * 32 * 64 + 2 * 64 + 3136 * 10 + 10;
        assertEquals(expected, FashionCnn.of(1, 28, 28, 10).parameterCount());
    }

    @Test
    void everyBatchTracesToTheSameParameters() {
        var network = WideResNet.of(10, 1, 3, 32, 32, 10);
        Program one = network.trainingProgram(1, 1, 0, Set.of());
        Program many = network.trainingProgram(100, 32, 0.1, EnumSet.allOf(Fusion.class));
        assertEquals(layout(one.parameters()), layout(many.parameters()));
        assertEquals(layout(one.statistics()), layout(many.statistics()));
    }

    private static List<Object> layout(ParameterPack pack) {
        return pack.parameters().stream()
                .<Object>map(parameter -> List.of(parameter.name(), parameter.shape(), parameter.offset()))
                .toList();
    }

    @Test
    void namesFindNetworksAndErrorsListThem() {
        assertEquals(
                "wide-resnet-16-4",
                Models.named("wide-resnet-16-4", 3, 32, 32, 10).name());
        for (String example : Models.EXAMPLES) {
            assertTrue(Models.knows(example) && Models.KNOWN.contains(example), example);
            assertEquals(example, Models.named(example, 3, 96, 96, 10).name());
        }
        String message =
                String.valueOf(assertThrows(IllegalArgumentException.class, () -> Models.named("vgg", 3, 32, 32, 10))
                        .getMessage());
        assertTrue(message.contains("'vgg'") && message.contains("fashion-cnn"), message);
        assertThrows(IllegalArgumentException.class, () -> WideResNet.of(17, 4, 3, 32, 32, 10));
    }
}
