package io.crescendo.cpu;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.train.ExactnessContract;

/** Splits, covers and recomputation where convolutions go by tiles and micro-batches through the network in shards. */
class WinogradCpuExactnessTest extends ExactnessContract {
    /** A shard holds about ten samples, so that both it and the micro-batch end raggedly. */
    private static final long SHARD_BYTES = 1 << 20;

    /** Three threads: shares of tiles are ragged and some are empty. */
    @Override
    protected Backend open() {
        return new CpuBackend(new BackendOptions(3), SHARD_BYTES, Double.POSITIVE_INFINITY);
    }

    /** More threads than cores wait for each other. */
    @Override
    protected int rounds() {
        return 4;
    }

    @Override
    protected double tolerance() {
        return 0x1p-24; // float32 rounds to 24 binary digits
    }
}
