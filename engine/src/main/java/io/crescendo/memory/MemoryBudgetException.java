package io.crescendo.memory;

import java.util.Locale;

/** Not even the smallest micro-batch fits the memory budget. */
public final class MemoryBudgetException extends IllegalArgumentException {
    private static final long serialVersionUID = 1L;

    private final long budgetBytes;
    private final String need;

    /**
     * Says what would be enough.
     *
     * @param budgetBytes what the workspace may hold
     * @param smallest samples of the smallest micro-batch
     * @param needed bytes of its plan: with as many as the budget it fits
     */
    public MemoryBudgetException(long budgetBytes, int smallest, long needed) {
        this(
                budgetBytes,
                "the smallest micro-batch, " + smallest + (smallest == 1 ? " sample" : " samples") + ", needs " + needed
                        + " bytes (" + amount(needed) + ") of workspace",
                smallest == 1 ? "" : " or choose a smaller ghost batch");
    }

    private MemoryBudgetException(long budgetBytes, String need, String alternative) {
        super("the memory budget of " + budgetBytes + " bytes is too small: " + need + "; raise the budget"
                + alternative);
        this.budgetBytes = budgetBytes;
        this.need = need;
    }

    /** {@code the smallest micro-batch, 4 samples, needs 1024 bytes (1.0KiB) of workspace}. */
    public String need() {
        return need;
    }

    /** The budget that was too small. */
    public long budgetBytes() {
        return budgetBytes;
    }

    /** Rounded up, so that the amount is enough when it is given back. */
    private static String amount(long bytes) {
        boolean small = bytes < 1 << 20;
        double tenths = Math.ceil(bytes * 10.0 / (small ? 1 << 10 : 1 << 20));
        return String.format(Locale.ROOT, "%.1f%s", tenths / 10, small ? "KiB" : "MiB");
    }
}
