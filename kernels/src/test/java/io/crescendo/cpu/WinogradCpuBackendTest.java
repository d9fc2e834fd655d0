package io.crescendo.cpu;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendContract;
import io.crescendo.backend.BackendOptions;

/** The contract again with every convolution done by tiles that can be: their answers differ only by rounding. */
class WinogradCpuBackendTest extends BackendContract {
    /** Three threads: shares of tiles are ragged and some are empty. */
    @Override
    protected Backend open() {
        return new CpuBackend(new BackendOptions(3), Sharding.TARGET_BYTES, Double.POSITIVE_INFINITY);
    }

    @Override
    protected double tolerance() {
        return 0x1p-24; // float32 rounds to 24 binary digits
    }
}
