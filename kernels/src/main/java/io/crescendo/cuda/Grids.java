package io.crescendo.cuda;

/**
 * Chooses launch shapes: as many blocks as the device holds at once where there is work for them, never more than the
 * work has. Every kernel strides over its grid, so a shape decides about speed only.
 *
 * <p>Slab kernels (see {@code common.cuh}) cover the channels by packs of 16 bytes, 8 packs to a block, and put the
 * rows below each other as far as the block's threads go.
 */
final class Grids {
    /** Threads of a block, as {@code common.cuh} has them. */
    static final int THREADS = 256;
    /** Loads that a thread of a kernel which reads one tensor has under way at once, as there. */
    static final int AHEAD = 4;

    private static final int PACKS_OF_SLAB = 8;
    private static final int BLOCKS_OF_MULTIPROCESSOR = 8;
    private static final int PACK_BYTES = 16;
    /** Times that each thread has as many rows under way as it can, at least: below, its block's end costs more. */
    private static final int LEAST_CHUNKS = 2;
    /** With more waves of blocks it hardly matters how full the last one is. */
    private static final int MOST_WAVES = 4;

    /**
     * Part of the level 2 cache that a second reading may count on: what is written goes through it too, and large
     * devices keep some lines twice.
     */
    private static final double SHARE_OF_CACHE = 0.5;
    /** What a team's blocks have left is merged by so many in about the time of a chunk. */
    private static final double MERGED_AT_ONCE = 64;

    /** As ghost_norm.cu has them. */
    private static final int WORDS_OF_TEAM = 32;

    private final int multiprocessors;
    private final long cacheBytes;
    private final int blocks;
    private final int elementBytes;

    Grids(int multiprocessors, long cacheBytes, int elementBytes) {
        this.multiprocessors = multiprocessors;
        this.cacheBytes = cacheBytes;
        this.blocks = BLOCKS_OF_MULTIPROCESSOR * multiprocessors;
        this.elementBytes = elementBytes;
    }

    /** Elements of an activation in a pack. */
    int packed() {
        return PACK_BYTES / elementBytes;
    }

    /** For flat arrays of activations, a pack to a thread and round. */
    Grid packs(long count) {
        return threads(ceil(count, packed()));
    }

    /** For work that is counted in threads. */
    Grid threads(long wanted) {
        return blocks(ceil(wanted, THREADS));
    }

    /** For work that is counted in blocks. */
    Grid blocks(long wanted) {
        return new Grid((int) Math.max(1, Math.min(wanted, blocks)), 1);
    }

    /** For slab kernels over a matrix of rows by channels. */
    Grid rows(long rows, int channels) {
        return rows(rows, channels, 1);
    }

    /** For kernels that let so many threads share a row if there is room; at most those of a block. */
    Grid rows(long rows, int channels, long threadsOfRow) {
        int rowsOfBlock = rowsOfBlock(channels);
        long places = Math.multiplyExact(rows, Math.min(threadsOfRow, rowsOfBlock));
        long wanted = Math.min(ceil(places, rowsOfBlock), blocks / slabs(channels));
        return new Grid((int) Math.max(1, wanted), slabs(channels));
    }

    /**
     * Blocks that should share one of {@code groups} groups of rows, of which all must be finished before the first is
     * of use: in waves that leave few places empty, and all with as much to do.
     *
     * @param ahead rows that a thread has under way at once: those of a block are a chunk
     * @param blocksOfMultiprocessor how many of the kernel's fit at once
     */
    int splits(long rowsOfGroup, int channels, long groups, int ahead, int blocksOfMultiprocessor) {
        long chunks = ceil(rowsOfGroup, (long) ahead * rowsOfBlock(channels));
        long lots = groups * slabs(channels);
        long places = (long) multiprocessors * blocksOfMultiprocessor;
        long best = 1;
        long shortest = Long.MAX_VALUE;
        for (int waves = 1; waves <= MOST_WAVES; waves++) {
            long most = Math.max(1, Math.min(waves * places / lots, chunks / LEAST_CHUNKS));
            long each = ceil(chunks, most);
            long splits = ceil(chunks, each);
            // Beginning and ending takes a block about as long as a chunk.
            long time = ceil(lots * splits, places) * (each + 1);
            if (time < shortest) {
                shortest = time;
                best = splits;
            }
        }
        return Math.toIntExact(best);
    }

    /**
     * Teams of blocks (x) and blocks of a team (y) for a cooperative kernel that reads a group's rows, waits for all
     * blocks that share them, and goes over them again.
     *
     * <p>The rule. A unit is a group's rows of one slab; teams of k blocks, as many as the device holds at once, do u
     * units in rounds of t. With k = 1 nobody waits, and the less a larger k leaves in the last round or keeps out of
     * the cache, the better it is. The time of a choice is
     *
     * <pre>
     *   rounds · (rows of a thread · (2 · twice + once − twice · cached) + AHEAD · (1 + wait))
     *   rounds = ⌈u / t⌉, cached = min(1, cache / bytes read by t units), wait = 0 if k = 1, else 1 + k / 64
     * </pre>
     *
     * counted in packs that a thread moves: to begin and end takes a block about as long as {@code AHEAD} of them, and
     * to wait for the others as long again and longer the more they are. The least time wins; of equals the fewest
     * members.
     *
     * @param ahead rows that a thread has under way at once
     * @param twice activations that are read, and read again
     * @param once activations that are read once or written
     * @param blocksOfMultiprocessor how many of the kernel's fit at once
     */
    Grid teams(
            long rowsOfGroup, int channels, long groups, int ahead, int twice, int once, int blocksOfMultiprocessor) {
        long chunks = ceil(rowsOfGroup, (long) ahead * rowsOfBlock(channels));
        long units = groups * slabs(channels);
        long places = (long) multiprocessors * blocksOfMultiprocessor;
        double unitBytes = (double) rowsOfGroup * channels * elementBytes / slabs(channels) * twice;
        Grid best = new Grid((int) Math.min(units, places), 1);
        double shortest = Double.MAX_VALUE;
        for (long members = 1; members <= Math.min(places, chunks); members++) {
            long rounds = ceil(units, Math.min(units, places / members));
            long teams = ceil(units, rounds); // no more than these rounds need
            double cached = Math.min(1, SHARE_OF_CACHE * cacheBytes / (teams * unitBytes));
            double moved = (double) ceil(chunks, members) * ahead * (2 * twice + once - twice * cached);
            double wait = members == 1 ? 0 : 1 + members / MERGED_AT_ONCE;
            double time = rounds * (moved + AHEAD * (1 + wait));
            if (time < shortest) {
                shortest = time;
                best = new Grid(Math.toIntExact(teams), Math.toIntExact(members));
            }
        }
        return best;
    }

    /** Unsigned numbers by which the blocks of teams find each other: one for each slab, a cache line for each team. */
    long tickets(Grid teams, int channels) {
        return slabs(channels) + (long) WORDS_OF_TEAM * teams.x();
    }

    /** Bytes of what the blocks of teams leave for each other: two float32 numbers per channel of a slab. */
    long partialBytes(Grid teams) {
        return teams.y() == 1 ? 0 : 2L * Float.BYTES * PACKS_OF_SLAB * packed() * teams.x() * teams.y();
    }

    /** Blocks side by side over the channels. */
    int slabs(int channels) {
        return (int) ceil(packsOf(channels), PACKS_OF_SLAB);
    }

    /** Packs in a row of so many channels. */
    long packsOf(int channels) {
        return ceil(channels, packed());
    }

    /** Rows below each other in a block: slabs are as wide as each other, but for the last. */
    private int rowsOfBlock(int channels) {
        return (int) (THREADS / ceil(packsOf(channels), slabs(channels)));
    }

    private static long ceil(long number, long divisor) {
        return (number + divisor - 1) / divisor;
    }
}
