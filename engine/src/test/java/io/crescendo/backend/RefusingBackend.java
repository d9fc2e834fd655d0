package io.crescendo.backend;

import io.crescendo.autograd.Program;
import io.crescendo.memory.WorkspacePlan;
import java.util.OptionalLong;

/** A reference backend whose workspace may never hold more than a limit, which can change while it runs. */
public final class RefusingBackend extends ForwardingBackend {
    private final boolean saysWhatThereIs;
    private long limitBytes;
    private int refusals;

    /**
     * Creates one.
     *
     * @param limitBytes the most the workspace may hold
     * @param saysWhatThereIs whether a refusal tells the limit
     */
    public RefusingBackend(long limitBytes, boolean saysWhatThereIs) {
        this.limitBytes = limitBytes;
        this.saysWhatThereIs = saysWhatThereIs;
    }

    /** The most the workspace may hold from now on; what it holds already stays. */
    public void limit(long bytes) {
        limitBytes = bytes;
    }

    /** How often it refused. */
    public int refusals() {
        return refusals;
    }

    @Override
    public Workspace workspace() {
        Workspace workspace = super.workspace();
        return new ForwardingWorkspace(workspace) {
            @Override
            public void reserve(long bytes) {
                if (bytes > workspace.capacityBytes() && bytes > limitBytes) {
                    refusals++;
                    workspace.shrink(0); // as a device may that frees before it asks for more
                    throw new DeviceMemoryException(
                            "another process has the memory",
                            "; the backend's remedy",
                            bytes,
                            saysWhatThereIs ? OptionalLong.of(limitBytes) : OptionalLong.empty(),
                            null);
                }
                workspace.reserve(bytes);
            }
        };
    }

    @Override
    public LoweredProgram lower(Program program) {
        return new ForwardingLoweredProgram(super.lower(program)) {
            @Override
            public Executable bind(WorkspacePlan plan, ModelMemory model) {
                workspace().reserve(plan.totalBytes());
                return super.bind(plan, model);
            }
        };
    }
}
