package io.crescendo.train;

import io.crescendo.backend.Executable;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.Workspace;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Plans and compiles batch sizes, and has their memory ready, on a thread of its own while the training thread trains.
 *
 * <p>IMPLEMENTATION NOTES. Each batch is one task. The thread takes tasks in order; a training thread that needs one
 * which was not begun runs it itself, after what is under way. When there is no task, for those need memory to measure
 * with, the thread readies that of the batch that comes next, piece by piece, and then binds its programs. The monitor
 * guards the queue and the tasks; the planner lets one thread at a time prepare, and {@link #handover} whoever uses
 * what is compiled or makes memory ready.
 */
final class Preparation implements AutoCloseable {
    /** No batch. */
    private static final int NONE = 0;

    /** How long the thread rests for the time it readied memory, so that training keeps the cores. */
    private static final int REST = 2;

    /** How long the thread is quiet after training has come to a batch: its first update is not to be held up. */
    private static final long QUIET_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

    private final StepPlanner planner;
    private final Workspace workspace;
    private final ModelMemory model;
    private final Object handover = new Object();
    private final Thread thread = new Thread(this::work, "crescendo-prepare");
    private final Deque<FutureTask<Prepared>> queue = new ArrayDeque<>();
    private final Map<Integer, FutureTask<Prepared>> tasks = new HashMap<>();

    /** Micro-batch sizes that were compiled, or are bound already. */
    private final Set<Integer> claimed = ConcurrentHashMap.newKeySet();

    private final Map<Integer, PlannedProgram> compiled = new ConcurrentHashMap<>();

    /** Programs of those that are bound ahead; guarded by {@link #handover}. */
    private final Map<Integer, Executable> bound = new HashMap<>();

    private int readied = NONE;
    private long quietUntil = System.nanoTime();
    private boolean closed;

    Preparation(StepPlanner planner, Workspace workspace, ModelMemory model) {
        this.planner = planner;
        this.workspace = workspace;
        this.model = model;
        thread.setDaemon(true); // a program that forgets close still ends
    }

    /**
     * A batch whose programs are compiled.
     *
     * @param nanos time it took to trace, lower, plan and compile them
     */
    record Prepared(StepPlan plan, long nanos) {}

    /** Asks for a batch to be prepared in the background. Asking again does nothing. */
    synchronized void ahead(int batch) {
        if (!tasks.containsKey(batch)) {
            queue.add(task(batch));
            wake();
        }
    }

    /**
     * Asks for the memory of a batch, instead of another's, to be made ready, and for its programs to be bound, now
     * that training has come to the batch before.
     */
    synchronized void ready(int batch) {
        readied = batch;
        quietUntil = System.nanoTime() + QUIET_NANOS;
        wake();
    }

    private void wake() {
        if (thread.getState() == Thread.State.NEW) {
            thread.start(); // not before there is work: steps that nobody announces need no thread
        }
        notifyAll();
    }

    /** The plan of a batch if it is prepared, without waiting. */
    @Nullable
    StepPlan planned(int batch) {
        FutureTask<Prepared> task;
        synchronized (this) {
            task = tasks.get(batch);
        }
        return task != null && task.isDone() && !task.isCancelled()
                ? result(task).plan()
                : null;
    }

    /** Whether all is done for a batch that was asked for. */
    boolean isReady(int batch) {
        return planned(batch) != null && !isAskedFor(batch); // in this order: who asks hears at once of a failure
    }

    /** Waits for a batch, or prepares it here and now. */
    Prepared await(int batch) {
        FutureTask<Prepared> task;
        synchronized (this) {
            FutureTask<Prepared> known = tasks.get(batch);
            task = known == null ? task(batch) : known;
        }
        task.run(); // returns at once if it was begun
        return result(task);
    }

    /** The compiled program of a micro-batch size, which becomes the caller's. */
    PlannedProgram take(int microBatch) {
        PlannedProgram program = remove(microBatch);
        if (program == null) { // it was forgotten since, or two tasks claimed it
            claimed.add(microBatch);
            program = planner.training(microBatch);
            planner.discardCandidates();
        }
        return program;
    }

    /** What was bound ahead of the program that {@link #take} gave; it becomes the caller's. Null if nothing was. */
    @Nullable
    Executable takeBound(int microBatch) {
        synchronized (handover) {
            return bound.remove(microBatch);
        }
    }

    /** Forgets a micro-batch size, so that it is compiled again when a batch needs it again. */
    void forget(int microBatch) {
        claimed.remove(microBatch);
        PlannedProgram program = remove(microBatch);
        Executable ahead = takeBound(microBatch);
        if (ahead != null) {
            ahead.close();
        }
        if (program != null) {
            program.close();
        }
    }

    private @Nullable PlannedProgram remove(int microBatch) {
        synchronized (handover) {
            return compiled.remove(microBatch);
        }
    }

    /** Forgets a batch, so that it is planned again when it comes again. */
    synchronized void forgetBatch(int batch) {
        FutureTask<Prepared> task = tasks.get(batch);
        if (task != null && task.isDone()) {
            tasks.remove(batch);
        }
    }

    /** Forgets all plans and whatever was compiled but not taken; what is under way is finished, with its own plan. */
    void forgetPlans() {
        synchronized (this) {
            queue.clear();
            tasks.clear();
            readied = NONE;
        }
        synchronized (planner) {
            synchronized (handover) { // whose next holder sees that no memory is to be readied
                Set.copyOf(compiled.keySet()).forEach(this::forget);
            }
        }
    }

    private FutureTask<Prepared> task(int batch) {
        FutureTask<Prepared> task = new FutureTask<>(() -> prepare(batch));
        tasks.put(batch, task);
        return task;
    }

    private Prepared prepare(int batch) {
        synchronized (planner) {
            long started = System.nanoTime();
            StepPlan plan = planner.plan(batch);
            for (int size : plan.sizes()) {
                if (claimed.add(size)) {
                    compiled.put(size, planner.compile(planner.training(size)));
                }
            }
            planner.discardCandidates();
            return new Prepared(planner.refined(plan), System.nanoTime() - started);
        }
    }

    private static Prepared result(FutureTask<Prepared> task) {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return task.get();
                } catch (InterruptedException e) {
                    interrupted = true; // what is under way ends soon, and its memory must not be lost
                }
            }
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            if (e.getCause() instanceof Error cause) {
                throw cause;
            }
            throw new IllegalStateException("preparing a batch failed", e.getCause());
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private void work() {
        try {
            while (true) {
                @Nullable FutureTask<Prepared> task;
                int batch;
                synchronized (this) {
                    for (long quiet = quietNanos(); !closed && (isIdle() || quiet > 0); quiet = quietNanos()) {
                        if (quiet > 0) {
                            TimeUnit.NANOSECONDS.timedWait(this, quiet);
                        } else {
                            wait();
                        }
                    }
                    if (closed) {
                        return;
                    }
                    task = queue.poll();
                    batch = readied;
                }
                if (task != null) {
                    task.run(); // its exception waits for whoever asks for the batch
                } else {
                    readyPiece(batch);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt(); // as the thread is asked to end, it does
        } finally {
            synchronized (this) {
                closed = true;
                readied = NONE; // nobody is to wait for it
            }
        }
    }

    private long quietNanos() {
        return quietUntil - System.nanoTime();
    }

    private boolean isIdle() {
        return queue.isEmpty() && readied == NONE;
    }

    private void readyPiece(int batch) throws InterruptedException {
        long started = System.nanoTime();
        boolean more = false;
        try {
            synchronized (handover) { // a budget that shrinks meanwhile comes before the plan, or after the piece
                StepPlan plan = planned(batch);
                more = plan != null && isAskedFor(batch) && workspace.prepare(plan.workspaceBytes());
                if (plan != null && !more && isAskedFor(batch)) {
                    plan.sizes()
                            .forEach(size -> bindAhead(size, plan.microBatches().equals(List.of(size))));
                }
            }
        } catch (RuntimeException e) {
            more = false; // it could not be prepared, as whoever asks for the batch will hear
        }
        long took = System.nanoTime() - started;
        synchronized (this) {
            if (!more) {
                readied = readied == batch ? NONE : readied;
            } else if (queue.isEmpty() && !closed) {
                TimeUnit.NANOSECONDS.timedWait(this, REST * took);
            }
        }
    }

    private synchronized boolean isAskedFor(int batch) {
        return readied == batch;
    }

    private void bindAhead(int microBatch, boolean whole) {
        PlannedProgram program = compiled.get(microBatch); // null if it is bound already
        if (program != null && !bound.containsKey(microBatch)) {
            program.lowered()
                    .bindAhead(program.plan(), model, whole)
                    .ifPresent(executable -> bound.put(microBatch, executable));
        }
    }

    /** Ends the thread after the batch, or the piece of memory, it is preparing. */
    @Override
    public void close() {
        synchronized (this) {
            closed = true;
            notifyAll();
        }
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        bound.values().forEach(Executable::close);
        bound.clear();
        compiled.values().forEach(PlannedProgram::close);
        compiled.clear();
    }
}
