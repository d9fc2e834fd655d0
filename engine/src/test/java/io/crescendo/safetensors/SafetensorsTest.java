package io.crescendo.safetensors;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.tensor.DType;
import io.crescendo.tensor.Shape;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SafetensorsTest {
    private static final Map<String, String> TEXTS =
            Map.of("note", "\"quoted\" \\ back\nnew line, tab\t, \u0001, Grüße, 漢字, \uD83D\uDE00 and a lone \uD83D");

    @TempDir
    Path folder;

    private Path file;
    private long seed;
    private Random random = new Random();
    private float[] floats = {};
    private double[] doubles = {};

    @BeforeEach
    void draw() throws IOException {
        seed = Long.getLong("crescendo.seed", new Random().nextLong());
        random = new Random(seed);
        file = folder.resolve("some.safetensors");
        make(random.nextInt(700_000) + 1);
    }

    private void make(int count) throws IOException {
        floats = new float[count];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = Float.intBitsToFloat(random.nextInt());
        }
        doubles = random.doubles(3 * 5 * 7).map(d -> d - 0.5).toArray();
        write(file);
    }

    private void write(Path target) throws IOException {
        List<TensorEntry> layout = List.of(
                new TensorEntry("ä/b.weight", DType.FLOAT32, Shape.of(1, floats.length)),
                new TensorEntry("scalar", DType.FLOAT32, Shape.of()),
                new TensorEntry("double", DType.FLOAT64, Shape.of(3, 5, 7)));
        try (SafetensorsWriter writer = SafetensorsWriter.create(target, TEXTS, layout)) {
            writer.append(floats);
            writer.append(new float[] {-2.5f});
            writer.append(doubles);
            writer.commit();
        }
    }

    @Test
    void whatWasWrittenIsRead() throws IOException {
        try (SafetensorsFile read = SafetensorsFile.open(file)) {
            read.verify();
            assertEquals(TEXTS.get("note"), read.metadata().get("note"));
            assertEquals(
                    List.of("ä/b.weight", "scalar", "double"),
                    List.copyOf(read.tensors().keySet()));
            assertEquals(
                    new TensorEntry("double", DType.FLOAT64, Shape.of(3, 5, 7)),
                    read.tensors().get("double"));
            double[] exact = new double[doubles.length];
            read.read("double", exact);
            assertArrayEquals(doubles, exact);
            float[] single = new float[floats.length];
            read.read("ä/b.weight", single);
            for (int i = 0; i < floats.length; i++) {
                assertEquals(Float.floatToRawIntBits(floats[i]), Float.floatToRawIntBits(single[i]), "seed " + seed);
            }
            float[] rounded = new float[doubles.length];
            read.read("double", rounded);
            assertEquals((float) doubles[9], rounded[9]);
            double[] widened = new double[1];
            read.read("scalar", widened);
            assertEquals(-2.5, widened[0]);
            assertThrows(IllegalArgumentException.class, () -> read.read("double", new float[3]));
            assertThrows(IllegalArgumentException.class, () -> read.read("none", new float[3]));
        }
    }

    /** Read with no code of this package: what the format's own description promises. */
    @Test
    void theLayoutIsThePublishedOne() throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        int header = (int) bytes.getLong();
        String json = new String(bytes.array(), 8, header, UTF_8);
        assertEquals(0, header % 8);
        assertTrue(json.startsWith("{\"__metadata__\":{"), json);
        int end = 4 * floats.length;
        assertTrue(
                json.stripTrailing()
                        .endsWith("\"ä/b.weight\":{\"dtype\":\"F32\",\"shape\":[1," + floats.length
                                + "],\"data_offsets\":[0," + end + "]},\"scalar\":{\"dtype\":\"F32\",\"shape\":[],"
                                + "\"data_offsets\":[" + end + "," + (end + 4)
                                + "]},\"double\":{\"dtype\":\"F64\",\"shape\":[3,5,7],\"data_offsets\":["
                                + (end + 4) + "," + (end + 4 + 8 * doubles.length) + "]}}"),
                json);
        assertEquals(-2.5f, bytes.getFloat(8 + header + end));
        assertEquals(doubles[1], bytes.getDouble(8 + header + end + 4 + 8));
    }

    @Test
    void everyTruncationIsNoticed() throws IOException {
        make(random.nextInt(2000) + 1);
        byte[] whole = Files.readAllBytes(file);
        for (int i = 0; i < 40; i++) {
            int length = i < 20 ? i * 9 : random.nextInt(whole.length);
            Files.write(file, java.util.Arrays.copyOf(whole, length));
            IOException fault = assertThrows(
                    IOException.class, () -> SafetensorsFile.open(file).close());
            assertTrue(
                    String.valueOf(fault.getMessage()).startsWith(file.toString()),
                    () -> "seed " + seed + ", length " + length + ": " + fault);
        }
    }

    @Test
    void everyFlippedBitIsNoticed() throws IOException {
        make(random.nextInt(2000) + 1);
        byte[] whole = Files.readAllBytes(file);
        int header = (int) ByteBuffer.wrap(whole).order(ByteOrder.LITTLE_ENDIAN).getLong(0);
        for (int i = 0; i < 400; i++) {
            int place = i < 300 ? random.nextInt(8 + header) : random.nextInt(whole.length);
            byte[] damaged = whole.clone();
            damaged[place] ^= (byte) (1 << random.nextInt(8));
            Files.write(file, damaged);
            IOException fault = assertThrows(
                    IOException.class,
                    () -> {
                        try (SafetensorsFile opened = SafetensorsFile.open(file)) {
                            opened.verify();
                        }
                    },
                    () -> "seed " + seed + ": the bit in byte " + place + " went unnoticed");
            assertTrue(String.valueOf(fault.getMessage()).startsWith(file.toString()), () -> "seed " + seed);
        }
    }

    @Test
    void damagedHeadersAreExplained() throws IOException {
        String good = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
        header(good, 8);
        SafetensorsFile.open(file).close();
        refused("cut off", good, 7);
        refused("12 are there", good, 12);
        refused(
                "twice",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
                8);
        refused("needs 8 bytes", good.replace("0,8", "0,4"), 4);
        refused("begins at byte 4", good.replace("0,8", "4,12"), 12);
        refused("lies at -4", good.replace("0,8", "-4,4"), 8);
        refused("too large", good.replace("[2]", "[4611686018427387904,4]"), 8);
        refused("too large", good.replace("[2]", "[4611686018427387904]"), 8);
        refused("positive", good.replace("[2]", "[-1]"), 8);
        refused("F17", good.replace("F32", "F17"), 8);
        refused("whole number", good.replace("[2]", "[\"2\"]"), 8);
        refused("expected ','", good.replace("[2]", "[2.0]"), 8);
        refused("a value", good.replace("[2]", "[true]"), 8);
        refused("nothing else", good.replace("\"shape\"", "\"form\""), 8);
        refused("nothing else", good.replace("\"shape\"", "\"x\":1,\"shape\""), 8);
        refused("must be an object", good.replace("}}", "},\"b\":3}"), 8);
        refused("must be a string", good.replace("{\"a\"", "{\"__metadata__\":{\"x\":3},\"a\""), 8);
        refused("the end", good + "{}", 8);
        refused("more", good.substring(0, good.length() - 1), 8);
        refused("damaged at character 0", "[]", 0);
        refused("nested", "{\"a\":" + "[".repeat(5000) + "]".repeat(5000) + "}", 0);
        refused("hexadecimal", "{\"\\u00g0\":3}", 0);
        byte[] latin = good.replace('a', 'ä').getBytes(java.nio.charset.StandardCharsets.ISO_8859_1);
        Files.write(file, framed(latin, 8));
        assertFault("UTF-8");
        Files.write(file, new byte[] {1, 2, 3, 4, 5, 6, 7, 8, 9});
        assertFault("not a safetensors file");
        Files.write(file, new byte[] {1, 2, 3});
        assertFault("not a safetensors file");
        header(good, 8);
        try (SafetensorsFile foreign = SafetensorsFile.open(file)) {
            assertTrue(String.valueOf(
                            assertThrows(IOException.class, foreign::verify).getMessage())
                    .contains("no checksum"));
        }
    }

    private void refused(String complaint, String json, int dataBytes) throws IOException {
        header(json, dataBytes);
        assertFault(complaint);
    }

    private void assertFault(String complaint) {
        IOException fault =
                assertThrows(IOException.class, () -> SafetensorsFile.open(file).close());
        String message = String.valueOf(fault.getMessage());
        assertTrue(message.startsWith(file.toString()) && message.contains(complaint), complaint + ": " + message);
    }

    private void header(String json, int dataBytes) throws IOException {
        Files.write(file, framed(json.getBytes(UTF_8), dataBytes));
    }

    private static byte[] framed(byte[] header, int dataBytes) {
        return ByteBuffer.allocate(8 + header.length + dataBytes)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(header.length)
                .put(header)
                .array();
    }

    @Test
    void anUnfinishedFileLeavesTheOldOneAndNothingElse() throws IOException {
        byte[] old = Files.readAllBytes(file);
        List<TensorEntry> layout = List.of(new TensorEntry("a", DType.FLOAT32, Shape.of(3)));
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, Map.of(), layout)) {
            assertThrows(IllegalStateException.class, writer::commit);
            assertThrows(IllegalArgumentException.class, () -> writer.append(new double[3]));
        }
        assertArrayEquals(old, Files.readAllBytes(file));
        try (Stream<Path> left = Files.list(folder)) {
            assertEquals(List.of(file), left.toList());
        }
        assertThrows(
                IllegalArgumentException.class,
                () -> SafetensorsWriter.create(file, Map.of(), List.of(layout.get(0), layout.get(0))));
        assertFalse(Files.exists(folder.resolve(".some.safetensors.new")));
    }

    /** The hidden name that the file has while it is written would say nothing to whoever chose the other. */
    @Test
    void aMissingFolderIsNamed() {
        Path missing = folder.resolve("missing");
        IOException e = assertThrows(
                IOException.class,
                () -> SafetensorsWriter.create(missing.resolve("y.safetensors"), Map.of(), List.of()));
        assertEquals(
                missing.resolve("y.safetensors") + " cannot be written: there is no folder " + missing, e.getMessage());
    }
}
