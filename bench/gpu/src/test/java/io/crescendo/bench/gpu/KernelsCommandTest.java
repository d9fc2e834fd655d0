package io.crescendo.bench.gpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@NullMarked
class KernelsCommandTest {
    @TempDir
    Path folder;

    /** Kernels have no host to run on: a reason and the status that scripts take for "not here". */
    @Test
    void aCpuIsNotMeasured() {
        Path file = folder.resolve("kernels.json");
        int status = GpuBench.commandLine().execute("kernels", "--device", "cpu", "--out", file.toString());
        assertEquals(77, status);
        assertFalse(Files.exists(file));
    }

    @Test
    void theTableHoldsEveryRowAgainstTheCopy() {
        KernelsCommand.Row row = KernelsCommand.Row.of("momentum", "fp32", "25.0 M", 500_000_000, 200e-6, 180e-6, 3e12);
        assertEquals(2500, row.gigabytesPerSecond(), 1e-9);
        assertEquals(2.5 / 3, row.shareOfCopy(), 1e-12);
        String table = KernelsCommand.table("a device", List.of(row));
        assertTrue(table.contains("| momentum ") && table.contains("|  83.3 % |"), table);
    }

    @Test
    void timesOfPyTorchBecomeRows() throws Exception {
        Path script = Files.writeString(folder.resolve("peer.py"), """
                print("a word before")
                print('RESULT {"torch": "2", "times": [{"optimizer": "sgd fused", "thousands": 2700,'
                      ' "bytesPerParameter": 20, "seconds": 2e-5, "cachedSeconds": 1e-5}], "failures": ["no adam"]}')
                """);
        Path file = folder.resolve("kernels.json");
        // No precision, so that nothing but the script is asked and no device is needed.
        int status = GpuBench.commandLine()
                .execute("kernels", "--precisions", "none", "--peer", script.toString(), "--out", file.toString());
        assertEquals(1, status, "what failed is said and counts");
        KernelsCommand.Result result = Json.read(file, KernelsCommand.Result.class);
        assertEquals(List.of("torch: no adam"), result.failures());
        assertEquals("torch sgd fused", result.rows().get(0).kernel());
        assertEquals(2700, result.rows().get(0).gigabytesPerSecond(), 1e-9);
    }
}
