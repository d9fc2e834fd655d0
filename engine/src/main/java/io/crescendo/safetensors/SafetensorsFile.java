package io.crescendo.safetensors;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.crescendo.tensor.DType;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/** A file that is being read. Every method that finds a fault names the file. */
public final class SafetensorsFile implements AutoCloseable {
    /** More than any header needs; the format's other readers refuse more, too. */
    private static final long LARGEST_HEADER = 100_000_000;

    private static final int BUFFER_BYTES = 1 << 20;

    private final Path file;
    private final FileChannel channel;
    private final byte[] headerBytes;
    private final Header header;
    private final long dataStart;
    private final ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN);

    private SafetensorsFile(Path file, FileChannel channel) throws IOException {
        this.file = file;
        this.channel = channel;
        long size = channel.size();
        if (size < Long.BYTES) {
            throw new SafetensorsException(
                    file, "not a safetensors file: " + size + " bytes are less than the length of a header");
        }
        ByteBuffer length = ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        fill(length, 0);
        long headerLength = length.getLong(0);
        if (headerLength < 2 || headerLength > LARGEST_HEADER) {
            throw new SafetensorsException(
                    file, "not a safetensors file: its header would have " + headerLength + " bytes");
        }
        if (headerLength > size - Long.BYTES) {
            throw new SafetensorsException(
                    file, "cut off: the header has " + headerLength + " bytes, but the whole file only " + size);
        }
        ByteBuffer text = ByteBuffer.allocate((int) headerLength);
        fill(text, Long.BYTES);
        headerBytes = text.array();
        dataStart = Long.BYTES + headerLength;
        try {
            // A new decoder refuses what is not UTF-8, where a new String would put question marks.
            String json = UTF_8.newDecoder().decode(text.flip()).toString();
            header = Header.parse(json, size - dataStart);
        } catch (CharacterCodingException e) {
            throw fault("the header is not UTF-8 text", e);
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw fault(String.valueOf(e.getMessage()), e);
        }
    }

    private SafetensorsException fault(String what, Exception cause) {
        SafetensorsException fault = new SafetensorsException(file, what);
        fault.initCause(cause);
        return fault;
    }

    /**
     * Opens a file and checks its header.
     *
     * @throws SafetensorsException if it is not a whole safetensors file
     */
    public static SafetensorsFile open(Path file) throws IOException {
        FileChannel channel = FileChannel.open(file, StandardOpenOption.READ);
        try {
            return new SafetensorsFile(file, channel);
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    /** The free texts. */
    public Map<String, String> metadata() {
        return header.metadata();
    }

    /** What is in it, by name. */
    public Map<String, TensorEntry> tensors() {
        Map<String, TensorEntry> entries = new LinkedHashMap<>();
        header.tensors().forEach((name, place) -> entries.put(name, place.entry()));
        return entries;
    }

    /**
     * Reads all bytes and compares them with the checksum that {@link SafetensorsWriter} left.
     *
     * @throws SafetensorsException if they differ, or if there is no checksum
     */
    public void verify() throws IOException {
        String expected = header.metadata().get(Checksum.KEY);
        if (expected == null) {
            throw new SafetensorsException(file, "it carries no checksum; only files written by this program do");
        }
        Checksum checksum = new Checksum(headerBytes);
        long end = channel.size();
        for (long at = dataStart; at < end; at += buffer.limit()) {
            buffer.clear().limit((int) Math.min(buffer.capacity(), end - at));
            fill(buffer, at);
            checksum.update(buffer.flip());
        }
        if (!checksum.text().equals(expected)) {
            throw new SafetensorsException(
                    file, "damaged: its checksum is " + checksum.text() + ", but should be " + expected);
        }
    }

    /**
     * Reads a tensor of FLOAT32, or of FLOAT64 rounded to it.
     *
     * @throws IllegalArgumentException if there is no such tensor or it has another number of elements
     */
    public void read(String name, float[] values) throws IOException {
        Header.Place place = place(name, values.length);
        int bytes = place.entry().dtype().bytes();
        long at = dataStart + place.begin();
        buffer.clear().limit(0);
        for (int i = 0; i < values.length; i++) {
            at = refill(at, (long) (values.length - i) * bytes);
            values[i] = bytes == Float.BYTES ? buffer.getFloat() : (float) buffer.getDouble();
        }
    }

    /** Reads a tensor of FLOAT64 or FLOAT32. */
    public void read(String name, double[] values) throws IOException {
        Header.Place place = place(name, values.length);
        int bytes = place.entry().dtype().bytes();
        long at = dataStart + place.begin();
        buffer.clear().limit(0);
        for (int i = 0; i < values.length; i++) {
            at = refill(at, (long) (values.length - i) * bytes);
            values[i] = bytes == Double.BYTES ? buffer.getDouble() : buffer.getFloat();
        }
    }

    /** Fills the buffer again once it is used up; returns where the next filling starts. */
    private long refill(long at, long needed) throws IOException {
        if (buffer.hasRemaining()) {
            return at;
        }
        buffer.clear().limit((int) Math.min(buffer.capacity(), needed));
        fill(buffer, at);
        buffer.flip();
        return at + buffer.limit();
    }

    private Header.Place place(String name, int elements) {
        Header.Place place = header.tensors().get(name);
        if (place == null) {
            throw new IllegalArgumentException(file + ": holds no tensor '" + name + "'");
        }
        DType dtype = place.entry().dtype();
        if (dtype != DType.FLOAT32 && dtype != DType.FLOAT64) {
            throw new IllegalArgumentException(
                    file + ": tensor '" + name + "' is of type " + dtype + ", not a number of 32 or 64 bits");
        }
        if (place.entry().shape().elements() != elements) {
            throw new IllegalArgumentException(file + ": tensor '" + name + "' has the shape "
                    + place.entry().shape() + ", but " + elements + " elements were asked for");
        }
        return place;
    }

    private void fill(ByteBuffer bytes, long from) throws IOException {
        long at = from;
        while (bytes.hasRemaining()) {
            int count = channel.read(bytes, at);
            if (count < 0) {
                throw new SafetensorsException(file, "cut off at byte " + at);
            }
            at += count;
        }
    }

    /** The file's name, for messages. */
    @Override
    public String toString() {
        return Objects.toString(file);
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
