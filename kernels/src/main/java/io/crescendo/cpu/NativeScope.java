package io.crescendo.cpu;

import java.util.ArrayDeque;
import java.util.Deque;

/** Native objects that end together, the newest first. */
final class NativeScope implements AutoCloseable {
    private final Deque<Runnable> releases = new ArrayDeque<>();

    void onClose(Runnable release) {
        releases.push(release);
    }

    @Override
    public void close() {
        while (!releases.isEmpty()) {
            releases.pop().run();
        }
    }
}
