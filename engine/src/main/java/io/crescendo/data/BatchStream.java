package io.crescendo.data;

import io.crescendo.backend.ImageSource;
import org.jspecify.annotations.Nullable;

/**
 * Batches of a data set by their place on the training clock, filled on one background thread.
 *
 * <p>{@code next(epoch, position, count)} is a pure function of its arguments and the seed: asking for 10 samples
 * equals asking for 4 and then 6, and asking twice gives the same batch. {@code prefetch} names the batch that will be
 * asked for next, so that it is filled while the present one is used; it changes when the work happens, never what
 * comes out.
 *
 * <p>Two batches alternate: the one returned last belongs to the caller until it calls {@code next} again, the other to
 * the background thread. Nothing is allocated once both have held the largest count.
 *
 * <pre>{@code
 * try (BatchStream stream = new BatchStream(training, Normalization.of(training), Augmentation.NONE, 42)) {
 *     Batch batch = stream.next(0, 0, 128);
 *     stream.prefetch(0, 128, 128);
 * }
 * }</pre>
 *
 * <p>One thread calls {@code next} and {@code prefetch}; any thread may {@code close}.
 *
 * <p>IMPLEMENTATION NOTES. The monitor of this object guards every field that changes; the background thread leaves it
 * while it fills {@code back}, and the state FILLING keeps everyone else away from that batch.
 */
public final class BatchStream implements AutoCloseable {
    private enum State {
        IDLE,
        REQUESTED,
        FILLING,
        READY,
        FAILED
    }

    private final Dataset dataset;
    private final BatchFiller filler;
    private final StreamSource source;
    private final Thread thread;

    private Batch front;
    private Batch back;
    private State state = State.IDLE;
    private long epoch;
    private int position;
    private int count;
    private @Nullable Throwable failure;
    private boolean closed;

    /**
     * A training stream: a new permutation in every epoch, augmented.
     *
     * @throws IllegalArgumentException if normalization or augmentation does not fit the images
     */
    public BatchStream(Dataset dataset, Normalization normalization, Augmentation augmentation, long seed) {
        this(dataset, normalization, augmentation, true, seed);
    }

    /** A stream for evaluation: the data set's own order, no augmentation. */
    public static BatchStream evaluation(Dataset dataset, Normalization normalization) {
        return new BatchStream(dataset, normalization, Augmentation.NONE, false, 0);
    }

    private BatchStream(
            Dataset dataset, Normalization normalization, Augmentation augmentation, boolean shuffled, long seed) {
        if (normalization.mean().length != dataset.shape().channels()) {
            throw new IllegalArgumentException("normalization has " + normalization.mean().length
                    + " channels, the images of '" + dataset.name() + "' have "
                    + dataset.shape().channels() + "; compute it with Normalization.of on the training set");
        }
        augmentation.requireFits(dataset);
        this.dataset = dataset;
        this.filler = new BatchFiller(dataset, normalization, augmentation, order(dataset, shuffled, seed), seed);
        // An order of its own: an order remembers an epoch, and the filler's belongs to the background thread.
        this.source = new StreamSource(dataset, normalization, augmentation, order(dataset, shuffled, seed), seed);
        this.front = new Batch(dataset.shape());
        this.back = new Batch(dataset.shape());
        this.thread = new Thread(this::work, "crescendo-data");
        thread.setDaemon(true); // a program that forgets close still ends
    }

    private static SampleOrder order(Dataset dataset, boolean shuffled, long seed) {
        return shuffled ? SampleOrder.shuffled(dataset.size(), seed) : SampleOrder.sequential(dataset.size());
    }

    /** What this stream makes its batches of, for a device that makes the same ones itself; used by one thread. */
    public ImageSource source() {
        return source;
    }

    /**
     * The samples at [samplesIntoEpoch, samplesIntoEpoch + count) of an epoch, valid until the next call.
     *
     * @throws IllegalArgumentException if the samples do not lie within the epoch
     * @throws DataException if the data set could not be read, with the background thread's exception as its cause
     * @throws IllegalStateException if the stream is closed
     */
    public synchronized Batch next(long epoch, long samplesIntoEpoch, int count) {
        request(epoch, samplesIntoEpoch, count);
        while (!holds(epoch, samplesIntoEpoch, count) || (state != State.READY && state != State.FAILED)) {
            awaitChange();
            if (closed) {
                throw closedError();
            }
            // A prefetch of other samples was being filled when this was asked for: its turn has come now.
            request(epoch, samplesIntoEpoch, count);
        }
        if (state == State.FAILED) {
            throw fault();
        }
        Batch filled = back;
        back = front;
        front = filled;
        state = State.IDLE;
        return filled;
    }

    /**
     * Announces what {@code next} will be asked for after the present batch.
     *
     * <p>A hint: it returns at once, one announcement is kept at a time, and a wrong or missing one costs only time.
     *
     * @throws IllegalArgumentException if the samples do not lie within the epoch
     * @throws IllegalStateException if the stream is closed
     */
    public synchronized void prefetch(long epoch, long samplesIntoEpoch, int count) {
        request(epoch, samplesIntoEpoch, count);
    }

    /** Ends the background thread, after the batch it is filling. Closing twice is fine. */
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
                interrupted = true; // memory may be freed after close, so the thread must be gone
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Asks the background thread for these samples, unless it has them already or is busy with others. */
    private void request(long epoch, long samplesIntoEpoch, int count) {
        requireRange(epoch, samplesIntoEpoch, count);
        if (closed) {
            throw closedError();
        }
        if (state == State.FILLING || holds(epoch, samplesIntoEpoch, count)) {
            return;
        }
        this.epoch = epoch;
        this.position = (int) samplesIntoEpoch;
        this.count = count;
        this.failure = null;
        this.state = State.REQUESTED;
        if (thread.getState() == Thread.State.NEW) {
            thread.start(); // not before there is work: a stream that nobody came to use needs no close
        }
        notifyAll();
    }

    private boolean holds(long epoch, long samplesIntoEpoch, int count) {
        return state != State.IDLE && this.epoch == epoch && this.position == samplesIntoEpoch && this.count == count;
    }

    private void requireRange(long epoch, long samplesIntoEpoch, int count) {
        SampleOrder.requireEpoch(epoch);
        if (count < 1 || samplesIntoEpoch < 0 || samplesIntoEpoch > dataset.size() - (long) count) {
            throw new IllegalArgumentException("samples [" + samplesIntoEpoch + ", " + (samplesIntoEpoch + count)
                    + ") of epoch " + epoch + " do not lie within [0, " + dataset.size() + ") of '" + dataset.name()
                    + "'; a batch holds at least 1 sample and does not cross the end of an epoch");
        }
        int most = Batch.mostSamples(dataset.shape());
        if (count > most) {
            throw new IllegalArgumentException(count + " images of " + dataset.shape() + " take "
                    + (long) count * dataset.shape().pixels() * Float.BYTES + " bytes, but one buffer holds less than 2"
                    + " GiB; ask for at most " + most + " at once, as training does with micro-batches");
        }
    }

    private static IllegalStateException closedError() {
        return new IllegalStateException("the batch stream is closed");
    }

    @SuppressWarnings("WaitNotInLoop") // every caller loops over its own condition
    private void awaitChange() {
        try {
            wait();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new DataException("interrupted while waiting for a batch of '" + dataset.name() + "'", e);
        }
    }

    private DataException fault() {
        Throwable cause = failure;
        state = State.IDLE; // asking again tries again
        failure = null;
        if (cause instanceof Error error) {
            throw error;
        }
        String reason = cause == null ? "unknown" : cause.getMessage() == null ? cause.toString() : cause.getMessage();
        return new DataException(
                "samples [" + position + ", " + (position + count) + ") of epoch " + epoch + " of '" + dataset.name()
                        + "' could not be read: " + reason,
                cause);
    }

    private void work() {
        while (awaitRequest()) {
            Throwable thrown = null;
            try {
                filler.fill(back, epoch, position, count);
            } catch (Throwable e) { // whatever it is, the thread that asked must hear of it
                thrown = e;
            }
            synchronized (this) {
                failure = thrown;
                state = thrown == null ? State.READY : State.FAILED;
                notifyAll();
            }
        }
    }

    /** Waits for a request and marks it as being filled; false once the stream is closed. */
    private synchronized boolean awaitRequest() {
        while (state != State.REQUESTED && !closed) {
            try {
                wait();
            } catch (InterruptedException e) {
                closed = true;
                notifyAll();
            }
        }
        if (closed) {
            return false;
        }
        state = State.FILLING;
        return true;
    }
}
