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

    private static final int LANES = 32;
    /** Loads that a thread of a kernel which reads one tensor has under way at once, as there. */
    static final int AHEAD = 4;

    private static final int PACKS_OF_SLAB = 8;
    private static final int BLOCKS_OF_MULTIPROCESSOR = 8;
    private static final int PACK_BYTES = 16;
    /** Times that each thread has as many rows under way as it can, at least: below, its block's end costs more. */
    private static final int LEAST_CHUNKS = 2;
    /** Threads of such a grid are numbered by 32 bits in some kernels. */
    private static final int MOST_BLOCKS = 1 << 22;
    /** What a block of gradient_sum.cu reads of a part at once. */
    private static final long TILE_BYTES = 4L * THREADS * PACK_BYTES;

    private static final int TILES_OF_BLOCK = 12;
    private static final int MOST_SUMS = 8192;
    /** With more waves of blocks it hardly matters how full the last one is. */
    private static final int MOST_WAVES = 4;

    /**
     * Part of the level 2 cache that a second reading may count on: what is written goes through it too, and large
     * devices keep some lines twice.
     */
    private static final double SHARE_OF_CACHE = 0.5;
    /** What beginning, summing up and ending takes a block, in packs that a thread moves; with others to wait for. */
    private static final int PACKS_OF_ROUND = 12;

    private static final int PACKS_OF_MEETING = 28;

    /** Random numbers of a block of Philox. */
    private static final int QUAD = 4;

    /** As teams.cuh has them. */
    private static final int WORDS_OF_TEAM = 32;

    private static final int MEMBERS_ALONE = 64;
    private static final int MEMBERS_OF_GANG = 16;
    private static final int MOST_MEMBERS = (WORDS_OF_TEAM - 1) * MEMBERS_OF_GANG;
    /** What a block keeps of a chunk. */
    private static final int CHUNK_BYTES = AHEAD * THREADS * PACK_BYTES;

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

    /** A shape for {@link Kernels#together} and the chunks that each of its blocks keeps in shared memory. */
    record Teams(Grid grid, int kept) {
        /** Blocks of a team. */
        int members() {
            return grid.y();
        }

        /** Bytes of shared memory for what a block keeps. */
        int sharedBytes() {
            return kept * CHUNK_BYTES;
        }
    }

    /** Elements of an activation in a pack. */
    int packed() {
        return PACK_BYTES / elementBytes;
    }

    /** For flat arrays of activations, a pack to a thread. */
    Grid packs(long count) {
        return new Grid(blocksInOrder(ceil(count, packed())), 1);
    }

    /**
     * Blocks for streams through memory, a pack to each thread. Blocks begin in their order, so that all that run touch
     * one stretch of memory; those of a grid that goes around would drift apart: 93 instead of 101 % of a copy's
     * bandwidth, for an update of 500 M parameters on an H100.
     *
     * @param threads how many packs there are
     */
    static int blocksInOrder(long threads) {
        return (int) Math.max(1, Math.min(ceil(threads, THREADS), MOST_BLOCKS));
    }

    /**
     * Blocks for the sum of gradients. Many, so that they stay close to each other, but each with some tiles to do, for
     * each leaves its sums behind.
     *
     * @param bytes of one of the parts
     */
    int blocksOfSum(long bytes) {
        long tiles = ceil(bytes, TILE_BYTES);
        return (int) Math.max(1, Math.min(tiles, Math.min(MOST_SUMS, Math.max(blocks, tiles / TILES_OF_BLOCK))));
    }

    /** For work that is counted in threads. */
    Grid threads(long wanted) {
        return blocks(ceil(wanted, THREADS));
    }

    /** For dropout: the random numbers of a sample come four at a time. */
    Grid dropout(int samples, long elementsOfSample) {
        return threads(samples * ceil(elementsOfSample, QUAD));
    }

    /** For work that is counted in blocks. */
    Grid blocks(long wanted) {
        return blocks(wanted, BLOCKS_OF_MULTIPROCESSOR);
    }

    /** The same where no more than so many on a multiprocessor are meant. */
    Grid blocks(long wanted, int ofMultiprocessor) {
        return new Grid((int) Math.max(1, Math.min(wanted, (long) ofMultiprocessor * multiprocessors)), 1);
    }

    /** For work of which a block does as many as a warp has threads. */
    Grid warps(long wanted) {
        return blocks(ceil(wanted, LANES));
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
     * units in rounds of t. What is read twice comes from shared memory or the level 2 cache the second time, as far as
     * the units of a round fit into them. The time of a choice is
     *
     * <pre>
     *   rounds · (rows of a thread · (2 · twice + once − twice · cached) + round)
     *   rounds = ⌈u / t⌉, cached = min(1, (cache + kept) / bytes read by t units), round = 28, or 12 if k = 1
     * </pre>
     *
     * counted in packs that a thread moves: on an H100 one takes 0.43 µs, and a round that moves nothing 12 µs. The
     * least time wins; of equals the fewest members. Where all units together fit into the level 2 cache nothing is
     * kept, for copying it costs more than it saves.
     *
     * @param ahead rows that a thread has under way at once
     * @param twice activations that are read, and read again
     * @param once activations that are read once or written
     * @param room how many of the kernel's blocks fit at once, and how much shared memory each may have
     */
    Teams teams(long rowsOfGroup, int channels, long groups, int ahead, int twice, int once, Kernels.Room room) {
        long chunks = ceil(rowsOfGroup, (long) ahead * rowsOfBlock(channels));
        long units = groups * slabs(channels);
        long places = (long) multiprocessors * room.blocks();
        double unitBytes = (double) rowsOfGroup * channels * elementBytes / slabs(channels) * twice;
        int most = units * unitBytes <= cacheBytes ? 0 : room.sharedBytes() / CHUNK_BYTES;
        Teams best = new Teams(new Grid((int) Math.min(units, places), 1), 0);
        double shortest = Double.MAX_VALUE;
        for (long members = 1; members <= Math.min(Math.min(places, chunks), MOST_MEMBERS); members++) {
            long rounds = ceil(units, Math.min(units, places / members));
            long teams = ceil(units, rounds); // no more than these rounds need
            long each = ceil(chunks, members);
            int kept = (int) Math.min(most, each);
            double held = SHARE_OF_CACHE * cacheBytes + (double) teams * members * kept * CHUNK_BYTES;
            double cached = Math.min(1, held / (teams * unitBytes));
            double moved = (double) each * ahead * (2 * twice + once - twice * cached);
            double time = rounds * (moved + (members == 1 ? PACKS_OF_ROUND : PACKS_OF_MEETING));
            if (time < shortest) {
                shortest = time;
                best = new Teams(new Grid(Math.toIntExact(teams), Math.toIntExact(members)), kept);
            }
        }
        return best;
    }

    /** Unsigned numbers by which the blocks of teams find each other: one for each slab, a cache line for each team. */
    long tickets(Teams teams, int channels) {
        return slabs(channels) + (long) WORDS_OF_TEAM * teams.grid().x();
    }

    /**
     * Bytes of what the blocks of teams and their gangs leave for each other, the gangs twice: two float32 numbers per
     * channel of a slab.
     */
    long partialBytes(Teams teams) {
        int members = teams.members();
        if (members == 1) {
            return 0;
        }
        long gangs = members <= MEMBERS_ALONE ? members : ceil(members, MEMBERS_OF_GANG);
        return 2L * Float.BYTES * PACKS_OF_SLAB * packed() * teams.grid().x() * (members + 2 * gangs);
    }

    /**
     * Blocks side by side over the channels: slabs of 8 packs, 128 bytes, or fewer. Of 12, 20 or 28 packs slabs have 4,
     * for equal ones of 6 or 7 would share 64 bytes of memory with their neighbours, and both would fetch them: the
     * gradient of a norm of 160 bf16 channels took 95 instead of 84 µs on an H100, in a trial.
     */
    int slabs(int channels) {
        long packs = packsOf(channels);
        long slabs = ceil(packs, PACKS_OF_SLAB);
        int half = PACKS_OF_SLAB / 2;
        return (int) (ceil(packs, slabs) % half != 0 && packs % half == 0 ? packs / half : slabs);
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
