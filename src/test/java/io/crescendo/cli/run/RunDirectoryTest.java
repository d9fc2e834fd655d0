package io.crescendo.cli.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.cli.UserError;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunDirectoryTest {
    @TempDir
    Path folder;

    @Test
    void createsTheFolderThatTheUserNames() {
        Path chosen = folder.resolve("a/b");
        assertEquals(chosen, RunDirectory.create(chosen, "ignored", false));
        assertTrue(Files.isDirectory(chosen));
    }

    @Test
    void neverWritesOverARunUnasked() throws IOException {
        Files.writeString(folder.resolve("summary.csv"), "precious");
        UserError error = assertThrows(UserError.class, () -> RunDirectory.create(folder, "x", false));
        assertTrue(String.valueOf(error.getMessage()).contains("--force"), error.getMessage());
        assertEquals("precious", Files.readString(folder.resolve("summary.csv")));
    }

    @Test
    void forceRemovesTheOldRunAndNothingElse() throws IOException {
        Files.writeString(folder.resolve("summary.csv"), "old");
        Files.writeString(folder.resolve("notes.txt"), "mine");
        Files.createDirectories(folder.resolve("increasing/seed-2"));
        Files.writeString(folder.resolve("increasing/seed-2").resolve(MetricsFile.NAME), "old");
        Files.createDirectories(folder.resolve("photos"));
        Files.writeString(folder.resolve("photos/holiday.jpg"), "mine");
        RunDirectory.create(folder, "x", true);
        assertFalse(Files.exists(folder.resolve("summary.csv")));
        assertFalse(Files.exists(folder.resolve("increasing")));
        assertEquals("mine", Files.readString(folder.resolve("notes.txt")));
        assertEquals("mine", Files.readString(folder.resolve("photos/holiday.jpg")));
    }
}
