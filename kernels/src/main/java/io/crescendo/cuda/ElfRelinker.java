package io.crescendo.cuda;

import io.crescendo.cuda.ElfFile.Name;
import io.crescendo.cuda.ElfFile.Use;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;

/**
 * Makes a shared library ask for another release of a library it needs.
 *
 * <p>JCuda 12.6 is linked against {@code libnvrtc.so.12} and wants symbols of a version that is also called
 * {@code libnvrtc.so.12}. The functions it calls exist unchanged in CUDA 13, as {@code libnvrtc.so.13}. Both names lie
 * in the dynamic string table, usually as one string; replacing it in place moves nothing else in the file. The dynamic
 * linker compares a version first by its hash, which stands in {@code .gnu.version_r} and is replaced too.
 *
 * <pre>{@code
 * byte[] forCuda13 = ElfRelinker.relink(Files.readAllBytes(library), "libnvrtc.so.12", "libnvrtc.so.13");
 * }</pre>
 *
 * <p>Whether the new release really has the functions is for the caller to know: they are bound when first called.
 */
final class ElfRelinker {
    private ElfRelinker() {}

    /**
     * A copy of {@code library} that needs {@code newName} wherever it needed {@code oldName}.
     *
     * @param library the bytes of a 64-bit x86 ELF file; not changed
     * @param oldName the needed library's name, for example {@code libcublas.so.12}
     * @param newName of the same length, because it takes the old name's place
     * @throws IllegalArgumentException if the lengths differ, the library does not need {@code oldName}, is itself
     *     called so, uses the name's bytes for something else too, or is no such file
     */
    static byte[] relink(byte[] library, String oldName, String newName) {
        byte[] replacement = newName.getBytes(StandardCharsets.ISO_8859_1);
        if (newName.length() != oldName.length()) {
            throw new IllegalArgumentException(
                    "'" + newName + "' has " + newName.length() + " characters and '" + oldName + "' has "
                            + oldName.length() + "; a name is replaced in place, so give one of the same length");
        }
        ElfFile elf = ElfFile.parse(ByteBuffer.wrap(library));
        if (!elf.needed().contains(oldName)) {
            throw new IllegalArgumentException("the library does not need '" + oldName + "'; it needs " + elf.needed());
        }
        List<Name> renamed =
                elf.names().stream().filter(name -> name.text().equals(oldName)).toList();
        for (Name name : renamed) {
            refuseSharing(elf, name);
        }
        byte[] relinked = library.clone();
        ByteBuffer out = ByteBuffer.wrap(relinked).order(ByteOrder.LITTLE_ENDIAN);
        for (Name name : renamed) {
            out.put(elf.stringTable() + name.offset(), replacement);
            if (name.hashPosition() != Name.NO_HASH) {
                out.putInt(name.hashPosition(), hash(newName));
            }
        }
        return relinked;
    }

    /**
     * Linkers store a string that is the end of another only once. Symbols are not looked at: none can be the end of a
     * library's name, which has a point or a digit where a symbol's name would have to start.
     */
    private static void refuseSharing(ElfFile elf, Name renamed) {
        for (Name other : elf.names()) {
            boolean same = other.text().equals(renamed.text());
            boolean overlaps = other.offset() < renamed.end() && other.end() > renamed.offset();
            if (overlaps && (!same || other.use() == Use.OWN_NAME || other.use() == Use.VERSION_DEFINED)) {
                throw new IllegalArgumentException("the bytes of '" + renamed.text() + "' also serve as the "
                        + other.use().name().toLowerCase(Locale.ROOT).replace('_', ' ') + " '" + other.text()
                        + "'; renaming one would rename the other");
            }
        }
    }

    /**
     * The System V hash of a name: h ← 16·h + c for each character c, folding the top four bits back in.
     *
     * <p>Source: System V Application Binary Interface, chapter 5, "Hash Table".
     */
    static int hash(String name) {
        int hash = 0;
        for (byte character : name.getBytes(StandardCharsets.ISO_8859_1)) {
            hash = (hash << 4) + (character & 0xff);
            int top = hash & 0xf0000000;
            hash = (hash ^ (top >>> 24)) & ~top;
        }
        return hash;
    }
}
