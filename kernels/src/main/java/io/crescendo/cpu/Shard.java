package io.crescendo.cpu;

import io.crescendo.backend.Feed;
import java.nio.IntBuffer;
import org.jspecify.annotations.Nullable;

/** What the steps of one replay need to know: which samples of the feed they work on. Reused, never allocated anew. */
final class Shard {
    private @Nullable Feed feed;
    private int first;

    void of(Feed newFeed, int newFirst) {
        feed = newFeed;
        first = newFirst;
    }

    /** Index of the shard's first sample in the feed. */
    int first() {
        return first;
    }

    private Feed feed() {
        if (feed == null) {
            throw new IllegalStateException("a step ran without a feed");
        }
        return feed;
    }

    IntBuffer labels() {
        return feed().labels();
    }

    long seed() {
        return feed().seed();
    }

    /** Number of the shard's first sample on the training clock. */
    long firstSample() {
        return feed().firstSample() + first;
    }
}
