package io.crescendo.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.DeviceMemoryException;
import org.junit.jupiter.api.Test;

/** Packs for which the machine has no room. */
class CpuDeviceMemoryTest {
    /** With four bytes for each, more than a process has addresses, however generous the system is with pages. */
    private static final long TOO_MANY = 1L << 45;

    @Test
    void moreThanTheMachineHasIsRefusedWithWhatItHas() {
        try (CpuBackend backend = new CpuBackend(new BackendOptions(1))) {
            DeviceMemoryException refused = assertThrows(DeviceMemoryException.class, () -> backend.allocate(TOO_MANY));
            String message = String.valueOf(refused.getMessage());
            for (String part : new String[] {
                "a flat array of " + TOO_MANY + " numbers, " + 4 * TOO_MANY + " bytes",
                "the machine has " + backend.memoryBytes().orElseThrow() + " in all",
                "train a smaller network"
            }) {
                assertTrue(message.contains(part), message + "\nshould contain: " + part);
            }
            assertEquals(4 * TOO_MANY, refused.requestedBytes());
            assertTrue(refused.isOfPack());
        }
    }
}
