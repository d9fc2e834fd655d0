package io.crescendo.backend;

import java.util.function.Supplier;

/** The contract of a backend with a mistake; its name keeps test runners away from it. */
final class TamperedContract extends BackendContract {
    private final Supplier<Backend> backend;

    TamperedContract(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    protected Backend open() {
        return backend.get();
    }

    @Override
    protected double tolerance() {
        return 0x1p-24;
    }
}
