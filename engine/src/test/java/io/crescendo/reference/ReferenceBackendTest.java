package io.crescendo.reference;

import io.crescendo.autograd.Fusion;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendContract;
import java.util.EnumSet;
import org.junit.jupiter.api.Nested;

/** The contract holds for the reference backend in every form, which keeps the contract itself honest. */
class ReferenceBackendTest {
    private static final double READ_AS_FLOAT32 = 0x1p-24; // computed in double

    @Nested
    class FusedTest extends BackendContract {
        @Override
        protected Backend open() {
            return new ReferenceBackend();
        }

        @Override
        protected double tolerance() {
            return READ_AS_FLOAT32;
        }
    }

    @Nested
    class FusedAndPoisonedTest extends BackendContract {
        @Override
        protected Backend open() {
            return new ReferenceBackend(EnumSet.allOf(Fusion.class), true);
        }

        @Override
        protected double tolerance() {
            return READ_AS_FLOAT32;
        }
    }

    @Nested
    class UnfusedAndPoisonedTest extends BackendContract {
        @Override
        protected Backend open() {
            return new ReferenceBackend(EnumSet.noneOf(Fusion.class), true);
        }

        @Override
        protected double tolerance() {
            return READ_AS_FLOAT32;
        }
    }
}
