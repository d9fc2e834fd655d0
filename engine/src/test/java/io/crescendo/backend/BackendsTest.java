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

    @Test
    void aChoiceByNamePassesNothingOver() {
        Backends.Choice choice = Backends.choose("reference");
        assertEquals("reference", choice.provider().name());
        assertTrue(choice.passedOver().isEmpty(), choice.toString());
    }

    @Test
    void anotherPrecisionThanFloat32IsRefused() {
        for (Precision precision : new Precision[] {Precision.TF32, Precision.BF16}) {
            BackendOptions options = BackendOptions.DEFAULT.withPrecision(precision);
            String message = String.valueOf(
                    assertThrows(IllegalArgumentException.class, () -> Backends.open("reference", options))
                            .getMessage());
            assertTrue(message.contains("'reference'") && message.contains("fp32"), message);
            assertTrue(message.contains(precision == Precision.TF32 ? "tf32" : "bf16"), message);
        }
    }

    @Test
    void impossibleNumbersOfThreadsAreRefused() {
        for (int threads : new int[] {-1, BackendOptions.MOST_THREADS + 1}) {
            String message = String.valueOf(
                    assertThrows(IllegalArgumentException.class, () -> BackendOptions.DEFAULT.withThreads(threads))
                            .getMessage());
            assertTrue(message.endsWith("is " + threads), message);
        }
    }

    @Test
    void optionsChangeOneAtATime() {
        BackendOptions options = BackendOptions.DEFAULT
                .withThreads(3)
                .withPrecision(Precision.TF32)
                .withGraphs(false)
                .withDeterministic(true);
        assertEquals(new BackendOptions(3, Precision.TF32, false, true), options);
        assertThrows(IllegalArgumentException.class, () -> options.withThreads(-1));
    }

    @Test
    void theFirstLineOfADetailIsItsSummary() {
        assertEquals("why", new BackendProvider.Availability(false, "why\nwhat was searched").summary());
        assertEquals("version 3", new BackendProvider.Availability(true, "version 3").summary());
    }
}
