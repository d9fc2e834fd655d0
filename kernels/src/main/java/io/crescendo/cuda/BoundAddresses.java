package io.crescendo.cuda;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Value;
import io.crescendo.backend.ModelMemory;
import io.crescendo.memory.WorkspacePlan;

/** The addresses of one binding, for as long as the arena stays where it is. */
final class BoundAddresses implements Addresses {
    private final CudaBackend backend;
    private final WorkspacePlan plan;
    private final ModelMemory model;
    private final Inputs inputs;

    BoundAddresses(CudaBackend backend, WorkspacePlan plan, ModelMemory model, Inputs inputs) {
        this.backend = backend;
        this.plan = plan;
        this.model = model;
        this.inputs = inputs;
    }

    @Override
    public long value(Value value) {
        return switch (value.home()) {
            case ARENA -> backend.workspace().address() + plan.offset(value);
            case IMAGES, LABELS -> inputs.address(value);
            case WEIGHTS, GRADIENTS, STATISTICS ->
                throw new IllegalArgumentException(
                        value + " lives in a pack; ask for its " + value.home() + " by name");
        };
    }

    @Override
    public long scratch(OpPlan op, long offset) {
        return backend.workspace().address() + plan.scratchOffset(op.index()) + offset;
    }

    @Override
    public long held(OpPlan op, long offset) {
        return backend.workspace().address() + plan.heldOffset(op.index()) + offset;
    }

    @Override
    public long weights(Value value) {
        return memory(value, Home.WEIGHTS).address() + Float.BYTES * value.offset();
    }

    @Override
    public long shadow(Value value) {
        long start = memory(value, Home.WEIGHTS).shadowAddress();
        if (start == 0) {
            throw new IllegalStateException("the weights have a bf16 copy only if the precision is bf16, but it is "
                    + backend.device().precision());
        }
        return start + Short.BYTES * value.offset();
    }

    @Override
    public long gradients(Value value) {
        return memory(value, Home.GRADIENTS).address() + Float.BYTES * value.offset();
    }

    @Override
    public long statistics(Value value) {
        return memory(value, Home.STATISTICS).address() + Float.BYTES * value.offset();
    }

    private CudaDeviceMemory memory(Value value, Home home) {
        if (value.home() != home) {
            throw new IllegalArgumentException(value + " lives in " + value.home() + ", not in " + home);
        }
        return (CudaDeviceMemory)
                switch (home) {
                    case WEIGHTS -> model.weights();
                    case GRADIENTS -> model.gradients();
                    case STATISTICS -> model.statistics();
                    case IMAGES, LABELS, ARENA -> throw new IllegalArgumentException(home + " is no pack");
                };
    }

    @Override
    public long lossSums() {
        return backend.metrics().address();
    }

    @Override
    public long dropoutClock() {
        return inputs.dropoutClock();
    }

    @Override
    public long tickets() {
        return backend.tickets();
    }
}
