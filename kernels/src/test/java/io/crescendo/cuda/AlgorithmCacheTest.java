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
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@NullMarked
class AlgorithmCacheTest {
    private static final DeviceProperties DEVICE =
            new DeviceProperties("NVIDIA H200", 9, 0, 132, 1L << 37, 12060, true);
    private static final long CUDNN = 90501;

    @TempDir
    Path home;

    private Path directory() {
        return home.resolve("choices");
    }

    private AlgorithmCache open() {
        return new AlgorithmCache(directory(), DEVICE, CUDNN);
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
        first.put("a", "classic1");
        first.put("b", "kernel");
        assertEquals("classic1", first.find("a"));
        AlgorithmCache second = open();
        assertEquals("classic1", second.find("a"));
        assertEquals("kernel", second.find("b"));
        second.put("a", "classic0");
        assertEquals("classic0", open().find("a"));
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(directory())));
        assertTrue(file().getFileName().toString().contains("H200"));
    }

    @Test
    void keepsWhatAnotherProcessKept() {
        AlgorithmCache one = open();
        AlgorithmCache other = open();
        one.put("a", "classic1");
        other.put("b", "classic5");
        assertEquals("classic1", open().find("a"));
        assertEquals("classic5", open().find("b"));
    }

    @Test
    void ignoresAndRewritesDamagedFiles() throws IOException {
        open().put("a", "classic1");
        Path file = file();
        String whole = Files.readString(file);
        List<String> damages = List.of(
                "",
                whole.substring(0, whole.length() - 3),
                whole.replace("classic1", ""),
                whole.replace("\t", " "),
                whole.replace("end 1", "end 2"),
                whole.replace("a\tclassic1\n", "a\tclassic1\nb\tclassic0\n"),
                whole.replace("format 1", "format 2"),
                "\u0000" + whole);
        for (String damaged : damages) {
            Files.writeString(file, damaged);
            AlgorithmCache cache = open();
            assertNull(cache.find("a"), damaged);
            cache.put("c", "classic3");
            assertEquals("classic3", open().find("c"), damaged);
        }
        Files.write(file, new byte[] {(byte) 0xC3, (byte) 0x28}); // not UTF-8
        assertNull(open().find("a"));
    }

    @Test
    void ignoresOtherDevicesAndVersions() throws IOException {
        open().put("a", "classic1");
        assertNull(new AlgorithmCache(directory(), DEVICE, CUDNN + 1).find("a"));
        DeviceProperties other = new DeviceProperties("NVIDIA A100", 8, 0, 108, 1L << 36, 12060, true);
        assertNull(new AlgorithmCache(directory(), other, CUDNN).find("a"));
        // A file that was copied under another device's name.
        AlgorithmCache foreign = new AlgorithmCache(directory(), other, CUDNN);
        foreign.put("x", "classic1");
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
        cache.put("a", "classic1");
        assertEquals("classic1", cache.find("a"), "as long as the process lives");
        assertNull(open().find("a"));
    }
}
