package io.crescendo.backend;

import java.util.Optional;

/** Finds and opens one kind of backend; registered for {@link java.util.ServiceLoader}. */
public interface BackendProvider {
    /** What {@code --device} calls it: {@code cpu}, {@code cuda}, {@code reference}. */
    String name();

    /** Where {@code --device auto} tries this one: lower first. Negative: never chosen automatically. */
    int preference();

    /** Whether it can be opened here, and if not, why and what would help. */
    Availability availability();

    /** Opens the device. */
    Backend open(BackendOptions options);

    /**
     * A backend for a device that is not here: it lowers programs, so that what they will take can be planned, and
     * refuses everything else. Empty where that cannot be told without the device, or it is always here.
     */
    default Optional<Backend> forecast(BackendOptions options) {
        return Optional.empty();
    }

    /**
     * Whether a backend can be opened.
     *
     * @param available yes or no
     * @param detail versions found; or, in its first line, why not, and in the others what was searched and how to get
     *     it
     */
    record Availability(boolean available, String detail) {
        /** The first line. */
        public String summary() {
            int end = detail.indexOf('\n');
            return end < 0 ? detail : detail.substring(0, end);
        }
    }
}
