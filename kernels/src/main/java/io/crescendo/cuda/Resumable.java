package io.crescendo.cuda;

import io.crescendo.backend.LibraryDownload.Progress;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.ConnectException;
import java.net.HttpURLConnection;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.net.URL;
import java.net.URLConnection;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Downloads a large file into place, from where an earlier attempt ended. */
final class Resumable {
    private static final int CONNECT_MILLIS = 15_000;

    /** A line that is silent for so long will stay so. */
    private static final int SILENCE_MILLIS = 60_000;

    /** Interruptions in a row, without a byte between them, after which the network counts as gone. */
    private static final int FRUITLESS = 3;

    private Resumable() {}

    /**
     * Fills a file up to its length.
     *
     * @param file holds the beginning of it already, or nothing, or is not there
     * @param bytes its full length
     * @throws IOException if the server does not have the file or the network is gone; what arrived stays
     */
    static void download(URI source, Path file, long bytes, Progress progress) throws IOException {
        if (Files.exists(file) && Files.size(file) > bytes) {
            Files.delete(file); // not the beginning of this file
        }
        for (int fruitless = 0; size(file) < bytes; ) {
            long before = size(file);
            try {
                attempt(source, file, bytes, progress);
                if (size(file) == before) {
                    throw new IOException(source + ": the server sent nothing");
                }
                fruitless = 0;
            } catch (Refused e) {
                throw e;
            } catch (IOException e) {
                fruitless = size(file) > before ? 0 : fruitless + 1;
                if (fruitless == FRUITLESS) {
                    throw new IOException(explain(source, file, e), e);
                }
            }
        }
    }

    private static long size(Path file) throws IOException {
        return Files.exists(file) ? Files.size(file) : 0;
    }

    private static void attempt(URI source, Path file, long bytes, Progress progress) throws IOException {
        URL url = source.toURL();
        URLConnection connection = url.openConnection();
        connection.setConnectTimeout(CONNECT_MILLIS);
        connection.setReadTimeout(SILENCE_MILLIS);
        long start = size(file);
        if (start > 0) {
            connection.setRequestProperty("Range", "bytes=" + start + "-");
        }
        if (connection instanceof HttpURLConnection http) {
            int status = http.getResponseCode();
            if (status == HttpURLConnection.HTTP_OK) {
                start = 0; // the whole file, whatever was asked for
            } else if (status != HttpURLConnection.HTTP_PARTIAL) {
                throw new Refused(source + ": the server answered with HTTP status " + status
                        + "; choose another repository with --repository");
            }
        } else {
            start = 0;
        }
        try (InputStream input = connection.getInputStream();
                OutputStream output = start > 0
                        ? Files.newOutputStream(file, StandardOpenOption.APPEND)
                        : Files.newOutputStream(file)) {
            byte[] buffer = new byte[1 << 16];
            long done = start;
            for (int length = input.read(buffer); length >= 0; length = input.read(buffer)) {
                if (done + length > bytes) {
                    throw new Refused(source + ": the server sends more than the " + bytes + " bytes of the file");
                }
                output.write(buffer, 0, length);
                done += length;
                progress.at("downloading", done, bytes);
            }
        }
    }

    private static String explain(URI source, Path file, IOException e) throws IOException {
        String reason;
        if (e instanceof UnknownHostException) {
            reason = "the host is not known; is there a network?";
        } else if (e instanceof ConnectException) {
            reason = "no connection (" + e.getMessage() + ")";
        } else if (e instanceof SocketTimeoutException) {
            reason = "no answer";
        } else {
            reason = e.toString();
        }
        return source + ": " + reason
                + ". Behind a proxy set JAVA_OPTS='-Dhttps.proxyHost=HOST -Dhttps.proxyPort=PORT'; "
                + "a mirror of Maven Central is chosen with --repository. " + size(file)
                + " bytes have arrived; the next call goes on from there";
    }

    /** Trying again would not help. */
    private static final class Refused extends IOException {
        private static final long serialVersionUID = 1L;

        Refused(String message) {
            super(message);
        }
    }
}
