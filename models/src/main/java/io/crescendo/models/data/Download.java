package io.crescendo.models.data;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;

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

    void into(Path directory, URI address) throws IOException {
        Files.createDirectories(directory);
        Path temporary = Files.createTempFile(directory, file, ".part");
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            URI source = address.resolve(file);
            try (OutputStream output = new DigestOutputStream(Files.newOutputStream(temporary), digest);
                    InputStream input = open(source)) {
                input.transferTo(output);
            }
            String found = HexFormat.of().formatHex(digest.digest());
            if (!found.equals(sha256)) {
                throw new IOException(source + ": SHA-256: expected " + sha256 + ", found " + found);
            }
            Files.move(temporary, directory.resolve(file), StandardCopyOption.ATOMIC_MOVE);
        } catch (NoSuchAlgorithmException e) {
            throw new IOException("this Java has no SHA-256 to check " + file + " with", e);
        } finally {
            Files.deleteIfExists(temporary);
        }
    }

    private static InputStream open(URI source) throws IOException {
        HttpClient client = HttpClient.newBuilder()
                .connectTimeout(CONNECT_TIMEOUT)
                .followRedirects(HttpClient.Redirect.NORMAL)
                .build();
        HttpRequest request =
                HttpRequest.newBuilder(source).timeout(RESPONSE_TIMEOUT).build();
        try {
            HttpResponse<InputStream> response = client.send(request, HttpResponse.BodyHandlers.ofInputStream());
            if (response.statusCode() != 200) {
                response.body().close();
                throw new IOException(source + ": expected HTTP status 200, found " + response.statusCode());
            }
            return response.body();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException(source + ": interrupted", e);
        }
    }
}
