package io.crescendo.cuda;

import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * What the dynamic linker reads of a shared library: the names it binds by, and where they stand in the file.
 *
 * <p>Read from the program headers, as the linker does, because section headers may have been stripped. Only 64-bit
 * little-endian files, which is all that JCuda has natives for.
 *
 * <p>Source: System V Application Binary Interface, chapters 4 and 5; Linux Standard Base, "Symbol Versioning".
 *
 * @param names every name in the dynamic section and the version tables
 * @param stringTable where the dynamic string table starts, in bytes from the start of the file
 */
record ElfFile(List<Name> names, int stringTable) {
    private static final int MAGIC = 0x464c457f; // 7f 'E' 'L' 'F'
    private static final int X86_64 = 62;
    private static final int LOAD = 1;
    private static final int DYNAMIC = 2;

    private static final long NEEDED = 1;
    private static final long STRING_TABLE = 5;
    private static final long SONAME = 14;
    private static final long RPATH = 15;
    private static final long RUNPATH = 29;
    private static final long VERSION_DEFINITIONS = 0x6ffffffc;
    private static final long VERSION_DEFINITION_COUNT = 0x6ffffffd;
    private static final long VERSION_NEEDS = 0x6ffffffe;
    private static final long VERSION_NEED_COUNT = 0x6fffffff;

    /** What a name is for. */
    enum Use {
        /** A library to load. */
        NEEDED,
        /** The library of a group of symbol versions. */
        VERSION_FILE,
        /** A symbol version that another library must define. */
        VERSION_NEEDED,
        /** A symbol version that this library defines. */
        VERSION_DEFINED,
        /** The library's own name. */
        OWN_NAME,
        /** Directories to search. */
        SEARCH_PATH
    }

    /**
     * A name in the string table.
     *
     * @param offset from the start of the string table; several names may share one
     * @param hashPosition where in the file the name's hash stands, or {@link #NO_HASH}
     */
    record Name(Use use, String text, int offset, int hashPosition) {
        static final int NO_HASH = -1;

        /** The offset of the byte behind the last one; the terminating zero is not counted. */
        int end() {
            return offset + text.length();
        }
    }

    private record Segment(long address, long position, long size) {}

    ElfFile {
        names = List.copyOf(names);
    }

    /** Whether a file's first 20 bytes say that a process on 64-bit x86 can load it. */
    static boolean isX8664(ByteBuffer start) {
        ByteBuffer head = start.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        return head.limit() >= 20
                && head.getInt(0) == MAGIC
                && head.get(4) == 2 // 64 bits
                && head.get(5) == 1 // little-endian
                && head.getShort(18) == X86_64;
    }

    /**
     * Reads a library.
     *
     * @throws IllegalArgumentException if these are not the bytes of a whole 64-bit x86 ELF file with a dynamic section
     */
    static ElfFile parse(ByteBuffer bytes) {
        if (!isX8664(bytes)) {
            throw new IllegalArgumentException("not a 64-bit x86 ELF file; give a shared library for Linux on x86-64");
        }
        try {
            return new Parser(bytes.duplicate().order(ByteOrder.LITTLE_ENDIAN)).parse();
        } catch (IndexOutOfBoundsException | BufferUnderflowException | ArithmeticException e) {
            throw new IllegalArgumentException(
                    "an ELF file of " + bytes.limit() + " bytes points outside itself; it was cut short or damaged", e);
        }
    }

    /** The libraries to be loaded with this one, in order. */
    List<String> needed() {
        return names.stream()
                .filter(name -> name.use() == Use.NEEDED)
                .map(Name::text)
                .toList();
    }

    /** One reading of one file. */
    private static final class Parser {
        private final ByteBuffer bytes;
        private final List<Segment> segments = new ArrayList<>();
        private final List<Name> names = new ArrayList<>();
        private int strings = -1;

        Parser(ByteBuffer bytes) {
            this.bytes = bytes;
        }

        ElfFile parse() {
            int table = Math.toIntExact(bytes.getLong(32));
            int entrySize = bytes.getShort(54) & 0xffff;
            int entries = bytes.getShort(56) & 0xffff;
            int dynamic = -1;
            int dynamicSize = 0;
            for (int i = 0; i < entries; i++) {
                int at = table + i * entrySize;
                int type = bytes.getInt(at);
                long position = bytes.getLong(at + 8);
                if (type == LOAD) {
                    segments.add(new Segment(bytes.getLong(at + 16), position, bytes.getLong(at + 32)));
                } else if (type == DYNAMIC) {
                    dynamic = Math.toIntExact(position);
                    dynamicSize = Math.toIntExact(bytes.getLong(at + 32));
                }
            }
            if (dynamic < 0) {
                throw new IllegalArgumentException("a statically linked ELF file; it needs no library at all");
            }
            dynamicSection(dynamic, dynamicSize / 16);
            return new ElfFile(names, strings);
        }

        private void dynamicSection(int position, int entries) {
            long stringsAddress = value(position, entries, STRING_TABLE);
            if (stringsAddress < 0) {
                throw new IllegalArgumentException("an ELF file without a dynamic string table");
            }
            strings = position(stringsAddress);
            for (int i = 0; i < entries; i++) {
                long tag = bytes.getLong(position + 16 * i);
                int value = (int) bytes.getLong(position + 16 * i + 8);
                if (tag == 0) {
                    break;
                } else if (tag == NEEDED) {
                    add(Use.NEEDED, value, Name.NO_HASH);
                } else if (tag == SONAME) {
                    add(Use.OWN_NAME, value, Name.NO_HASH);
                } else if (tag == RPATH || tag == RUNPATH) {
                    add(Use.SEARCH_PATH, value, Name.NO_HASH);
                }
            }
            long needs = value(position, entries, VERSION_NEEDS);
            if (needs >= 0) {
                versionNeeds(position(needs), value(position, entries, VERSION_NEED_COUNT));
            }
            long definitions = value(position, entries, VERSION_DEFINITIONS);
            if (definitions >= 0) {
                versionDefinitions(position(definitions), value(position, entries, VERSION_DEFINITION_COUNT));
            }
        }

        /** Groups of {version, count, file, first, next}, each with a chain of {hash, flags, other, name, next}. */
        private void versionNeeds(int first, long groups) {
            int group = first;
            for (long g = 0; g < groups; g++) {
                add(Use.VERSION_FILE, bytes.getInt(group + 4), Name.NO_HASH);
                int version = group + bytes.getInt(group + 8);
                for (int i = bytes.getShort(group + 2) & 0xffff; i > 0; i--) {
                    add(Use.VERSION_NEEDED, bytes.getInt(version + 8), version);
                    version += bytes.getInt(version + 12);
                }
                group += bytes.getInt(group + 12);
            }
        }

        /** Groups of {version, flags, index, count, hash, first, next}, each with a chain of {name, next}. */
        private void versionDefinitions(int first, long groups) {
            int group = first;
            for (long g = 0; g < groups; g++) {
                int name = group + bytes.getInt(group + 12);
                for (int i = bytes.getShort(group + 6) & 0xffff; i > 0; i--) {
                    add(Use.VERSION_DEFINED, bytes.getInt(name), Name.NO_HASH);
                    name += bytes.getInt(name + 4);
                }
                group += bytes.getInt(group + 16);
            }
        }

        private void add(Use use, int offset, int hashPosition) {
            int start = Math.addExact(strings, offset);
            int end = start;
            while (bytes.get(end) != 0) {
                end++;
            }
            byte[] text = new byte[end - start];
            bytes.get(start, text);
            // One character for each byte, so that lengths are those in the file.
            names.add(new Name(use, new String(text, StandardCharsets.ISO_8859_1), offset, hashPosition));
        }

        /** The value of a tag in the dynamic section, or -1. */
        private long value(int position, int entries, long tag) {
            for (int i = 0; i < entries; i++) {
                if (bytes.getLong(position + 16 * i) == tag) {
                    return bytes.getLong(position + 16 * i + 8);
                }
            }
            return -1;
        }

        /** Where in the file the byte lies that will be loaded at an address. */
        private int position(long address) {
            for (Segment segment : segments) {
                if (address >= segment.address() && address - segment.address() < segment.size()) {
                    return Math.toIntExact(address - segment.address() + segment.position());
                }
            }
            throw new IndexOutOfBoundsException("address " + address + " lies in no loaded segment");
        }
    }
}
