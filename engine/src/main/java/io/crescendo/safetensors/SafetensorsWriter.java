package io.crescendo.safetensors;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.crescendo.tensor.DType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Writes a file beside its place and moves it there once it is complete and on the disk, so that whoever looks sees the
 * old file or the new one, whole. Closed without {@link #commit} it leaves nothing.
 */
public final class SafetensorsWriter implements AutoCloseable {
    /** Headers are filled up with spaces to a multiple of this, so that every number is aligned. */
    private static final int ALIGNMENT = 8;

    private static final int BUFFER_BYTES = 1 << 20;

    private final Path file;
    private final Path temporary;
    private final FileChannel channel;
    private final List<Header.Place> places;
    private final byte[] header;
    private final Checksum checksum;
    private final ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    private int appended;
    private boolean finished;

    private SafetensorsWriter(Path file, Path temporary, FileChannel channel, Header content) {
        this.file = file;
        this.temporary = temporary;
        this.channel = channel;
        this.places = List.copyOf(content.tensors().values());
        String json = content.toJson();
        int length = json.getBytes(UTF_8).length;
        this.header = (json + " ".repeat((ALIGNMENT - length % ALIGNMENT) % ALIGNMENT)).getBytes(UTF_8);
        this.checksum = new Checksum(header);
    }

    /**
     * Begins a file.
     *
     * @param metadata free texts
     * @param tensors in the order in which they will be appended
     * @throws IllegalArgumentException if two tensors have one name
     * @throws IOException naming the folder if it is missing
     */
    public static SafetensorsWriter create(Path file, Map<String, String> metadata, List<TensorEntry> tensors)
            throws IOException {
        Map<String, String> texts = new LinkedHashMap<>();
        texts.put(Checksum.KEY, Checksum.PLACEHOLDER);
        texts.putAll(metadata);
        texts.put(Checksum.KEY, Checksum.PLACEHOLDER);
        Header content = Header.of(texts, tensors);
        Path folder = file.getParent();
        if (folder != null && !Files.isDirectory(folder)) {
            throw new IOException(file + " cannot be written: there is no folder " + folder);
        }
        Path temporary = file.resolveSibling("." + file.getFileName() + ".new");
        FileChannel channel = FileChannel.open(
                temporary, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE);
        SafetensorsWriter writer = new SafetensorsWriter(file, temporary, channel, content);
        try {
            ByteBuffer length = ByteBuffer.allocate(Long.BYTES)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(writer.header.length)
                    .flip();
            writer.write(length);
            writer.write(ByteBuffer.wrap(writer.header));
        } catch (IOException e) {
            writer.close();
            throw e;
        }
        return writer;
    }

    /** The next tensor, of type FLOAT32. */
    public void append(float[] values) throws IOException {
        require(DType.FLOAT32, values.length);
        for (float value : values) {
            if (buffer.remaining() < Float.BYTES) {
                flush();
            }
            buffer.putFloat(value);
        }
        flush();
    }

    /** The next tensor, of type FLOAT64. */
    public void append(double[] values) throws IOException {
        require(DType.FLOAT64, values.length);
        for (double value : values) {
            if (buffer.remaining() < Double.BYTES) {
                flush();
            }
            buffer.putDouble(value);
        }
        flush();
    }

    private void require(DType dtype, int elements) {
        if (appended == places.size()) {
            throw new IllegalStateException("all tensors of " + file + " were appended already");
        }
        TensorEntry entry = places.get(appended).entry();
        if (entry.dtype() != dtype || entry.shape().elements() != elements) {
            throw new IllegalArgumentException("the next tensor of " + file + " is " + entry + ", but " + elements
                    + " numbers of " + dtype + " were appended");
        }
        appended++;
    }

    /** Makes the file appear in its place. */
    public void commit() throws IOException {
        if (appended < places.size()) {
            throw new IllegalStateException(
                    "tensor '" + places.get(appended).entry().name() + "' of " + file + " was not appended");
        }
        channel.write(ByteBuffer.wrap(checksum.text().getBytes(UTF_8)), (long) Long.BYTES + Checksum.place(header));
        channel.force(true);
        channel.close();
        Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        finished = true;
        forceFolder();
    }

    /** Where the system allows it, the new name too is on the disk from here on. */
    private void forceFolder() {
        Path folder = file.toAbsolutePath().getParent();
        if (folder == null) {
            return;
        }
        try (FileChannel entry = FileChannel.open(folder, StandardOpenOption.READ)) {
            entry.force(true);
        } catch (IOException e) {
            // Some systems cannot open a folder; the file itself is safe, its name will follow.
        }
    }

    private void flush() throws IOException {
        buffer.flip();
        checksum.update(buffer.duplicate());
        write(buffer);
        buffer.clear();
    }

    private void write(ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    @Override
    public void close() throws IOException {
        if (!finished) {
            finished = true;
            channel.close();
            Files.deleteIfExists(temporary);
        }
    }
}
