package io.crescendo.cuda;

/**
 * Something put on a stream: once while a graph is recorded, or at every run without graphs.
 *
 * <p>It enqueues and returns: it neither allocates nor waits, for a stream that is being recorded allows neither.
 */
@FunctionalInterface
interface Launch {
    /** For what turned out to need no work, a copy in place for example. */
    Launch NOTHING = lane -> {};

    void enqueue(Lane lane);
}
