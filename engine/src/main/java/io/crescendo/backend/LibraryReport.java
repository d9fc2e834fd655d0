package io.crescendo.backend;

import java.util.List;

/**
 * Says which libraries of this machine a backend could use; registered for {@link java.util.ServiceLoader}.
 *
 * <p>Apart from {@link BackendProvider.Availability}, which answers yes or no in a line: here every library has a line
 * of its own. Looking for libraries loads none, except for a driver that is asked for its devices.
 */
public interface LibraryReport {
    /** What the libraries are and what they are good for. */
    String title();

    /** A line for each library, then what was searched and how to get what is missing. */
    List<Entry> entries();

    /**
     * One line.
     *
     * @param name the library, or what else the line is about
     * @param detail its version and place, or that it is missing
     */
    record Entry(String name, String detail) {}
}
