package io.crescendo.models.data;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.sun.net.httpserver.HttpServer;
import io.crescendo.data.DataException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FashionMnistTest {
    private static final FashionMnist.Release NOTHING =
            new FashionMnist.Release(URI.create("http://127.0.0.1:1/"), List.of(new Download("absent.gz", "00")));

    @TempDir
    Path root;

    /** The standard places with the system directory moved into the test's own. */
    private DataSearch search(Path given, String variable) {
        DataSearch standard = DataSearch.of(given, Map.of("CRESCENDO_DATA", variable), root.resolve("home"));
        List<DataSearch.Place> places = new ArrayList<>();
        for (DataSearch.Place place : standard.places()) {
            places.add(
                    place.origin().equals("system")
                            ? new DataSearch.Place("system", root.resolve("system"), false)
                            : place);
        }
        return new DataSearch(places, standard.cache());
    }

    private int trainingSize(DataSearch search) {
        return FashionMnist.load(search, NOTHING).training().size();
    }

    @Test
    void theStandardPlacesAreSearchedInTheirOrder() throws IOException {
        Path given = Files.createDirectories(root.resolve("given"));
        Path variable = Files.createDirectories(root.resolve("variable"));
        DataSearch search = search(given, variable.toString());
        assertEquals(
                List.of(given, variable, root.resolve("system"), root.resolve("home/.cache/crescendo")),
                search.places().stream().map(DataSearch.Place::directory).toList());
        assertEquals(root.resolve("home/.cache/crescendo"), search.cache());
        assertEquals(
                Path.of("/usr/share/datasets"),
                DataSearch.of(null, Map.of(), root).places().get(0).directory());

        // From the last place to the first; each is marked by its count of training images.
        IdxBytes.writeFashion(root.resolve("home/.cache/crescendo/fashion-mnist"), 2, 1, true);
        assertEquals(2, trainingSize(search));
        IdxBytes.writeFashion(root.resolve("system/fashion-mnist"), 3, 1, true);
        assertEquals(3, trainingSize(search));
        IdxBytes.writeFashion(variable, 4, 1, false);
        assertEquals(4, trainingSize(search));
        IdxBytes.writeFashion(given, 5, 1, true);
        assertEquals(5, trainingSize(search));
        IdxBytes.writeFashion(given.resolve("fashion-mnist"), 6, 2, false);
        assertEquals(6, trainingSize(search));
        assertEquals(2, FashionMnist.load(search, NOTHING).test().size());
    }

    @Test
    void aDirectoryThatIsNoneOrHoldsHalfIsAnError() throws IOException {
        DataException absent =
                assertThrows(DataException.class, () -> trainingSize(search(root.resolve("absent"), "")));
        IdxBytes.assertMentions(absent, "--data", root.resolve("absent").toString(), "nothing");
        DataException variable = assertThrows(
                DataException.class,
                () -> trainingSize(search(root, root.resolve("typo").toString())));
        IdxBytes.assertMentions(variable, "$CRESCENDO_DATA", "typo");

        Path given = root.resolve("given");
        IdxBytes.writeFashion(given, 5, 1, true);
        Files.delete(given.resolve("t10k-labels-idx1-ubyte.gz"));
        DataException half = assertThrows(DataException.class, () -> trainingSize(search(given, "")));
        IdxBytes.assertMentions(half, given.toString(), "missing: t10k-labels-idx1-ubyte;");
    }

    @Test
    void imagesOfAnotherSizeAreRejected() throws IOException {
        Path given = root.resolve("given");
        IdxBytes.writeFashion(given, 5, 1, true);
        Files.write(given.resolve("train-images-idx3-ubyte"), IdxBytes.idx(new byte[5 * 28 * 27], 5, 28, 27));
        DataException error = assertThrows(DataException.class, () -> trainingSize(search(given, "")));
        IdxBytes.assertMentions(error, "train-images-idx3-ubyte", "expected 28x28", "found 28x27");
    }

    @Test
    void whenAllElseFailsTheErrorListsEverything() {
        DataException error = assertThrows(DataException.class, () -> trainingSize(search(root, "")));
        IdxBytes.assertMentions(
                error,
                "train-images-idx3-ubyte",
                root + " (--data)",
                root.resolve("system/fashion-mnist") + " (system)",
                root.resolve("home/.cache/crescendo/fashion-mnist") + " (cache)",
                "http://127.0.0.1:1/",
                "apt-get install dataset-fashion-mnist",
                "--data DIR",
                "$CRESCENDO_DATA",
                "fashion-mini");
    }

    @Test
    void aDownloadIsCheckedKeptAndNotRepeated() throws Exception {
        Path published = root.resolve("published");
        IdxBytes.writeFashion(published, 9, 4, true);
        AtomicInteger requests = new AtomicInteger();
        HttpServer server = serve(published, requests);
        try {
            List<Download> downloads = new ArrayList<>();
            for (String name : names(published)) {
                byte[] digest =
                        MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(published.resolve(name)));
                downloads.add(new Download(name, HexFormat.of().formatHex(digest)));
            }
            URI address = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/");
            FashionMnist.Release release = new FashionMnist.Release(address, downloads);
            Path cache = root.resolve("home/.cache/crescendo/fashion-mnist");

            // The last file has another checksum: it is not kept, the others are.
            Download last = downloads.get(3);
            List<Download> wrong = new ArrayList<>(downloads);
            wrong.set(3, new Download(last.file(), "0".repeat(64)));
            DataException error = assertThrows(
                    DataException.class,
                    () -> FashionMnist.load(search(root, ""), new FashionMnist.Release(address, wrong)));
            IdxBytes.assertMentions(error, last.file(), "SHA-256", "expected 000000", "found " + last.sha256());
            assertEquals(names(published).subList(0, 3), names(cache), "no temporary file, no unchecked file");

            assertEquals(
                    9, FashionMnist.load(search(root, ""), release).training().size());
            assertEquals(names(published), names(cache));
            assertEquals(5, requests.get(), "only what was missing is fetched again");
            assertEquals(4, FashionMnist.load(search(root, ""), NOTHING).test().size());

            DataException absent = assertThrows(
                    DataException.class,
                    () -> FashionMnist.load(
                            new DataSearch(List.of(), root.resolve("empty")),
                            new FashionMnist.Release(address, List.of(new Download("absent.gz", "00")))));
            IdxBytes.assertMentions(absent, "absent.gz", "status 200, found 404");
            assertFalse(Files.exists(root.resolve("empty/fashion-mnist/absent.gz")));
        } finally {
            server.stop(0);
        }
    }

    private static List<String> names(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(file -> String.valueOf(file.getFileName()))
                    .sorted()
                    .toList();
        }
    }

    private static HttpServer serve(Path directory, AtomicInteger requests) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", exchange -> {
            requests.incrementAndGet();
            Path file = directory.resolve(exchange.getRequestURI().getPath().substring(1));
            boolean found = Files.exists(file);
            byte[] body = found ? Files.readAllBytes(file) : "nothing here".getBytes(UTF_8);
            exchange.sendResponseHeaders(found ? 200 : 404, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        return server;
    }

    @Test
    void namesAreLookedUpAndUnknownOnesGetTheList() throws IOException {
        assertEquals(
                8000, Datasets.load("fashion-mini", search(root, "")).training().size());
        IdxBytes.writeFashion(root.resolve("fashion-mnist"), 5, 1, true);
        assertEquals(
                5, Datasets.load("fashion-mnist", search(root, "")).training().size());
        DataException unknown = assertThrows(DataException.class, () -> Datasets.load("fashon-mist", search(root, "")));
        IdxBytes.assertMentions(unknown, "'fashon-mist'", "known: fashion-mini, fashion-mnist, cifar-10");
    }
}
