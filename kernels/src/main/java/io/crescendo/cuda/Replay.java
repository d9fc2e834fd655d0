package io.crescendo.cuda;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Launches that always follow one another, replayed as one graph.
 *
 * <p>IMPLEMENTATION NOTES. The first time every launch is put on the compute stream one by one, and then once more
 * while the stream is recorded: libraries load kernels and set themselves up when a function is used for the first
 * time, which a recording forbids. From the second time on there is one launch.
 *
 * <p>What was recorded ahead, on another lane while a step runs, is one launch from the first time on. Its methods have
 * been measured, so the libraries are set up, mostly; where such a recording fails nevertheless, the first launch does
 * it.
 *
 * <p>Where the device has no memory for a graph, the launches are put on the stream one by one. A graph is tried again
 * after one time, two, four and so on: trying costs about as much as the launches.
 */
final class Replay implements AutoCloseable {
    private static final Logger LOG = System.getLogger(Replay.class.getName());

    /** So that it is noticed some time that there is memory again. */
    private static final int MOST_TIMES_WITHOUT = 1024;

    private final CudaBackend backend;
    private final CudaDevice device;
    private final String what;
    private final Item[] items;
    private @Nullable Recording recording;
    private boolean told;
    /** How often no graph is tried, from now on and after the next refusal. */
    private int timesWithout;

    private int nextTimesWithout = 1;

    /**
     * One launch and whose it is.
     *
     * @param owner for messages: an operation, say
     */
    record Item(Launch launch, String owner) {
        void enqueue(Lane lane) {
            try {
                launch.enqueue(lane);
            } catch (jcuda.CudaException | CudaException e) {
                throw CudaException.inLaunchOf(owner, e);
            }
        }
    }

    /**
     * Names what will be launched; launches nothing.
     *
     * @param what for messages, for example {@code the training program with micro-batch 128}
     */
    Replay(CudaBackend backend, String what, List<Item> items) {
        this.backend = backend;
        this.device = backend.device();
        this.what = what;
        this.items = items.toArray(Item[]::new);
    }

    /** Puts all of it on the compute stream. */
    void launch() {
        try {
            if (!device.graphs()) {
                enqueueOneByOne();
            } else if (timesWithout > 0) {
                timesWithout--;
                enqueueAll(device.lane());
            } else if (recording != null) {
                launch(recording);
            } else {
                enqueueAll(device.lane());
                record();
            }
        } catch (RuntimeException | Error e) {
            backend.recount(e);
            throw e;
        }
    }

    private void launch(Recording recorded) {
        try {
            recorded.launch(device.stream());
            nextTimesWithout = 1;
        } catch (jcuda.CudaException e) {
            if (!CudaCalls.isOutOfMemory(e)) {
                throw e;
            }
            withoutGraph(CudaCalls.failure("launch it as a graph", e));
            enqueueAll(device.lane());
        }
    }

    private void record() {
        try {
            synchronized (device.recordings()) {
                recording = Recording.of(device.stream(), () -> enqueueAll(device.lane()));
            }
        } catch (jcuda.CudaException e) {
            recordingFailed(CudaCalls.failure("record it as a graph", e));
        } catch (CudaException e) {
            recordingFailed(e);
        }
    }

    private void recordingFailed(CudaException e) {
        if (!e.outOfMemory()) {
            throw new CudaException(
                    "cannot record " + what + " as a graph: " + e.getMessage()
                            + ". It may run without graphs (--no-graphs)",
                    e);
        }
        withoutGraph(e);
    }

    /**
     * What a graph launches needs no memory of its own: no reason to end a run, only to be slower until there is some.
     */
    private void withoutGraph(CudaException reason) {
        LOG.log(told ? Level.DEBUG : Level.WARNING, "{0} runs without a graph: {1}", what, reason.getMessage());
        told = true;
        timesWithout = nextTimesWithout;
        nextTimesWithout = Math.min(2 * nextTimesWithout, MOST_TIMES_WITHOUT);
    }

    /** Records it while something else runs; does nothing if that is not possible. */
    void recordAhead() {
        try {
            recording = backend.recordAhead(this::enqueueAll);
        } catch (RuntimeException e) {
            device.health().note(e);
            LOG.log(Level.INFO, "{0} cannot be recorded ahead: {1}", what, e.getMessage());
        }
    }

    private void enqueueAll(Lane lane) {
        for (Item item : items) {
            item.enqueue(lane);
        }
    }

    /** Waits after each, so that what the device finds wrong has a name. */
    private void enqueueOneByOne() {
        for (Item item : items) {
            item.enqueue(device.lane());
            try {
                device.await();
            } catch (jcuda.CudaException e) {
                throw CudaException.inLaunchOf(item.owner, e);
            }
        }
    }

    /** Forgets the graph; nothing of it may be running. */
    @Override
    public void close() {
        Recording old = recording;
        recording = null;
        if (old != null) {
            old.close();
        }
    }
}
