package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.cuda.ElfFile.Use;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@NullMarked
class ElfRelinkerTest {
    @TempDir
    private Path directory = Path.of("");

    private Path programAskingFor12() throws IOException {
        Compiler gcc = new Compiler(directory);
        gcc.library("libfoo.so.12", "int foo(void) { return 12; }");
        gcc.library("libfoo.so.13", "int foo(void) { return 13; }");
        return gcc.program(
                "asking",
                "#include <stdio.h>\nint foo(void); int main(void) { printf(\"foo %d\", foo()); return 0; }",
                "libfoo.so.12");
    }

    private Path written(String name, byte[] content) throws IOException {
        Path file = Files.write(directory.resolve(name), content);
        assertTrue(file.toFile().setExecutable(true));
        return file;
    }

    @Test
    void aRelinkedProgramRunsAgainstTheOtherRelease() throws IOException {
        Path program = programAskingFor12();
        assertEquals("foo 12", Compiler.output(List.of(program.toString()), directory.toString()));

        byte[] original = Files.readAllBytes(program);
        byte[] before = original.clone();
        Path relinked = written("relinked", ElfRelinker.relink(original, "libfoo.so.12", "libfoo.so.13"));
        assertArrayEquals(before, original, "the argument is left alone");

        Files.delete(directory.resolve("libfoo.so.12"));
        assertEquals("foo 13", Compiler.output(List.of(relinked.toString()), directory.toString()));
        String unchanged = Compiler.output(List.of(program.toString()), directory.toString());
        assertTrue(unchanged.contains("libfoo.so.12"), "without relinking it cannot start: " + unchanged);
    }

    @Test
    void withoutTheNewHashTheLoaderRefuses() throws IOException {
        byte[] original = Files.readAllBytes(programAskingFor12());
        byte[] relinked = ElfRelinker.relink(original, "libfoo.so.12", "libfoo.so.13");
        ElfFile elf = ElfFile.parse(ByteBuffer.wrap(original));
        int hash = elf.names().stream()
                .filter(name -> name.use() == Use.VERSION_NEEDED && name.text().equals("libfoo.so.12"))
                .findFirst()
                .orElseThrow()
                .hashPosition();
        System.arraycopy(original, hash, relinked, hash, 4);
        String output = Compiler.output(List.of(written("half", relinked).toString()), directory.toString());
        assertTrue(output.contains("libfoo.so.13") && !output.contains("foo 13"), output);
    }

    @Test
    void onlyTheNameAndItsHashChange() throws IOException {
        byte[] original = Files.readAllBytes(programAskingFor12());
        byte[] relinked = ElfRelinker.relink(original, "libfoo.so.12", "libfoo.so.13");
        int changed = 0;
        for (int i = 0; i < original.length; i++) {
            changed += original[i] == relinked[i] ? 0 : 1;
        }
        // One digit of one shared string, and the low byte of a hash: the last character is added to it last.
        assertEquals(2, changed);
        assertArrayEquals(original, ElfRelinker.relink(relinked, "libfoo.so.13", "libfoo.so.12"), "there and back");
    }

    @Test
    void aLibraryIsNotGivenANewNameOfItsOwn() throws IOException {
        Compiler gcc = new Compiler(directory);
        gcc.library("libbar.so.12", "int bar(void) { return 1; }");
        // Needs a library whose name is the end of its own, so the linker may store both as one string.
        Path library = gcc.library("xlibbar.so.12", "int bar(void); int two(void) { return bar(); }", "libbar.so.12");
        String message = message(Files.readAllBytes(library), "libbar.so.12", "libbar.so.13");
        assertTrue(message.contains("xlibbar.so.12"), message);
    }

    @ParameterizedTest
    @EnumSource(
            value = CudaLibrary.class,
            names = {"NVRTC", "CUBLAS"})
    void jcudasBindingsAreRelinkedForCuda13(CudaLibrary library) {
        byte[] original = JCudaNatives.fromJar(library);
        ElfFile before = ElfFile.parse(ByteBuffer.wrap(original));
        assertTrue(before.needed().contains(library.name(12)), before.needed().toString());
        ElfFile after =
                ElfFile.parse(ByteBuffer.wrap(ElfRelinker.relink(original, library.name(12), library.name(13))));
        assertEquals(
                before.needed().stream()
                        .map(name -> name.equals(library.name(12)) ? library.name(13) : name)
                        .toList(),
                after.needed());
        assertTrue(after.names().stream()
                .anyMatch(
                        name -> name.use() == Use.VERSION_NEEDED && name.text().equals(library.name(13))));
        assertTrue(after.names().stream().noneMatch(name -> name.text().equals(library.name(12))));
    }

    @ParameterizedTest
    @EnumSource(CudaLibrary.class)
    void everyVersionHashInJcudasBindingsIsOurHashOfItsName(CudaLibrary library) {
        byte[] bytes = JCudaNatives.fromJar(library);
        ByteBuffer buffer = ByteBuffer.wrap(bytes).order(java.nio.ByteOrder.LITTLE_ENDIAN);
        List<ElfFile.Name> versions = ElfFile.parse(buffer).names().stream()
                .filter(name -> name.use() == Use.VERSION_NEEDED)
                .toList();
        assertFalse(versions.isEmpty());
        for (ElfFile.Name name : versions) {
            assertEquals(ElfRelinker.hash(name.text()), buffer.getInt(name.hashPosition()), name.text());
        }
    }

    @Test
    void theBindingsOfDriverAndCudnnNeedNoRelinking() {
        for (CudaLibrary library : List.of(CudaLibrary.DRIVER, CudaLibrary.CUDNN)) {
            ElfFile elf = ElfFile.parse(ByteBuffer.wrap(JCudaNatives.fromJar(library)));
            assertTrue(elf.needed().contains(library.name(13)), elf.needed().toString());
        }
    }

    @Test
    void whatCannotBeDoneIsRefusedWithTheReason() {
        byte[] binding = JCudaNatives.fromJar(CudaLibrary.NVRTC);
        assertContains(message(binding, "libnvrtc.so.12", "libnvrtc.so.130"), "15 characters", "same length");
        assertContains(
                message(binding, "libcuda.so.1", "libcuda.so.2"), "does not need 'libcuda.so.1'", "libnvrtc.so.12");
        assertContains(
                message("no library at all, text".getBytes(java.nio.charset.StandardCharsets.UTF_8), "a", "b"),
                "not a 64-bit x86 ELF file");
        assertContains(message(new byte[3], "a", "b"), "not a 64-bit x86 ELF file");
    }

    @Test
    void aFileCutShortAnywhereIsRefused() {
        byte[] binding = JCudaNatives.fromJar(CudaLibrary.NVRTC);
        long seed = System.nanoTime();
        Random random = new Random(seed);
        // Its dynamic section lies near the end, so a file of less than half the length lacks it.
        for (int i = 0; i < 50; i++) {
            byte[] part = Arrays.copyOf(binding, random.nextInt(binding.length / 2));
            assertThrows(
                    IllegalArgumentException.class,
                    () -> ElfRelinker.relink(part, "libnvrtc.so.12", "libnvrtc.so.13"),
                    () -> part.length + " bytes, seed " + seed);
        }
    }

    private static String message(byte[] library, String oldName, String newName) {
        return String.valueOf(
                assertThrows(IllegalArgumentException.class, () -> ElfRelinker.relink(library, oldName, newName))
                        .getMessage());
    }

    private static void assertContains(String text, String... parts) {
        for (String part : parts) {
            assertTrue(text.contains(part), () -> "'" + part + "' is not in: " + text);
        }
    }
}
