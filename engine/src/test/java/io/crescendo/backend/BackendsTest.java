package io.crescendo.backend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

/** Finding backends on a class path that holds the reference backend alone. */
class BackendsTest {
    @Test
    void aNameFindsItsBackend() {
        try (Backend backend = Backends.open("reference", BackendOptions.DEFAULT)) {
            assertEquals("reference", backend.name());
        }
    }

    @Test
    void anUnknownNameListsTheKnownOnes() {
        String message = String.valueOf(
                assertThrows(IllegalArgumentException.class, () -> Backends.open("tpu", BackendOptions.DEFAULT))
                        .getMessage());
        assertTrue(message.contains("'tpu'") && message.contains("auto, reference"), message);
    }

    @Test
    void autoNeverChoosesTheSlowReference() {
        String message = String.valueOf(
                assertThrows(IllegalStateException.class, () -> Backends.open("auto", BackendOptions.DEFAULT))
                        .getMessage());
        assertTrue(message.contains("crescendo-kernels"), message);
    }
}
