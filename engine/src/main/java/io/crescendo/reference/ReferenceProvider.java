package io.crescendo.reference;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.BackendProvider;

/** Offers the reference backend under the name {@code reference}; never chosen automatically. */
public final class ReferenceProvider implements BackendProvider {
    @Override
    public String name() {
        return "reference";
    }

    @Override
    public int preference() {
        return -1;
    }

    @Override
    public Availability availability() {
        return new Availability(true, "plain Java in double precision, always there");
    }

    @Override
    public Backend open(BackendOptions options) {
        options.requireFloat32(name());
        return new ReferenceBackend();
    }
}
