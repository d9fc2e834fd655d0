package io.crescendo.cuda;

import java.io.IOException;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.Set;

/**
 * A directory of native libraries that belong to this user alone.
 *
 * <p>A file that is there is used only if it holds exactly what is wanted. Otherwise it is written under another name
 * and moved into place in one step, so that a second process sees the whole file or none; two that write at once write
 * the same bytes. A process that has the old file loaded keeps it: the move changes the directory, not the file.
 */
final class NativesCache {
    private static final Set<PosixFilePermission> OWNER_ONLY = PosixFilePermissions.fromString("rwx------");

    private final Path directory;

    /**
     * Opens the directory and makes it if need be.
     *
     * @throws CudaLibraryException if it cannot be written, or other users could write to it
     */
    NativesCache(Path directory) {
        this.directory = directory;
        try {
            Files.createDirectories(directory);
            FileStore store = Files.getFileStore(directory);
            if (store.supportsFileAttributeView("posix")) {
                makePrivate();
            }
        } catch (IOException e) {
            throw unwritable(e);
        }
    }

    /** What lies here is run as code: nobody else may replace it between the check and the loading. */
    private void makePrivate() throws IOException {
        Set<PosixFilePermission> others = EnumSet.copyOf(Files.getPosixFilePermissions(directory));
        others.removeAll(OWNER_ONLY);
        if (!others.isEmpty()) {
            Files.setPosixFilePermissions(directory, OWNER_ONLY);
        }
    }

    Path directory() {
        return directory;
    }

    /**
     * Puts a file into the directory unless it is there already.
     *
     * @param name the file's name
     * @return where it is
     */
    Path place(String name, byte[] content) {
        Path file = directory.resolve(name);
        try {
            if (Files.isRegularFile(file)
                    && Files.size(file) == content.length
                    && Arrays.equals(Files.readAllBytes(file), content)) {
                return file;
            }
            Path unfinished = Files.createTempFile(directory, name, ".part");
            try {
                Files.write(unfinished, content);
                Files.move(unfinished, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            } finally {
                Files.deleteIfExists(unfinished);
            }
            return file;
        } catch (IOException e) {
            throw unwritable(e);
        }
    }

    private CudaLibraryException unwritable(IOException cause) {
        return new CudaLibraryException(
                "cannot keep JCuda's native libraries in " + directory + " (" + cause
                        + "); make it writable, or set XDG_CACHE_HOME to a directory that is",
                cause);
    }
}
