package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@NullMarked
class NativesCacheTest {
    @TempDir
    private Path root = Path.of("");

    @Test
    void aFileIsWrittenOnceAndRepairedWhenItsContentDiffers() throws IOException {
        byte[] content = {1, 2, 3, 4, 5};
        Path file = new NativesCache(root.resolve("a/b")).place("lib.so", content);
        assertArrayEquals(content, Files.readAllBytes(file));

        FileTime past = FileTime.fromMillis(1_000_000);
        Files.setLastModifiedTime(file, past);
        new NativesCache(root.resolve("a/b")).place("lib.so", content);
        assertEquals(past, Files.getLastModifiedTime(file), "left alone when it is right");

        for (byte[] wrong : List.of(new byte[] {1, 2, 3, 4, 6}, new byte[] {1, 2}, new byte[0])) {
            Files.write(file, wrong); // as long and different, cut short, empty
            new NativesCache(root.resolve("a/b")).place("lib.so", content);
            assertArrayEquals(content, Files.readAllBytes(file));
        }
        assertEquals(List.of(file), SearchPlaces.list(root.resolve("a/b"), "*"), "nothing unfinished is left");
    }

    @Test
    void othersCannotWriteToIt() throws IOException {
        Assumptions.assumeTrue(Machine.here().supported(), "skipped: not Linux");
        Path open = Files.createDirectories(root.resolve("open"));
        Files.setPosixFilePermissions(open, PosixFilePermissions.fromString("rwxrwxrwx"));
        Path directory = new NativesCache(open).directory();
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(directory)));
    }

    @Test
    void manyAtOnceEachSeeAWholeFile() throws Exception {
        long seed = System.nanoTime();
        byte[] content = new byte[300_001];
        new Random(seed).nextBytes(content);
        ExecutorService pool = Executors.newFixedThreadPool(8);
        try {
            List<Future<byte[]>> readings = new ArrayList<>();
            for (int i = 0; i < 40; i++) {
                readings.add(pool.submit(() -> Files.readAllBytes(new NativesCache(root).place("lib.so", content))));
            }
            for (Future<byte[]> reading : readings) {
                assertArrayEquals(content, reading.get(), "seed " + seed);
            }
        } finally {
            pool.shutdown();
        }
    }

    @Test
    void whereNothingCanBeWrittenTheMessageSaysWhatHelps() throws IOException {
        Path file = Files.writeString(root.resolve("file"), "not a directory");
        String message =
                String.valueOf(assertThrows(CudaLibraryException.class, () -> new NativesCache(file.resolve("below")))
                        .getMessage());
        assertTrue(message.contains(file.toString()) && message.contains("XDG_CACHE_HOME"), message);
    }
}
