package io.crescendo.reference;

import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.backend.HostStepMetrics;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.WorkspacePlan;

/** There is nothing to choose: eight bytes per element, everything overwritable may be overwritten. */
final class ReferenceProgram implements LoweredProgram {
    /** Odd on purpose, so that scratch memory also meets the planner's rounding. */
    private static final long POISONED_SCRATCH_BYTES = 3000;

    private final Program program;
    private final ReferenceWorkspace workspace;
    private final HostStepMetrics metrics;
    private final boolean poison;
    private volatile boolean closed;

    ReferenceProgram(Program program, ReferenceWorkspace workspace, HostStepMetrics metrics, boolean poison) {
        this.program = program;
        this.workspace = workspace;
        this.metrics = metrics;
        this.poison = poison;
    }

    @Override
    public MemoryRequirements requirements() {
        return new MemoryRequirements() {
            @Override
            public long bytes(Value value) {
                return Math.multiplyExact(value.shape().elements(), (long) Double.BYTES);
            }

            /** No loop needs any; a poisoned backend asks for some to fill it with NaN before the operation runs. */
            @Override
            public long scratchBytes(int opIndex) {
                return poison ? POISONED_SCRATCH_BYTES : 0;
            }

            @Override
            public boolean mayOverwrite(int opIndex, Value input) {
                return true;
            }
        };
    }

    @Override
    public ReferenceExecutable bind(WorkspacePlan plan, ModelMemory model) {
        compile();
        plan.requireFor(program, requirements());
        model.requireFor(program, ReferenceMemory.class);
        workspace.reserve(plan.totalBytes());
        return new ReferenceExecutable(program, requirements(), plan, model, workspace, metrics, poison);
    }

    /** There is nothing to do, but of a closed program nothing is asked. */
    @Override
    public void compile() {
        if (closed) {
            throw new IllegalStateException("this lowered program was closed already");
        }
    }

    @Override
    public void close() {
        closed = true;
    }
}
