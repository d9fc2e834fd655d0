package io.crescendo.cpu;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.train.ExactnessContract;

/** Splits, covers and recomputation on the processor backend. */
class CpuExactnessTest extends ExactnessContract {
    @Override
    protected Backend open() {
        return new CpuBackend(new BackendOptions(2));
    }

    @Override
    protected double tolerance() {
        return 0x1p-24; // float32 rounds to 24 binary digits
    }
}
