package io.crescendo.models.data;

import java.io.IOException;
import java.io.InputStream;
import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.nio.channels.UnresolvedAddressException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * Fetches one file and keeps it only if its checksum is the published one.
 *
 * <p>The bytes go to a temporary file beside the target, which is moved into place at the end, so that a target that
 * exists is whole, whatever interrupted an earlier attempt.
 *
 * @param file the name below the address
 * @param sha256 in lower-case hexadecimal
 */
record Download(String file, String sha256) {
    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(10);
    private static final Duration RESPONSE_TIMEOUT = Duration.ofSeconds(30);
    private static final Duration TRANSFER_TIMEOUT = Duration.ofMinutes(10); // 26 MB at 45 kB/s

    void into(Path directory, URI address) throws IOException {
        Files.createDirectories(directory);
        Path temporary = Files.createTempFile(directory, file, ".part");
        try {
            URI source = address.resolve(file);
            transfer(source, temporary);
            String found = sha256(temporary);
            if (!found.equals(sha256)) {
                throw new IOException(source + ": SHA-256: expected " + sha256 + ", found " + found);
            }
            Files.move(temporary, directory.resolve(file), StandardCopyOption.ATOMIC_MOVE);
        } finally {
            Files.deleteIfExists(temporary);
        }
    }

    private static void transfer(URI source, Path target) throws IOException {
        HttpClient client = HttpClient.newBuilder()
                .connectTimeout(CONNECT_TIMEOUT)
                .followRedirects(HttpClient.Redirect.NORMAL)
                .build();
        HttpRequest request =
                HttpRequest.newBuilder(source).timeout(RESPONSE_TIMEOUT).build();
        // Asynchronous because the request's own timeout ends with the header; a stalled body would wait for ever.
        CompletableFuture<HttpResponse<Path>> exchange =
                client.sendAsync(request, HttpResponse.BodyHandlers.ofFile(target));
        try {
            int status =
                    exchange.get(TRANSFER_TIMEOUT.toSeconds(), TimeUnit.SECONDS).statusCode();
            if (status != 200) {
                throw new IOException(source + ": expected HTTP status 200, found " + status);
            }
        } catch (ExecutionException e) {
            throw new IOException(source + ": " + reason(e.getCause()), e);
        } catch (TimeoutException e) {
            exchange.cancel(true);
            throw new IOException(source + ": not finished after " + TRANSFER_TIMEOUT.toMinutes() + " minutes", e);
        } catch (InterruptedException e) {
            exchange.cancel(true);
            Thread.currentThread().interrupt();
            throw new IOException(source + ": interrupted", e);
        }
    }

    /** What a person calls it. */
    private static String reason(@Nullable Throwable failure) {
        if (failure instanceof HttpConnectTimeoutException || failure instanceof ConnectException) {
            return failure.getCause() instanceof UnresolvedAddressException
                    ? "no such host is known here; is there a network?"
                    : "no connection";
        }
        if (failure instanceof HttpTimeoutException) {
            return "no answer within " + RESPONSE_TIMEOUT.toSeconds() + " seconds";
        }
        return String.valueOf(failure == null ? null : failure.getMessage());
    }

    private static String sha256(Path path) throws IOException {
        try (InputStream input = Files.newInputStream(path)) {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            byte[] buffer = new byte[1 << 16];
            for (int length = input.read(buffer); length >= 0; length = input.read(buffer)) {
                digest.update(buffer, 0, length);
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IOException("this Java has no SHA-256 to check " + path + " with", e);
        }
    }
}
