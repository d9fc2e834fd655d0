package io.crescendo.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine.TypeConversionException;

class MemorySizeTest {
    private final MemorySize size = new MemorySize();

    @Test
    void readsBinaryAndDecimalUnits() {
        assertEquals(8L << 30, size.convert("8GiB"));
        assertEquals(512L << 20, size.convert("512 MiB"));
        assertEquals(1_500_000_000L, size.convert("1.5GB"));
        assertEquals(3L << 29, size.convert("1.5g"));
        assertEquals(12345L, size.convert("12345"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "GiB", "-1GiB", "0", "8 XiB", "1e9", "99999999999GiB"})
    void refusesTheRest(String text) {
        assertThrows(TypeConversionException.class, () -> size.convert(text));
    }
}
