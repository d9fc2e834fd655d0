package io.crescendo.cli.run;

import io.crescendo.backend.Backend;
import io.crescendo.cli.UserError;
import io.crescendo.memory.MemoryBudgetException;
import io.crescendo.schedule.PlanTable;

/**
 * The most memory that the workspace may take: an amount, or a share of what the device has.
 *
 * @param bytes the amount; not looked at if there is a share
 * @param share of the device's memory, above 0 and at most 1; 0 if an amount was stated
 */
public record MemoryBudget(long bytes, double share) {
    /** Most of the device's memory. */
    public static final MemoryBudget NONE = new MemoryBudget(Long.MAX_VALUE, 0);

    /** So many bytes on a device. */
    public long on(Backend backend) {
        if (share == 0) {
            return bytes;
        }
        long device = backend.memoryBytes()
                .orElseThrow(() -> UserError.usage("--memory-budget: device '" + backend.name()
                        + "' does not say how much memory it has; state an amount, such as 8GiB"));
        return Math.max(1, (long) (share * device));
    }

    /** For people: {@code 3.9 MiB}, or {@code 80 % of the device}. */
    String text() {
        if (bytes == Long.MAX_VALUE && share == 0) {
            return "not stated";
        }
        return share > 0 ? PlanTable.number(100 * share) + " % of the device" : Columns.mebibytes(bytes);
    }

    /** What to throw where a workspace did not fit: the option is at fault unless the device gave less than it says. */
    public RuntimeException explained(MemoryBudgetException e) {
        return share > 0 || bytes == e.budgetBytes() ? UserError.usage("--memory-budget: " + e.getMessage(), e) : e;
    }
}
