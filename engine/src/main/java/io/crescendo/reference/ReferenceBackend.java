package io.crescendo.reference;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.GradientNorms;
import io.crescendo.backend.HostStepMetrics;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.StepMetrics;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.Workspace;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.EnumSet;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.Predicate;

/** Plain loops in double precision: the twin that fast backends are compared with. */
public final class ReferenceBackend implements Backend {
    private final Set<Fusion> fusions;
    private final boolean poison;
    private final ReferenceWorkspace workspace = new ReferenceWorkspace();
    private final HostStepMetrics metrics = new HostStepMetrics();
    private volatile boolean closed;

    /** All fusions, no poison. */
    public ReferenceBackend() {
        this(EnumSet.allOf(Fusion.class), false);
    }

    /**
     * A backend for tests.
     *
     * @param fusions what {@link #fusions()} answers; it can run all of them, fewer give other programs to compare
     * @param poison whether arena memory is NaN whenever no value owns it, so that a plan that lets living values
     *     overlap, or an operation that leaves part of its output unwritten, shows in the results
     */
    public ReferenceBackend(Set<Fusion> fusions, boolean poison) {
        this.fusions = Set.copyOf(fusions);
        this.poison = poison;
    }

    @Override
    public String name() {
        return "reference";
    }

    @Override
    public String description() {
        return "reference: plain Java loops in double precision, one thread"
                + (poison ? ", freed memory poisoned" : "");
    }

    @Override
    public Set<Fusion> fusions() {
        return fusions;
    }

    @Override
    public ReferenceMemory allocate(long elements) {
        requireOpen();
        return new ReferenceMemory(elements);
    }

    /** What Java may use at most. */
    @Override
    public OptionalLong memoryBytes() {
        return OptionalLong.of(Runtime.getRuntime().maxMemory());
    }

    @Override
    public Workspace workspace() {
        return workspace;
    }

    @Override
    public LoweredProgram lower(Program program) {
        requireOpen();
        return new ReferenceProgram(program, workspace, metrics, poison);
    }

    @Override
    public UpdateKernel prepareUpdate(
            UpdateRule rule, ModelMemory model, ParameterPack parameters, Predicate<Parameter> decayed) {
        requireOpen();
        return new ReferenceUpdate(rule, model, parameters, decayed, metrics);
    }

    @Override
    public GradientNorms gradientNorms(ModelMemory model) {
        return new ReferenceGradientNorms(model);
    }

    @Override
    public StepMetrics metrics() {
        return metrics;
    }

    private void requireOpen() {
        if (closed) {
            throw new IllegalStateException("this backend was closed already");
        }
    }

    @Override
    public void close() {
        closed = true;
        workspace.shrink(0);
    }
}
