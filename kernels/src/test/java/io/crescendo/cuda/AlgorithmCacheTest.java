package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@NullMarked
class AlgorithmCacheTest {
    private static final DeviceProperties DEVICE =
            new DeviceProperties("NVIDIA H200", 9, 0, 132, 60L << 20, 1L << 37, 12060, true);
    private static final long CUDNN = 90501;
    private static final long BYTES = 12_345_678_901L;

    @TempDir
    Path home;

    private Path directory() {
        return home.resolve("choices");
    }

    private AlgorithmCache open() {
        return new AlgorithmCache(directory(), DEVICE, CUDNN);
    }

    private static void put(AlgorithmCache cache, String key, String name) {
        cache.put(key, new AlgorithmCache.Entry(name, BYTES));
    }

    private static @Nullable String name(AlgorithmCache cache, String key) {
        AlgorithmCache.Entry entry = cache.find(key);
        if (entry != null) {
            assertEquals(BYTES, entry.workspaceBytes());
        }
        return entry == null ? null : entry.name();
    }

    private Path file() throws IOException {
        try (Stream<Path> files = Files.list(directory())) {
            List<Path> all = files.toList();
            assertEquals(1, all.size(), "one file, nothing unfinished: " + all);
            return all.get(0);
        }
    }

    @Test
    void remembersFromRunToRun() throws IOException {
        AlgorithmCache first = open();
        assertNull(first.find("a"));
        put(first, "a", "classic1");
        put(first, "b", "kernel");
        assertEquals("classic1", name(first, "a"));
        AlgorithmCache second = open();
        assertEquals("classic1", name(second, "a"));
        assertEquals("kernel", name(second, "b"));
        put(second, "a", "classic0");
        assertEquals("classic0", name(open(), "a"));
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(directory())));
        assertTrue(file().getFileName().toString().contains("H200"));
    }

    @Test
    void keepsWhatAnotherProcessKept() {
        AlgorithmCache one = open();
        AlgorithmCache other = open();
        put(one, "a", "classic1");
        put(other, "b", "classic5");
        assertEquals("classic1", name(open(), "a"));
        assertEquals("classic5", name(open(), "b"));
    }

    @Test
    void ignoresAndRewritesDamagedFiles() throws IOException {
        put(open(), "a", "classic1");
        Path file = file();
        String whole = Files.readString(file);
        List<String> damages = List.of(
                "",
                whole.substring(0, whole.length() - 3),
                whole.replace("classic1", ""),
                whole.replace("\t", " "),
                whole.replace("end 1", "end 2"),
                whole.replace("a\t", "b\tclassic0\t1\na\t"),
                whole.replace("\t1", "\t-1"),
                whole.replace("\t1", "\t9999999999"),
                whole.replace("format 1", "format 2"),
                whole.replaceFirst("rules \\d+", "rules 0"),
                whole.replaceFirst(", rules \\d+", ""), // before there were rules
                "\u0000" + whole);
        for (String damaged : damages) {
            Files.writeString(file, damaged);
            AlgorithmCache cache = open();
            assertNull(cache.find("a"), damaged);
            put(cache, "c", "classic3");
            assertEquals("classic3", name(open(), "c"), damaged);
        }
        Files.write(file, new byte[] {(byte) 0xC3, (byte) 0x28}); // not UTF-8
        assertNull(open().find("a"));
    }

    @Test
    void ignoresOtherDevicesAndVersions() throws IOException {
        put(open(), "a", "classic1");
        assertNull(new AlgorithmCache(directory(), DEVICE, CUDNN + 1).find("a"));
        DeviceProperties other = new DeviceProperties("NVIDIA A100", 8, 0, 108, 40L << 20, 1L << 36, 12060, true);
        assertNull(new AlgorithmCache(directory(), other, CUDNN).find("a"));
        // A file that was copied under another device's name.
        AlgorithmCache foreign = new AlgorithmCache(directory(), other, CUDNN);
        put(foreign, "x", "classic1");
        try (Stream<Path> files = Files.list(directory())) {
            List<Path> both = files.sorted().toList();
            Files.writeString(both.get(0), Files.readString(both.get(1)));
        }
        assertNull(new AlgorithmCache(directory(), other, CUDNN).find("x"));
    }

    @Test
    void livesWithoutAPlaceToWrite() throws IOException {
        Files.writeString(home.resolve("choices"), "a file where the directory should be");
        AlgorithmCache cache = open();
        put(cache, "a", "classic1");
        assertEquals("classic1", name(cache, "a"), "as long as the process lives");
        assertNull(open().find("a"));
    }
}
