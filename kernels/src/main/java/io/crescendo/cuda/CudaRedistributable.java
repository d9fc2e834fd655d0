package io.crescendo.cuda;

import io.crescendo.backend.LibraryDownload;
import java.io.BufferedInputStream;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import java.util.Set;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import org.jspecify.annotations.Nullable;

/**
 * NVIDIA's CUDA 12.6 and cuDNN 9.5 as Bytedeco publishes them in one jar: for machines that have only the driver.
 *
 * <p>The jar is downloaded into the cache (or taken from Maven's, if Maven brought it), checked against its published
 * SHA-1, and of its libraries only those that {@link CudaLibrary} names are unpacked, into a directory that gets its
 * name when it is whole. Then the jar is deleted.
 *
 * <p>NVIDIA's terms apply to the libraries: the CUDA Toolkit's EULA and the cuDNN licence.
 */
public final class CudaRedistributable implements LibraryDownload {
    /** The release, and the name of its directory in the cache. */
    static final String RELEASE = "12.6";

    private static final int MAJOR = 12;
    private static final String VERSION = "12.6-9.5-1.5.11";
    private static final String FOLDER = "org/bytedeco/cuda/" + VERSION + "/";
    private static final Published PUBLISHED = new Published(
            FOLDER + "cuda-" + VERSION + "-linux-x86_64-redist.jar",
            2_026_748_503L,
            "9ab62bca3f54c11ecde4d0190a94d5babe55d3ad",
            1_530_000_000L);

    /** For unpacking beside it, for the file system's own tables, and so that a machine is not left without any. */
    private static final long SPARE_BYTES = 500_000_000L;

    private final Machine machine;
    private final Published published;

    /**
     * A file in a Maven repository.
     *
     * @param path below the repository
     * @param bytes length
     * @param sha1 in lower-case hexadecimal
     * @param unpackedBytes of the libraries that are taken out of it, about
     */
    record Published(String path, long bytes, String sha1, long unpackedBytes) {
        String fileName() {
            return path.substring(path.lastIndexOf('/') + 1);
        }
    }

    /** On this machine; for {@link java.util.ServiceLoader}. */
    public CudaRedistributable() {
        this(Machine.here(), PUBLISHED);
    }

    CudaRedistributable(Machine machine, Published published) {
        this.machine = machine;
        this.published = published;
    }

    @Override
    public String name() {
        return "cuda";
    }

    @Override
    public String description() {
        return String.format(
                Locale.ROOT,
                "CUDA 12.6 and cuDNN 9.5 for Linux on x86-64 (%s, under NVIDIA's licences; a download of %.1f GB)",
                published.fileName(),
                published.bytes() * 1e-9);
    }

    @Override
    public URI repository() {
        Properties properties = new Properties();
        try (@Nullable InputStream input = CudaRedistributable.class.getResourceAsStream("repository.properties")) {
            if (input != null) {
                properties.load(input);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        String address = properties.getProperty("address");
        if (address == null) {
            throw new IllegalStateException("the build left no address of a Maven repository; name one");
        }
        return URI.create(address.endsWith("/") ? address : address + "/");
    }

    @Override
    public Path fetch(URI repository, Progress progress) throws IOException {
        if (!machine.supported()) {
            throw new IOException("this machine is '" + machine.platform() + "', the libraries are for '"
                    + Machine.SUPPORTED + "' (Linux on x86-64)");
        }
        Path target = machine.redistributables().resolve(RELEASE);
        if (Files.isDirectory(target)) {
            return target;
        }
        Path downloads = Files.createDirectories(machine.cache().resolve("downloads"));
        try (FileChannel channel = FileChannel.open(
                        downloads.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                FileLock lock = channel.tryLock()) {
            if (lock == null) {
                throw new IOException("another process is downloading into " + downloads + "; wait for it");
            }
            if (!Files.isDirectory(target)) {
                fetch(repository, downloads, target, progress);
            }
            return target;
        }
    }

    private void fetch(URI repository, Path downloads, Path target, Progress progress) throws IOException {
        Path fromMaven = machine.home().resolve(".m2/repository").resolve(published.path());
        boolean here = Files.isRegularFile(fromMaven) && Files.size(fromMaven) == published.bytes();
        Path jar = here ? fromMaven : downloads.resolve(published.fileName() + ".part");
        long present = Files.exists(jar) ? Files.size(jar) : 0;
        requireRoom(downloads, Math.max(0, published.bytes() - present) + published.unpackedBytes() + SPARE_BYTES);
        if (!here) {
            Resumable.download(repository.resolve(published.path()), jar, published.bytes(), progress);
        }
        String found = sha1(jar, progress);
        if (!found.equals(published.sha1())) {
            if (!here) {
                Files.delete(jar); // nothing of it can be trusted
            }
            throw new IOException(jar + " is not the published file: SHA-1 " + found + " instead of " + published.sha1()
                    + (here ? "; delete it and try again" : "; it was deleted, try again"));
        }
        // Private from the start: what lies here is run as code.
        Path unfinished = new NativesCache(target.resolveSibling(RELEASE + ".part")).directory();
        try {
            clear(unfinished); // of an attempt that was killed
            unpack(jar, unfinished, progress);
            Files.move(unfinished, target, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            clear(unfinished);
            throw e;
        }
        if (!here) {
            Files.delete(jar);
        }
    }

    private static void requireRoom(Path directory, long bytes) throws IOException {
        long free = Files.getFileStore(directory).getUsableSpace();
        if (free < bytes) {
            throw new IOException(String.format(
                    Locale.ROOT,
                    "%s has %.1f GB free, but downloading and unpacking takes %.1f GB; make room, or set XDG_CACHE_HOME to a"
                            + " directory on a larger disk",
                    directory,
                    free * 1e-9,
                    bytes * 1e-9));
        }
    }

    private String sha1(Path file, Progress progress) throws IOException {
        try (InputStream input = Files.newInputStream(file)) {
            MessageDigest digest = MessageDigest.getInstance("SHA-1");
            byte[] buffer = new byte[1 << 20];
            long done = 0;
            for (int length = input.read(buffer); length >= 0; length = input.read(buffer)) {
                digest.update(buffer, 0, length);
                done += length;
                progress.at("checking", done, published.bytes());
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IOException("this Java has no SHA-1 to check " + file + " with", e);
        }
    }

    private void unpack(Path jar, Path directory, Progress progress) throws IOException {
        Set<String> names = new HashSet<>();
        for (CudaLibrary library : CudaLibrary.values()) {
            names.addAll(library.names(MAJOR));
        }
        names.removeAll(CudaLibrary.DRIVER.names(MAJOR)); // comes with the kernel module only
        Set<String> wanted = Set.copyOf(names);
        try (Counting counted = new Counting(Files.newInputStream(jar));
                ZipInputStream zip = new ZipInputStream(new BufferedInputStream(counted, 1 << 20))) {
            byte[] buffer = new byte[1 << 20];
            for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
                String file = entry.getName().substring(entry.getName().lastIndexOf('/') + 1);
                if (entry.isDirectory() || !isWanted(file, wanted)) {
                    continue;
                }
                try (OutputStream output = Files.newOutputStream(directory.resolve(file))) {
                    for (int length = zip.read(buffer); length >= 0; length = zip.read(buffer)) {
                        output.write(buffer, 0, length);
                        progress.at("unpacking", counted.count, published.bytes());
                    }
                }
                names.remove(file);
            }
        }
        if (!names.isEmpty()) {
            throw new IOException(jar + " does not hold " + String.join(", ", names));
        }
    }

    /** A library that is loaded, or one that such a library opens by name. */
    private static boolean isWanted(String file, Set<String> names) {
        return names.contains(file)
                || Stream.of(CudaLibrary.values())
                        .flatMap(library -> library.companions(MAJOR).stream())
                        .anyMatch(file::startsWith);
    }

    private static void clear(Path directory) throws IOException {
        List<Path> files;
        try (Stream<Path> all = Files.list(directory)) {
            files = all.toList();
        }
        for (Path file : files) {
            Files.delete(file);
        }
    }

    /** Counts what is read of the packed file: how far unpacking is. */
    private static final class Counting extends FilterInputStream {
        private long count;

        Counting(InputStream input) {
            super(input);
        }

        @Override
        public int read() throws IOException {
            int value = super.read();
            count += value < 0 ? 0 : 1;
            return value;
        }

        @Override
        public int read(byte[] buffer, int offset, int length) throws IOException {
            int read = super.read(buffer, offset, length);
            count += Math.max(0, read);
            return read;
        }
    }
}
