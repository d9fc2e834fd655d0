package io.crescendo.cpu;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * Java threads for the few loops that oneDNN has no primitive for, above all the parameter update.
 *
 * <p>They sleep while oneDNN's threads work and the other way round, so there is never more than one busy thread per
 * core. Running a task allocates nothing.
 */
final class Workers implements AutoCloseable {
    /** Rounds the caller spins before it sleeps: parts end at about the same time. */
    private static final int SPINS = 2000;

    private final Thread[] threads;
    private final AtomicInteger unfinished = new AtomicInteger();
    private volatile int round;
    private volatile boolean closed;
    private volatile @Nullable Task task;
    private volatile @Nullable Thread caller;
    private volatile @Nullable Throwable failure;

    /** Work in equal parts. */
    interface Task {
        void run(int part, int parts);
    }

    /**
     * Starts the helpers.
     *
     * @param count threads that work at a time, the caller among them
     */
    Workers(int count) {
        threads = new Thread[count - 1];
        for (int i = 0; i < threads.length; i++) {
            int part = i + 1;
            threads[i] = new Thread(() -> work(part), "crescendo-cpu-" + part);
            threads[i].setDaemon(true);
            threads[i].start();
        }
    }

    int count() {
        return threads.length + 1;
    }

    private void work(int part) {
        int seen = 0;
        while (true) {
            while (round == seen && !closed) {
                LockSupport.park(this);
            }
            if (closed) {
                return;
            }
            seen = round;
            try {
                Task current = task;
                if (current != null) {
                    current.run(part, count());
                }
            } catch (RuntimeException | Error e) {
                failure = e;
            }
            if (unfinished.decrementAndGet() == 0) {
                LockSupport.unpark(caller);
            }
        }
    }

    /** Runs all parts, the first on the calling thread, and waits for them. */
    @SuppressWarnings("NonAtomicVolatileUpdate") // only the one calling thread writes
    void run(Task newTask) {
        caller = Thread.currentThread();
        task = newTask;
        unfinished.set(threads.length);
        round++;
        for (Thread thread : threads) {
            LockSupport.unpark(thread);
        }
        try {
            newTask.run(0, count());
        } finally {
            for (int spins = 0; unfinished.get() > 0; spins++) {
                if (spins < SPINS) {
                    Thread.onSpinWait();
                } else {
                    LockSupport.park(this);
                }
            }
        }
        Throwable thrown = failure;
        if (thrown != null) {
            failure = null;
            throw new IllegalStateException("a worker thread failed", thrown);
        }
    }

    @Override
    public void close() {
        closed = true;
        for (Thread thread : threads) {
            LockSupport.unpark(thread);
        }
    }
}
