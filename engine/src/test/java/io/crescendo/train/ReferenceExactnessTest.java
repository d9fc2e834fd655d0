package io.crescendo.train;

import io.crescendo.autograd.Fusion;
import io.crescendo.backend.Backend;
import io.crescendo.reference.ReferenceBackend;
import java.util.EnumSet;

/** Splits, covers and recomputation on the reference backend. */
class ReferenceExactnessTest extends ExactnessContract {
    @Override
    protected Backend open() {
        return new ReferenceBackend(EnumSet.allOf(Fusion.class), true);
    }

    @Override
    protected double tolerance() {
        return 0x1p-24; // what is read back is float32
    }
}
