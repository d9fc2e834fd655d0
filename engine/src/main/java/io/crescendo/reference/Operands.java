package io.crescendo.reference;

import io.crescendo.autograd.Value;
import io.crescendo.backend.Feed;
import io.crescendo.backend.HostStepMetrics;

/** What an operation finds when it runs. */
final class Operands {
    private final Tensor[] tensors; // by value id
    private final Feed feed;
    private final HostStepMetrics metrics;

    Operands(Tensor[] tensors, Feed feed, HostStepMetrics metrics) {
        this.tensors = tensors;
        this.feed = feed;
        this.metrics = metrics;
    }

    Tensor at(Value value) {
        return tensors[value.id()];
    }

    Feed feed() {
        return feed;
    }

    HostStepMetrics metrics() {
        return metrics;
    }
}
