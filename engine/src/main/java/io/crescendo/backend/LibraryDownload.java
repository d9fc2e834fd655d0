package io.crescendo.backend;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;

/**
 * Brings libraries that a backend needs and that are too large to come with this program; registered for
 * {@link java.util.ServiceLoader}.
 *
 * <pre>{@code
 * Path place = download.fetch(download.repository(), (step, done, total) -> System.out.println(step + done));
 * }</pre>
 */
public interface LibraryDownload {
    /** The backend that they are for: {@code cuda}. */
    String name();

    /** What is brought and how large it is, in one line. */
    String description();

    /** The Maven repository that it comes from when no other is asked for. */
    URI repository();

    /**
     * Downloads and unpacks; returns at once if that was done before. What an earlier call left unfinished is taken up
     * again.
     *
     * @param repository a Maven repository, ending in a slash
     * @param progress hears how far it is
     * @return the directory with the libraries, where the backend looks by itself
     * @throws IOException if there is no room, no network, or the file is not the published one; the message says which
     *     and what would help
     */
    Path fetch(URI repository, Progress progress) throws IOException;

    /** Hears of progress several times a second. */
    @FunctionalInterface
    interface Progress {
        /**
         * So much is done of a step.
         *
         * @param step what is being done, in a word or two
         * @param doneBytes of this step
         * @param totalBytes of this step
         */
        void at(String step, long doneBytes, long totalBytes);
    }
}
