package io.crescendo.backend;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.ServiceLoader;
import java.util.stream.Collectors;

/** Finds backends by name. */
public final class Backends {
    private Backends() {}

    /** Every registered provider, in the order {@code auto} tries them; those it never tries come last. */
    public static List<BackendProvider> providers() {
        List<BackendProvider> providers = new ArrayList<>();
        ServiceLoader.load(BackendProvider.class).forEach(providers::add);
        providers.sort(Comparator.<BackendProvider, Boolean>comparing(p -> p.preference() < 0)
                .thenComparingInt(BackendProvider::preference));
        return providers;
    }

    /**
     * Opens a backend.
     *
     * @param device a provider's name, or {@code auto} for the first that is available
     */
    public static Backend open(String device, BackendOptions options) {
        List<BackendProvider> providers = providers();
        StringBuilder missing = new StringBuilder();
        for (BackendProvider provider : providers) {
            boolean wanted = device.equals("auto")
                    ? provider.preference() >= 0
                    : provider.name().equals(device);
            if (!wanted) {
                continue;
            }
            BackendProvider.Availability availability = provider.availability();
            if (availability.available()) {
                return provider.open(options);
            }
            missing.append("\n  ").append(provider.name()).append(": ").append(availability.detail());
        }
        if (missing.length() > 0) {
            throw new IllegalStateException("device '" + device + "' cannot be used here:" + missing);
        }
        if (device.equals("auto")) {
            throw new IllegalStateException("no device is on the class path that 'auto' may choose; add the artifact"
                    + " io.crescendo:crescendo-kernels, or ask for the slow 'reference' by name");
        }
        throw new IllegalArgumentException("unknown device '" + device + "'; known are auto, "
                + providers.stream().map(BackendProvider::name).collect(Collectors.joining(", ")));
    }
}
