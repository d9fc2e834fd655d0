package io.crescendo.cpu;

import com.sun.jna.Native;
import com.sun.jna.Platform;

/** Linux's calls for address space and the pages behind it; nothing of it is there on other systems. */
final class VirtualMemory {
    /** Smaller blocks would not have a huge page of their own; a huge page is this large. */
    static final long HUGE_PAGE_BYTES = 2 << 20;

    /** What addresses and lengths are multiples of, on processors of the x86 and ARM families: 4, 16 or 64 KiB. */
    static final long PAGE_BYTES = 64 << 10;

    // sys/mman.h
    private static final int PROT_NONE = 0;
    private static final int PROT_READ_WRITE = 1 | 2;
    private static final int MAP_PRIVATE = 0x02;
    private static final int MAP_FIXED = 0x10;
    private static final int MAP_ANONYMOUS = 0x20;
    private static final int MADV_HUGEPAGE = 14;
    private static final int MADV_POPULATE_WRITE = 23;
    private static final int NO_FILE = -1;

    /** The address of what was refused. */
    static final long FAILED = -1;

    private VirtualMemory() {}

    static boolean isHere() {
        return Platform.isLinux();
    }

    private static final class C {
        static {
            Native.register(C.class, Platform.C_LIBRARY_NAME);
        }

        private C() {}

        static native long mmap(long address, long bytes, int protection, int flags, int file, long offset);

        static native int mprotect(long address, long bytes, int protection);

        static native int madvise(long address, long bytes, int advice);

        static native int munmap(long address, long bytes);
    }

    /** Addresses without memory; {@link #FAILED} if the system refuses. */
    static long reserve(long bytes) {
        return C.mmap(0, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, NO_FILE, 0);
    }

    /** Makes reserved addresses usable: pages of zeros, found when they are first written. */
    static boolean commit(long address, long bytes) {
        return C.mprotect(address, bytes, PROT_READ_WRITE) == 0;
    }

    /** Gives the pages back and keeps the addresses. */
    static void decommit(long address, long bytes) {
        long at = C.mmap(address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NO_FILE, 0);
        if (at == FAILED) {
            throw new IllegalStateException("cannot give back " + bytes + " bytes: error " + Native.getLastError());
        }
    }

    /** Gives addresses and pages back. */
    static void release(long address, long bytes) {
        C.munmap(address, bytes);
    }

    /**
     * Wishes for huge pages, which most distributions give on request only. A kernel without them goes on as before.
     */
    static void adviseHugePages(long address, long bytes) {
        if (isHere()) {
            C.madvise(address, bytes, MADV_HUGEPAGE);
        }
    }

    /**
     * Finds the pages now, as if each were written to; what they hold stays as it is, so others may use them meanwhile.
     *
     * @return whether it was done; kernels before 5.14 cannot
     */
    static boolean populate(long address, long bytes) {
        return C.madvise(address, bytes, MADV_POPULATE_WRITE) == 0;
    }
}
