package io.crescendo.cuda;

import java.util.ArrayDeque;
import java.util.Deque;

/**
 * Things of the device that end together, the newest first.
 *
 * <p>Once the device has failed for good, every release fails too: all are tried, and the first failure is thrown at
 * the end with the others attached.
 */
final class CudaScope implements AutoCloseable {
    private final Deque<Runnable> releases = new ArrayDeque<>();

    void onClose(Runnable release) {
        releases.push(release);
    }

    @Override
    public void close() {
        RuntimeException first = null;
        while (!releases.isEmpty()) {
            try {
                releases.pop().run();
            } catch (RuntimeException e) {
                if (first == null) {
                    first = e;
                } else {
                    first.addSuppressed(e);
                }
            }
        }
        if (first != null) {
            throw first;
        }
    }
}
