package io.crescendo.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import java.util.EnumSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class ModelsTest {
    @Test
    void wideResNetHasThePublishedNumberOfParameters() {
        assertEquals(2_748_890, WideResNet.of(16, 4, 3, 32, 32, 10).parameterCount());
        // Zagoruyko and Komodakis 2016, table 4, round to 0.1 million.
        assertEquals(36.5e6, (double) WideResNet.of(28, 10, 3, 32, 32, 10).parameterCount(), 0.05e6);
        assertEquals(8.9e6, (double) WideResNet.of(40, 4, 3, 32, 32, 10).parameterCount(), 0.06e6);
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
        assertTrue(one.parameters().sameLayout(many.parameters()));
        assertTrue(one.statistics().sameLayout(many.statistics()));
    }

    @Test
    void namesFindNetworksAndErrorsListThem() {
        assertEquals(
                "wide-resnet-16-4",
                Models.named("wide-resnet-16-4", 3, 32, 32, 10).name());
        String message =
                String.valueOf(assertThrows(IllegalArgumentException.class, () -> Models.named("vgg", 3, 32, 32, 10))
                        .getMessage());
        assertTrue(message.contains("'vgg'") && message.contains("fashion-cnn"), message);
        assertThrows(IllegalArgumentException.class, () -> WideResNet.of(17, 4, 3, 32, 32, 10));
    }
}
