package io.crescendo.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.crescendo.backend.DeviceMemoryException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

@EnabledOnOs(OS.LINUX)
class CpuWorkspaceTest {
    private static final long MIB = 1 << 20;

    /** What else the process touches in the meantime. */
    private static final long OTHERS = 24 * MIB;

    private static long residentBytes() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmRSS:")) {
                return Long.parseLong(line.replaceAll("\\D", "")) << 10;
            }
        }
        throw new IOException("no VmRSS");
    }

    @Test
    void growsInPlaceAndGivesBackWhatItShrinksBy() throws IOException {
        try (CpuWorkspace workspace = new CpuWorkspace(1 << 30)) {
            workspace.reserve(3 * MIB + 5);
            assertEquals(3 * MIB + 5, workspace.capacityBytes());
            long address = workspace.address();
            assertEquals(0, address % VirtualMemory.HUGE_PAGE_BYTES);
            Pointer.memset(new Address().at(address), 7, workspace.capacityBytes());
            long generation = workspace.generation();
            workspace.reserve(200 * MIB);
            assertEquals(address, workspace.address());
            assertNotEquals(generation, workspace.generation(), "programs must look at the capacity again");
            assertEquals(
                    7,
                    new Address()
                            .at(address + 3 * MIB)
                            .capacity(1)
                            .asByteBuffer()
                            .get(0),
                    "its page stayed");
            Pointer.memset(new Address().at(address), 7, workspace.capacityBytes());
            long resident = residentBytes();
            workspace.shrink(10 * MIB);
            assertTrue(residentBytes() < resident - 190 * MIB + OTHERS, "pages given back");
            assertEquals(10 * MIB, workspace.capacityBytes());
            assertEquals(200 * MIB, workspace.peakBytes());
            workspace.reserve(200 * MIB);
            assertEquals(
                    0,
                    new Address()
                            .at(address + 100 * MIB)
                            .capacity(1)
                            .asByteBuffer()
                            .get(0),
                    "a new page");
        }
    }

    @Test
    void pagesAreFoundInAdvanceAndGivenBackIfNobodyCame() throws IOException {
        try (CpuWorkspace workspace = new CpuWorkspace(1 << 30)) {
            workspace.reserve(MIB);
            long resident = residentBytes();
            assumeTrue(workspace.prepare(200 * MIB), "Linux before 5.14 finds no pages in advance");
            while (workspace.prepare(200 * MIB)) {}
            assertTrue(residentBytes() > resident + 199 * MIB - OTHERS, "pages found");
            assertEquals(MIB, workspace.capacityBytes());
            assertEquals(MIB, workspace.peakBytes());
            workspace.shrink(MIB);
            assertTrue(residentBytes() < resident + OTHERS, "pages given back");
            while (workspace.prepare(200 * MIB)) {} // anew
            assertTrue(residentBytes() > resident + 199 * MIB - OTHERS, "pages found again");
        }
    }

    @Test
    void moreThanTheMachineHasIsRefusedAndWhatThereWasStays() {
        try (CpuWorkspace workspace = new CpuWorkspace(64 * MIB)) {
            workspace.reserve(MIB);
            DeviceMemoryException refused =
                    assertThrows(DeviceMemoryException.class, () -> workspace.reserve(65 * MIB));
            assertTrue(String.valueOf(refused.getMessage()).contains(String.valueOf(65 * MIB)));
            assertEquals(65 * MIB, refused.requestedBytes());
            assertEquals(MIB, workspace.capacityBytes());
            workspace.reserve(64 * MIB);
            Pointer.memset(new Address().at(workspace.address()), 1, 64 * MIB);
        }
    }
}
