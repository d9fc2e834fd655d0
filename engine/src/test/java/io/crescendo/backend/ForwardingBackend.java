package io.crescendo.backend;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.memory.MicroBatchCosts;
import io.crescendo.reference.ReferenceBackend;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.Predicate;

/** Passes everything on to another backend; subclasses watch or change what they are interested in. */
public class ForwardingBackend implements Backend {
    private final Backend inner;

    /** In front of a reference backend. */
    public ForwardingBackend() {
        this(new ReferenceBackend());
    }

    /** In front of any backend. */
    public ForwardingBackend(Backend inner) {
        this.inner = inner;
    }

    @Override
    public String name() {
        return inner.name();
    }

    @Override
    public String description() {
        return inner.description();
    }

    @Override
    public Set<Fusion> fusions() {
        return inner.fusions();
    }

    @Override
    public DeviceMemory allocate(long elements) {
        return inner.allocate(elements);
    }

    @Override
    public DeviceMemory allocate(ParameterPack pack) {
        return inner.allocate(pack);
    }

    @Override
    public OptionalLong memoryBytes() {
        return inner.memoryBytes();
    }

    @Override
    public MicroBatchCosts microBatchCosts() {
        return inner.microBatchCosts();
    }

    @Override
    public Workspace workspace() {
        return inner.workspace();
    }

    @Override
    public LoweredProgram lower(Program program) {
        return inner.lower(program);
    }

    @Override
    public UpdateKernel prepareUpdate(
            UpdateRule rule, ModelMemory model, ParameterPack parameters, Predicate<Parameter> decayed) {
        return inner.prepareUpdate(rule, model, parameters, decayed);
    }

    @Override
    public GradientNorms gradientNorms(ModelMemory model) {
        return inner.gradientNorms(model);
    }

    @Override
    public StepMetrics metrics() {
        return inner.metrics();
    }

    @Override
    public void close() {
        inner.close();
    }
}
