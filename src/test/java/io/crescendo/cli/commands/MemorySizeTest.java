package io.crescendo.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.crescendo.cli.run.MemoryBudget;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine.TypeConversionException;

class MemorySizeTest {
    private final MemorySize size = new MemorySize();

    @Test
    void readsBinaryAndDecimalUnits() {
        assertEquals(new MemoryBudget(8L << 30, 0), size.convert("8GiB"));
        assertEquals(new MemoryBudget(512L << 20, 0), size.convert("512 MiB"));
        assertEquals(new MemoryBudget(1_500_000_000L, 0), size.convert("1.5GB"));
        assertEquals(new MemoryBudget(3L << 29, 0), size.convert("1.5g"));
        assertEquals(new MemoryBudget(12345L, 0), size.convert("12345"));
    }

    @Test
    void readsSharesOfTheDevice() {
        assertEquals(0.8, size.convert("80%").share());
        assertEquals(0.125, size.convert("12.5 %").share());
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "GiB", "-1GiB", "0", "8 XiB", "1e9", "99999999999GiB", "0%", "101%", "%"})
    void refusesTheRest(String text) {
        assertThrows(TypeConversionException.class, () -> size.convert(text));
    }
}
