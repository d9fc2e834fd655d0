package io.crescendo.cpu;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.BackendProvider;

/** Opens the processor as {@code --device cpu}. */
public final class CpuBackendProvider implements BackendProvider {
    /** After any graphics processor. */
    private static final int PREFERENCE = 100;

    @Override
    public String name() {
        return "cpu";
    }

    @Override
    public int preference() {
        return PREFERENCE;
    }

    @Override
    public Availability availability() {
        return OneDnnLibrary.probe();
    }

    @Override
    public Backend open(BackendOptions options) {
        return new CpuBackend(options);
    }
}
