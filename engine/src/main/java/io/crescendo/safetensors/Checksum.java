package io.crescendo.safetensors;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;
import java.util.Locale;
import java.util.zip.CRC32C;

/**
 * CRC-32C of a whole file, kept in its header: computed with zeros in its own place, so that one number covers the
 * header too.
 */
final class Checksum {
    /** The text's key. */
    static final String KEY = "crc32c";

    /** What stands in its place while it is computed. */
    static final String PLACEHOLDER = "00000000";

    private static final byte[] FIELD = ("\"" + KEY + "\":\"").getBytes(UTF_8);

    private final CRC32C crc = new CRC32C();

    /** Begins with a header, whose own field counts as zeros. */
    Checksum(byte[] header) {
        byte[] blank = header.clone();
        int place = place(header);
        if (place >= 0) {
            byte[] zeros = PLACEHOLDER.getBytes(UTF_8);
            System.arraycopy(zeros, 0, blank, place, zeros.length);
        }
        crc.update(blank);
    }

    void update(ByteBuffer data) {
        crc.update(data);
    }

    /** Eight hexadecimal digits. */
    String text() {
        return String.format(Locale.ROOT, "%08x", crc.getValue());
    }

    /** Where the digits lie in a header's bytes, or −1. */
    static int place(byte[] header) {
        // One byte is one character in this encoding, so that indices are places.
        int found = new String(header, ISO_8859_1).indexOf(new String(FIELD, ISO_8859_1));
        int place = found + FIELD.length;
        return found < 0 || place + PLACEHOLDER.length() > header.length ? -1 : place;
    }
}
