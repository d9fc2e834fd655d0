package io.crescendo.cuda;

import io.crescendo.autograd.Value;

/**
 * Where things lie on the device, known when a program is bound. If the arena moves, everything is bound again.
 *
 * <p>All addresses are in bytes, ready to be handed to a kernel. Arena values and scratch start at multiples of 256
 * bytes, slices of packs at multiples of 64 (32 in the shadow).
 */
interface Addresses {
    /** Unsigned numbers at {@link #tickets()}. */
    int TICKETS = 1 << 18;

    /**
     * An arena value; or the fed images, in NHWC and the type of activations; or the fed labels, int32.
     *
     * @param value of {@link io.crescendo.autograd.Home} ARENA, IMAGES or LABELS
     */
    long value(Value value);

    /** What {@link OpPlan#scratch} reserved. */
    long scratch(OpPlan plan, long offset);

    /** What {@link OpPlan#hold} reserved. */
    long held(OpPlan plan, long offset);

    /** A weight as float32; one with four extents in KRSC order. */
    long weights(Value value);

    /**
     * The bf16 copy of a weight, in the same order.
     *
     * @throws IllegalStateException unless the precision is bf16
     */
    long shadow(Value value);

    /** Where a weight's gradient is added up: float32, in the order of the weight. */
    long gradients(Value value);

    /** Running statistics, float32. */
    long statistics(Value value);

    /** The sums of {@link CudaStepMetrics}: a double for the loss, then a long long for the hits. */
    long lossSums();

    /** One {@code DropoutClock} of dropout.cu. */
    long dropoutClock();

    /**
     * {@link #TICKETS} zeroed unsigned numbers for {@code last_block}; operations share them, because they run one
     * after another and leave zeros.
     */
    long tickets();
}
