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

    /** What a block keeps of a chunk: 4 packs of a thread. */
    private static final int CHUNK = 16 << 10;

    private static final Kernels.Room ROOM = new Kernels.Room(2, 97_776);
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
        assertEquals(5, bf16.slabs(160));
        assertEquals(5, bf16.slabs(288));
        assertEquals(1, bf16.slabs(48));
        assertEquals(2, bf16.slabs(80));
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
            int slabs = bf16.slabs(channels);
            long chunk = AHEAD * (256L / ((packs + slabs - 1) / slabs));
            long chunks = (rows + chunk - 1) / chunk;
            String what = rows + " rows, " + channels + " channels, " + groups + " groups: " + splits;
            assertTrue(splits >= 1 && splits <= Math.max(1, chunks / 2), what);
        }
    }

    /** The same widths and batch as one group, then in groups of 16. */
    @Test
    void teamsShareGroups() {
        assertEquals(
                new Grid(1, 256),
                bf16.teams(128 * 32 * 32, 64, 1, AHEAD, 1, 1, ROOM).grid());
        Grids.Teams groups = bf16.teams(16 * 32 * 32, 64, 8, AHEAD, 1, 1, ROOM);
        assertEquals(8, groups.grid().x());
        assertTrue(groups.members() > 25, groups.toString());
        // Every group has one for itself, and nobody waits.
        assertEquals(
                new Grid(64, 1),
                bf16.teams(2 * 8 * 8, 64, 64, AHEAD, 1, 1, ROOM).grid());
        assertEquals(1, bf16.teams(16, 64, 1 << 20, AHEAD, 1, 1, ROOM).members());
    }

    /**
     * 64 groups of 2 MiB at once are more than the cache and shared memory hold: fewer under way, each with more
     * blocks.
     */
    @Test
    void whatIsReadTwiceStaysAtHand() {
        Grids.Teams teams = bf16.teams(16 * 32 * 32, 64, 64, AHEAD, 1, 1, ROOM);
        assertTrue(teams.grid().x() * (2L << 20) <= 64L << 20, teams.toString());
        Grids.Teams uncached =
                new Grids(MULTIPROCESSORS, 1L << 62, Short.BYTES).teams(16 * 32 * 32, 64, 64, AHEAD, 1, 1, ROOM);
        assertTrue(teams.grid().x() < uncached.grid().x(), teams + " and " + uncached);
    }

    /** A block keeps what it has of a unit, as far as there is room; nothing where the cache holds all. */
    @Test
    void blocksKeepWhatTheCacheDoesNotHold() {
        Grids.Teams large = bf16.teams(128 * 32 * 32, 64, 8, AHEAD / 2, 2, 1, ROOM);
        assertEquals(5, large.kept(), large.toString());
        assertEquals(5 * CHUNK, large.sharedBytes());
        assertEquals(
                0,
                bf16.teams(128 * 32 * 32, 64, 8, AHEAD, 1, 1, new Kernels.Room(2, CHUNK - 1))
                        .kept());
        assertEquals(0, bf16.teams(128 * 8 * 8, 256, 1, AHEAD, 1, 1, ROOM).kept());
        // 16 rows of a group: one chunk is all there is.
        assertEquals(1, bf16.teams(16, 64, 1 << 20, AHEAD, 1, 1, ROOM).kept());
    }

    @Test
    void teamsAreNoMoreThanTheDeviceHolds() {
        Random random = new Random(8);
        for (int round = 0; round < 1_000; round++) {
            long rows = 1L + random.nextInt(1 << (1 + random.nextInt(20)));
            int channels = 1 + random.nextInt(1 << (1 + random.nextInt(13)));
            long groups = 1L + random.nextInt(1 << (1 + random.nextInt(14)));
            Kernels.Room room = new Kernels.Room(1 + random.nextInt(8), random.nextInt(1 << 18));
            int twice = 1 + random.nextInt(2);
            Grids.Teams teams = bf16.teams(rows, channels, groups, AHEAD / twice, twice, 1, room);
            Grid grid = teams.grid();
            String what = rows + " rows, " + channels + " channels, " + groups + " groups: " + teams;
            assertTrue(grid.x() >= 1 && grid.x() <= groups * bf16.slabs(channels), what);
            assertTrue(grid.y() >= 1 && (long) grid.x() * grid.y() <= (long) room.blocks() * MULTIPROCESSORS, what);
            assertTrue(teams.kept() >= 0 && teams.sharedBytes() <= room.sharedBytes(), what);
            // A line of words has one for the team and one for each gang.
            assertTrue(grid.y() <= 31 * 16, what);
        }
    }

    @Test
    void aWindowOverTheWholeImageIsSharedByThreads() {
        // 128 windows of 64 elements, 4 of them to a thread: 2,048 threads below each other, 32 to a block.
        assertEquals(new Grid(64, 4), bf16.rows(128, 256, 16));
        assertEquals(new Grid(4, 4), bf16.rows(128, 256));
    }
}
