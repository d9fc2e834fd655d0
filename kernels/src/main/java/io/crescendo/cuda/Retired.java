package io.crescendo.cuda;

import java.util.ArrayDeque;
import java.util.Deque;

/**
 * What was closed while the device may still use it: graphs that run, plans of cuDNN whose code they run.
 *
 * <p>Nobody waits: a mark on the compute stream says when the device has passed, and whoever retires something next
 * releases what is past its mark. A batch that has grown closes the programs of the one before so.
 */
final class Retired implements AutoCloseable {
    private final CudaDevice device;
    private final Deque<Entry> entries = new ArrayDeque<>();

    private record Entry(CudaScope scope, CudaEvent passed) {}

    Retired(CudaDevice device) {
        this.device = device;
    }

    /** Releases a scope some time after everything that is on the compute stream now. */
    synchronized void add(CudaScope scope) {
        if (device.health().failed()) {
            scope.close(); // nothing runs any more, and nobody can ask
            return;
        }
        try {
            releasePassed();
            CudaScope made = device.newScope();
            CudaEvent passed = made.own(new CudaEvent());
            try {
                passed.record(device.stream());
            } catch (jcuda.CudaException e) {
                throw made.closeAfter(e);
            }
            entries.add(new Entry(scope, passed));
        } catch (jcuda.CudaException e) {
            throw scope.closeAfter(CudaCalls.failure("release what was made on the device", e));
        } catch (CudaException e) {
            throw scope.closeAfter(e);
        }
    }

    private void releasePassed() {
        while (!entries.isEmpty() && device.driver().isDone(entries.peek().passed)) {
            release(entries.remove());
        }
    }

    private void release(Entry entry) {
        CudaScope both = device.newScope();
        both.own(entry.passed);
        both.own(entry.scope);
        both.close();
    }

    /** Releases everything; the device must have ended what it was given. */
    @Override
    public synchronized void close() {
        CudaScope all = device.newScope();
        entries.forEach(entry -> all.onClose(() -> release(entry)));
        entries.clear();
        all.close();
    }
}
