package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import io.crescendo.cuda.CudaRedistributable.Published;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The redistributable from a server in this process: whole, interrupted, wrong, absent. */
@NullMarked
class CudaRedistributableTest {
    private static final String PATH = "org/example/redist.jar";

    @TempDir
    Path folder;

    private final List<String> ranges = new CopyOnWriteArrayList<>();
    private byte[] jar = {};
    private byte[] library = {};

    /** Bytes after which the server hangs up; each request takes one off the front. */
    private final List<Integer> hangUps = new CopyOnWriteArrayList<>();

    private HttpServer server = start();

    private static HttpServer start() {
        try {
            HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
            server.start();
            return server;
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    @BeforeEach
    void publish() throws IOException {
        library = new byte[100_000];
        new Random(1).nextBytes(library); // incompressible, so that the jar has about this size too
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
            for (String name : List.of(
                    "libnvrtc.so.12",
                    "libcublas.so.12",
                    "libcublasLt.so.12",
                    "libcudnn.so.9",
                    "libcudnn_ops.so.9",
                    "libcufft.so.11")) {
                zip.putNextEntry(new ZipEntry("org/bytedeco/cuda/linux-x86_64/" + name));
                zip.write(name.equals("libcudnn.so.9") ? library : new byte[] {1, 2, 3});
                zip.closeEntry();
            }
        }
        jar = bytes.toByteArray();
        server.createContext("/" + PATH, exchange -> {
            String range = exchange.getRequestHeaders().getFirst("Range");
            ranges.add(String.valueOf(range));
            int from = range == null ? 0 : Integer.parseInt(range.replaceAll("\\D", ""));
            int end = hangUps.isEmpty() ? jar.length : Math.min(jar.length, from + hangUps.remove(0));
            exchange.sendResponseHeaders(range == null ? 200 : 206, jar.length - from);
            try (OutputStream body = exchange.getResponseBody()) {
                body.write(Arrays.copyOfRange(jar, from, end));
            }
        });
    }

    @AfterEach
    void stop() {
        server.stop(0);
    }

    private URI repository() {
        return URI.create("http://" + server.getAddress().getAddress().getHostAddress() + ":"
                + server.getAddress().getPort() + "/");
    }

    private CudaRedistributable redistributable(long unpackedBytes, String sha1) {
        Machine machine = new Machine(folder, Map.of(), folder.resolve("home"), Machine.SUPPORTED);
        return new CudaRedistributable(machine, new Published(PATH, jar.length, sha1, unpackedBytes));
    }

    private String sha1() throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-1").digest(jar));
    }

    private Path cache() {
        return folder.resolve("home/.cache/crescendo/cuda");
    }

    @Test
    void unpacksOnlyWhatIsNeededAndLeavesNoJar() throws Exception {
        Path place = redistributable(1, sha1()).fetch(repository(), (step, done, total) -> {});
        assertEquals(cache().resolve("redist/12.6"), place);
        assertArrayEquals(library, Files.readAllBytes(place.resolve("libcudnn.so.9")));
        assertTrue(Files.exists(place.resolve("libcudnn_ops.so.9")), "a part that cuDNN opens by name");
        assertFalse(Files.exists(place.resolve("libcufft.so.11")), "nothing here uses it");
        assertFalse(Files.exists(cache().resolve("downloads/redist.jar.part")), "the jar is deleted");
        redistributable(1, sha1()).fetch(repository(), (step, done, total) -> {});
        assertEquals(1, ranges.size(), "what is there is not fetched again");
    }

    @Test
    void goesOnWhereTheConnectionBroke() throws Exception {
        hangUps.addAll(List.of(30_000, 1000));
        Path place = redistributable(1, sha1()).fetch(repository(), (step, done, total) -> {});
        assertArrayEquals(library, Files.readAllBytes(place.resolve("libcudnn.so.9")));
        assertEquals("null", ranges.get(0));
        assertTrue(ranges.size() >= 3 && ranges.get(1).startsWith("bytes="), ranges.toString());
    }

    @Test
    void refusesAndDeletesAnotherFile() {
        IOException e = assertThrows(
                IOException.class, () -> redistributable(1, "00").fetch(repository(), (step, done, total) -> {}));
        assertTrue(String.valueOf(e.getMessage()).contains("is not the published file"), e.getMessage());
        assertFalse(Files.exists(cache().resolve("downloads/redist.jar.part")));
        assertFalse(Files.exists(cache().resolve("redist/12.6")));
    }

    @Test
    void saysWhatIsWrong() throws Exception {
        assertMessage("HTTP status 404", repository().resolve("elsewhere/"), 1);
        assertMessage("GB free, but", repository(), Long.MAX_VALUE / 2);
        URI closed = repository();
        server.stop(0);
        assertMessage("no connection", closed, 1);
    }

    private void assertMessage(String expected, URI from, long unpackedBytes) throws Exception {
        CudaRedistributable redistributable = redistributable(unpackedBytes, sha1());
        IOException e = assertThrows(IOException.class, () -> redistributable.fetch(from, (step, done, total) -> {}));
        assertTrue(String.valueOf(e.getMessage()).contains(expected), e.getMessage());
    }

    /** What the build has written down: filled in, and a folder to resolve against. */
    @Test
    void theRepositoryIsTheOneOfTheBuild() {
        URI repository = new CudaRedistributable().repository();
        assertTrue(repository.getHost() != null && repository.getPath().endsWith("/"), repository.toString());
    }
}
