package io.crescendo.cuda;

import org.jspecify.annotations.Nullable;

/**
 * Keeps two streams in step while the operations of a program are put on them: leaves on the side, the others on the
 * main one, where everything is done in the end. {@link Branches} says what waits for what.
 *
 * <pre>{@code
 * for (int op = 0; op < operations; op++) {
 *     streams.before(op);
 *     // its launches, on the side track if it is a leaf
 *     streams.after(op);
 * }
 * streams.join();
 * }</pre>
 *
 * <p>Events become the edges of the graph where the streams are recorded.
 */
final class SideTrack {
    private final Branches branches;
    private final Track main;
    private final Track side;
    private final CudaEvent forked;
    private final CudaEvent joined;
    /** By leaf; null for those that nobody waits for one by one. */
    private final @Nullable CudaEvent[] done;

    private boolean busy;

    /**
     * Makes the events.
     *
     * @param scope ends them
     */
    SideTrack(CudaScope scope, Branches branches, int operations, Track main, Track side) {
        this.branches = branches;
        this.main = main;
        this.side = side;
        this.forked = scope.own(new CudaEvent());
        this.joined = scope.own(new CudaEvent());
        this.done = new CudaEvent[operations];
        for (int op = 0; op < operations; op++) {
            if (branches.awaitedBy(op) >= 0) {
                done[branches.awaitedBy(op)] = scope.own(new CudaEvent());
            }
        }
    }

    /** Comes before the launches of an operation. */
    void before(int op) {
        if (branches.isLeaf(op)) {
            forked.record(main.stream());
            forked.holdBack(side.stream());
            busy = true;
        } else if (branches.awaitedBy(op) >= 0) {
            CudaEvent leaf = done[branches.awaitedBy(op)];
            if (leaf == null) {
                throw new IllegalStateException("nothing marks the end of leaf " + branches.awaitedBy(op));
            }
            leaf.holdBack(main.stream());
        }
    }

    /** Comes behind the launches of an operation. */
    void after(int op) {
        CudaEvent leaf = done[op];
        if (leaf != null) {
            leaf.record(side.stream());
        }
    }

    /** Lets the main stream wait for all leaves. Also comes after a failure: a recording cannot end without. */
    void join() {
        if (busy) {
            joined.record(side.stream());
            joined.holdBack(main.stream());
            busy = false;
        }
    }
}
