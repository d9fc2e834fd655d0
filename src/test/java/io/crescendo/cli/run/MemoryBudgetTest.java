package io.crescendo.cli.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;

import io.crescendo.cli.UserError;
import io.crescendo.memory.MemoryBudgetException;
import org.junit.jupiter.api.Test;

class MemoryBudgetTest {
    @Test
    void theOptionIsBlamedOnlyForItsOwnAmount() {
        MemoryBudgetException tooSmall = new MemoryBudgetException(1024, 1, 3072);
        for (MemoryBudget stated : new MemoryBudget[] {new MemoryBudget(1024, 0), new MemoryBudget(0, 0.1)}) {
            UserError error = assertInstanceOf(UserError.class, stated.explained(tooSmall));
            assertEquals(UserError.USAGE, error.exitCode());
        }
        // A device that gave less than was stated, or than all of its memory.
        assertSame(tooSmall, new MemoryBudget(1 << 20, 0).explained(tooSmall));
        assertSame(tooSmall, MemoryBudget.NONE.explained(tooSmall));
    }
}
