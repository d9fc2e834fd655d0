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
     * Which backend a name stands for.
     *
     * @param provider what opens it
     * @param passedOver why {@code auto} did not take those it tries earlier, a line each; empty for every other name
     */
    public record Choice(BackendProvider provider, List<String> passedOver) {
        public Choice {
            passedOver = List.copyOf(passedOver);
        }
    }

    /**
     * Opens a backend.
     *
     * @param device a provider's name, or {@code auto} for the first that is available
     * @throws IllegalStateException if it cannot be used here; the message says what was searched and what helps
     * @throws IllegalArgumentException if there is no such name, or the device has not what the options ask for
     */
    public static Backend open(String device, BackendOptions options) {
        return choose(device).provider().open(options);
    }

    /**
     * Opens a backend to plan with: the device if it can be used here, otherwise its
     * {@linkplain BackendProvider#forecast forecast}.
     *
     * @param device a provider's name; {@code auto} for the first that is available, without forecasts
     * @throws IllegalStateException if it cannot be used here and there is no forecast of it
     * @throws IllegalArgumentException if there is no such name
     */
    public static Backend openToPlan(String device, BackendOptions options) {
        try {
            return open(device, options);
        } catch (IllegalStateException e) {
            return providers().stream()
                    .filter(provider -> provider.name().equals(device))
                    .findFirst()
                    .flatMap(provider -> provider.forecast(options))
                    .orElseThrow(() -> e);
        }
    }

    /**
     * Finds what {@link #open} would open.
     *
     * @param device a provider's name, or {@code auto} for the first that is available
     * @throws IllegalStateException if it cannot be used here; the message says what was searched and what helps
     * @throws IllegalArgumentException if there is no such name
     */
    public static Choice choose(String device) {
        List<BackendProvider> providers = providers();
        List<String> passedOver = new ArrayList<>();
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
                return new Choice(provider, passedOver);
            }
            passedOver.add("not on " + provider.name() + ": " + availability.summary());
            missing.append("\n  ")
                    .append(provider.name())
                    .append(": ")
                    .append(availability.detail().replace("\n", "\n    "));
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
