package io.crescendo.backend;

import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.WorkspacePlan;
import java.util.Optional;

/** Passes everything on to another lowered program. */
public class ForwardingLoweredProgram implements LoweredProgram {
    private final LoweredProgram inner;

    /** In front of another one. */
    public ForwardingLoweredProgram(LoweredProgram inner) {
        this.inner = inner;
    }

    @Override
    public MemoryRequirements requirements() {
        return inner.requirements();
    }

    @Override
    public void compile() {
        inner.compile();
    }

    @Override
    public Optional<Executable> bindAhead(WorkspacePlan plan, ModelMemory model, boolean whole) {
        return inner.bindAhead(plan, model, whole);
    }

    @Override
    public Executable bind(WorkspacePlan plan, ModelMemory model) {
        return inner.bind(plan, model);
    }

    @Override
    public void close() {
        inner.close();
    }
}
