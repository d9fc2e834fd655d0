package io.crescendo.cpu;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendContract;
import io.crescendo.backend.BackendOptions;

/** The contract again with the smallest shards there are, one ghost group each: nothing may change. */
class ShardedCpuBackendTest extends BackendContract {
    @Override
    protected Backend open() {
        return new CpuBackend(new BackendOptions(1), 1, 0);
    }

    @Override
    protected double tolerance() {
        return 0x1p-24; // float32 rounds to 24 binary digits
    }
}
