package io.crescendo.memory;

import java.util.Locale;

/** Not even the smallest micro-batch fits the memory budget. */
public final class MemoryBudgetException extends IllegalArgumentException {
    private static final long serialVersionUID = 1L;

    private final long budgetBytes;

    /**
     * Says what would be enough.
     *
     * @param budgetBytes what the workspace may hold
     * @param smallest samples of the smallest micro-batch
     * @param needed bytes of its plan: with as many as the budget it fits
     */
    public MemoryBudgetException(long budgetBytes, int smallest, long needed) {
        super("the memory budget of " + budgetBytes + " bytes is too small: the smallest micro-batch, " + smallest
                + (smallest == 1 ? " sample" : " samples") + ", needs " + needed + " bytes (" + amount(needed)
                + ") of workspace; raise the budget" + (smallest == 1 ? "" : " or choose a smaller ghost batch"));
        this.budgetBytes = budgetBytes;
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
