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

    private final int multiprocessors;
    private final int blocks;
    private final int elementBytes;

    Grids(int multiprocessors, int elementBytes) {
        this.multiprocessors = multiprocessors;
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
