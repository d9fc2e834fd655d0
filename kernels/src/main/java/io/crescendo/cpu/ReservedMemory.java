package io.crescendo.cpu;

import org.jspecify.annotations.Nullable;

/**
 * A range of addresses as large as the machine's memory, the first part of which has memory behind it.
 *
 * <p>It grows and shrinks in place: the address never changes, pages that were found stay, and pages behind the end can
 * be found in advance. A first touch is not free: Linux clears each page, and on a virtual machine whose host has yet
 * to find the memory it takes up to 2 ms per megabyte.
 */
final class ReservedMemory implements AutoCloseable {
    private final long reserved;
    private final long reservedBytes;
    private final long address;
    private final long mostBytes;
    private long committedBytes;

    private ReservedMemory(long reserved, long reservedBytes, long mostBytes) {
        this.reserved = reserved;
        this.reservedBytes = reservedBytes;
        this.address = roundedUp(reserved, VirtualMemory.HUGE_PAGE_BYTES);
        this.mostBytes = mostBytes;
    }

    /**
     * Reserves addresses.
     *
     * @return null where the system does not do that or, by a limit on addresses, not now
     */
    static @Nullable ReservedMemory of(long mostBytes) {
        if (!VirtualMemory.isHere()) {
            return null;
        }
        long bytes = roundedUp(mostBytes, VirtualMemory.PAGE_BYTES);
        long all = bytes + VirtualMemory.HUGE_PAGE_BYTES; // to begin at a multiple of it
        long at = VirtualMemory.reserve(all);
        return at == VirtualMemory.FAILED ? null : new ReservedMemory(at, all, bytes);
    }

    private static long roundedUp(long number, long unit) {
        return Math.addExact(number, unit - 1) / unit * unit;
    }

    long address() {
        return address;
    }

    /** Has memory for this many bytes; false if the system refuses, and nothing has changed. */
    boolean grow(long bytes) {
        if (bytes <= committedBytes) {
            return true;
        }
        if (bytes > mostBytes) {
            return false;
        }
        long end = roundedUp(bytes, VirtualMemory.PAGE_BYTES);
        if (!VirtualMemory.commit(address + committedBytes, end - committedBytes)) {
            return false;
        }
        committedBytes = end;
        if (end >= 2 * VirtualMemory.HUGE_PAGE_BYTES) {
            VirtualMemory.adviseHugePages(address, end);
        }
        return true;
    }

    /** Gives back what lies behind this many bytes. */
    void shrink(long bytes) {
        if (bytes >= committedBytes) {
            return;
        }
        long end = roundedUp(bytes, VirtualMemory.PAGE_BYTES);
        if (end < committedBytes) {
            VirtualMemory.decommit(address + end, committedBytes - end);
            committedBytes = end;
        }
    }

    /** Finds the pages between two places, the first rounded down; false if the system cannot. */
    boolean populate(long from, long to) {
        long begin = from / VirtualMemory.PAGE_BYTES * VirtualMemory.PAGE_BYTES;
        return VirtualMemory.populate(address + begin, roundedUp(to, VirtualMemory.PAGE_BYTES) - begin);
    }

    @Override
    public void close() {
        VirtualMemory.release(reserved, reservedBytes);
    }
}
