package io.crescendo.cuda;

import java.util.ArrayDeque;
import java.util.Deque;
import org.jspecify.annotations.Nullable;

/**
 * Things of the device that end together, the newest first.
 *
 * <p>Once the device has failed for good, every release fails too. All are tried nevertheless; the first failure is
 * thrown at the end, unless the device's failure was reported before: it must not be hidden by its consequences.
 */
final class CudaScope implements AutoCloseable {
    private final Deque<AutoCloseable> releases = new ArrayDeque<>();
    private final Health health;

    /** Whether a device still works, shared by everything that was made on it. */
    static final class Health {
        private volatile @Nullable RuntimeException failure;

        /** Notes a failure if it is one after which nothing works any more; gives it back to be thrown. */
        <E extends RuntimeException> E note(E thrown) {
            if (failure == null && CudaCalls.isFatal(thrown)) {
                failure = thrown;
            }
            return thrown;
        }

        /** Notes that nothing can go on, though the device might. */
        void giveUp(RuntimeException reason) {
            if (failure == null) {
                failure = reason;
            }
        }

        boolean isFailure(RuntimeException thrown) {
            return failure == thrown;
        }

        boolean failed() {
            return failure != null;
        }

        /**
         * Refuses to go on after the device has failed.
         *
         * @throws CudaException that names the first failure
         */
        void require() {
            RuntimeException first = failure;
            if (first != null) {
                throw new CudaException("the device failed before and can do nothing more in this process; its first"
                        + " error was: " + first.getMessage());
            }
        }
    }

    /** A scope that always reports what cannot be released. */
    CudaScope() {
        this(new Health());
    }

    CudaScope(Health health) {
        this.health = health;
    }

    /** Adds something and gives it back. */
    <T extends AutoCloseable> T own(T closeable) {
        releases.push(closeable);
        return closeable;
    }

    void onClose(Runnable release) {
        releases.push(release::run);
    }

    @Override
    public void close() {
        RuntimeException first = releaseAll(null);
        if (first != null) {
            throw first;
        }
    }

    /** Releases everything after a failure, whose exception gets the others attached, and gives it back. */
    <E extends RuntimeException> E closeAfter(E failure) {
        health.note(failure);
        releaseAll(failure);
        return failure;
    }

    private @Nullable RuntimeException releaseAll(@Nullable RuntimeException earlier) {
        RuntimeException first = earlier;
        while (!releases.isEmpty()) {
            boolean known = health.failed();
            try {
                releases.pop().close();
            } catch (Exception e) {
                RuntimeException thrown = translated(e);
                health.note(thrown);
                if (first == null && !known) {
                    first = thrown;
                } else if (first != null && first != thrown) {
                    first.addSuppressed(thrown);
                }
            }
        }
        return first;
    }

    private static RuntimeException translated(Exception thrown) {
        if (thrown instanceof jcuda.CudaException bare) {
            return CudaCalls.failure("release what was made on the device", bare);
        }
        return thrown instanceof RuntimeException unchecked
                ? unchecked
                : new CudaException("cannot release: " + thrown, thrown);
    }
}
