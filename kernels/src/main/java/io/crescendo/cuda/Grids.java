package io.crescendo.cuda;

/**
 * Chooses launch shapes: as many blocks as the device holds at once where there is work for them, never more than the
 * work has. Every kernel strides over its grid, so a shape decides about speed only.
 *
 * <p>Slab kernels (see {@code common.cuh}) cover the channels by packs of 16 bytes, 32 packs to a block, and put the
 * rows below each other as far as the block's threads go.
 */
final class Grids {
    /** Threads of a block, as {@code common.cuh} has them. */
    static final int THREADS = 256;

    private static final int PACKS_OF_SLAB = 32;
    private static final int BLOCKS_OF_MULTIPROCESSOR = 8;
    private static final int PACK_BYTES = 16;

    private final int blocks;
    private final int elementBytes;

    Grids(int multiprocessors, int elementBytes) {
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
        return rows(rows, channels, 1, Math.max(1, blocks / slabs(channels)));
    }

    /** The same with at least so many rows to a thread, and at most so many blocks below each other. */
    Grid rows(long rows, int channels, int rowsOfThread, int most) {
        long wanted = ceil(rows, (long) rowsOfBlock(channels) * rowsOfThread);
        return new Grid((int) Math.max(1, Math.min(wanted, most)), slabs(channels));
    }

    /** Blocks that should share one of {@code groups} groups of rows. */
    int splits(long rowsOfGroup, int channels, long groups) {
        long wanted = Math.min(blocks / (groups * slabs(channels)), ceil(rowsOfGroup, rowsOfBlock(channels)));
        return (int) Math.max(1, wanted);
    }

    /** Blocks side by side over the channels. */
    int slabs(int channels) {
        return (int) ceil(packsOf(channels), PACKS_OF_SLAB);
    }

    /** Packs in a row of so many channels. */
    long packsOf(int channels) {
        return ceil(channels, packed());
    }

    private int rowsOfBlock(int channels) {
        return (int) (THREADS / Math.min(PACKS_OF_SLAB, packsOf(channels)));
    }

    private static long ceil(long number, long divisor) {
        return (number + divisor - 1) / divisor;
    }
}
