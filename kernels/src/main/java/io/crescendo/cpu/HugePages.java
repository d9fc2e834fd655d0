package io.crescendo.cpu;

import com.sun.jna.Function;
import com.sun.jna.Platform;
import com.sun.jna.Pointer;

/** Asks Linux for huge pages where it gives them only on request, as most distributions are set. */
final class HugePages {
    /** {@code MADV_HUGEPAGE} of {@code sys/mman.h}. */
    private static final int HUGE_PAGE = 14;

    private HugePages() {}

    /** A wish: a kernel that cannot grant it answers with an error, and everything works as before. */
    static void advise(long address, long bytes) {
        if (Platform.isLinux()) {
            Function.getFunction(Platform.C_LIBRARY_NAME, "madvise")
                    .invokeInt(new Object[] {new Pointer(address), bytes, HUGE_PAGE});
        }
    }
}
