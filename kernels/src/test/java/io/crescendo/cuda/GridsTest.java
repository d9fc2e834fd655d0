package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;

/** How many blocks share a group: pure arithmetic, no device. */
@NullMarked
class GridsTest {
    private static final int MULTIPROCESSORS = 132;
    private static final int AHEAD = 4;

    private final Grids bf16 = new Grids(MULTIPROCESSORS, 60L << 20, Short.BYTES);

    /** The three widths of Wide ResNet 16-4 at batch 128, one group, three blocks of a multiprocessor. */
    @Test
    void oneGroupIsSharedByWhatTheDeviceHolds() {
        // 1,024 chunks of 128 rows over 396 places: three each. The others have two for each thread, which is the
        // least.
        assertEquals(342, bf16.splits(128 * 32 * 32, 64, 1, AHEAD, 3));
        assertEquals(128, bf16.splits(128 * 16 * 16, 128, 1, AHEAD, 3));
        assertEquals(32, bf16.splits(128 * 8 * 8, 256, 1, AHEAD, 3));
        assertEquals(1, bf16.slabs(64));
        assertEquals(2, bf16.slabs(128));
        assertEquals(4, bf16.slabs(256));
    }

    /** A group or two too many for one wave would leave half of the device idle. */
    @Test
    void manyGroupsComeInWavesThatAreNearlyFull() {
        // 300 groups over 396 places: one block each leaves a quarter of them empty.
        int splits = bf16.splits(1 << 17, 64, 300, AHEAD, 3);
        long blocks = 300L * splits;
        long waves = (blocks + 395) / 396;
        assertTrue(blocks > 0.9 * 396 * waves, splits + " splits");
        assertEquals(1, bf16.splits(1 << 10, 64, 10_000, AHEAD, 3));
    }

    @Test
    void everyBlockHasEnoughToDo() {
        Random random = new Random(7);
        for (int round = 0; round < 10_000; round++) {
            long rows = 1L + random.nextInt(1 << (1 + random.nextInt(20)));
            int channels = 1 + random.nextInt(1 << (1 + random.nextInt(11)));
            long groups = 1L + random.nextInt(1 << (1 + random.nextInt(10)));
            int places = 1 + random.nextInt(8);
            int splits = bf16.splits(rows, channels, groups, AHEAD, places);
            int packs = (channels + 7) / 8;
            int slabs = (packs + 7) / 8;
            long chunk = AHEAD * (256L / ((packs + slabs - 1) / slabs));
            long chunks = (rows + chunk - 1) / chunk;
            String what = rows + " rows, " + channels + " channels, " + groups + " groups: " + splits;
            assertTrue(splits >= 1 && splits <= Math.max(1, chunks / 2), what);
        }
    }

    @Test
    void aWindowOverTheWholeImageIsSharedByThreads() {
        // 128 windows of 64 elements, 4 of them to a thread: 2,048 threads below each other, 32 to a block.
        assertEquals(new Grid(64, 4), bf16.rows(128, 256, 16));
        assertEquals(new Grid(4, 4), bf16.rows(128, 256));
    }
}
