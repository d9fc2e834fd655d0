package io.crescendo.backend;

import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.reference.ReferenceBackend;
import io.crescendo.reference.ReferenceMemory;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.List;
import java.util.function.Predicate;

/** A correct backend with one mistake built in; subclasses override the step that goes wrong. */
class TamperedBackend extends ForwardingBackend {
    final ReferenceBackend honest;

    TamperedBackend() {
        this(new ReferenceBackend());
    }

    private TamperedBackend(ReferenceBackend honest) {
        super(honest);
        this.honest = honest;
    }

    /** Called instead of each run. */
    void run(Executable executable, Feed feed, ModelMemory model) {
        executable.run(feed);
    }

    /** Called instead of each read of a kept value. */
    void read(Executable executable, Value value, float[] destination) {
        executable.read(value, destination);
    }

    /** Called instead of each update. */
    void apply(UpdateKernel kernel, UpdateScalars scalars, ModelMemory model) {
        kernel.apply(scalars);
    }

    /** The array behind a memory. */
    static double[] values(DeviceMemory memory) {
        return ReferenceMemory.of(memory).values();
    }

    @Override
    public String name() {
        return "tampered";
    }

    @Override
    public String description() {
        return "a reference backend with one mistake";
    }

    @Override
    public LoweredProgram lower(Program program) {
        LoweredProgram lowered = honest.lower(program);
        return new LoweredProgram() {
            @Override
            public MemoryRequirements requirements() {
                return lowered.requirements();
            }

            @Override
            public Executable bind(WorkspacePlan plan, ModelMemory model) {
                Executable executable = lowered.bind(plan, model);
                return new Executable() {
                    @Override
                    public void run(Feed feed) {
                        TamperedBackend.this.run(executable, feed, model);
                    }

                    @Override
                    public void profile(Feed feed, double[] seconds) {
                        executable.profile(feed, seconds);
                    }

                    @Override
                    public void read(Value value, float[] destination) {
                        TamperedBackend.this.read(executable, value, destination);
                    }

                    @Override
                    public void close() {
                        executable.close();
                    }
                };
            }

            @Override
            public void close() {
                lowered.close();
            }
        };
    }

    @Override
    public UpdateKernel prepareUpdate(
            UpdateRule rule, ModelMemory model, ParameterPack parameters, Predicate<Parameter> decayed) {
        UpdateKernel kernel = honest.prepareUpdate(rule, model, parameters, decayed);
        return new UpdateKernel() {
            @Override
            public void apply(UpdateScalars scalars) {
                TamperedBackend.this.apply(kernel, scalars, model);
            }

            @Override
            public List<DeviceMemory> state() {
                return kernel.state();
            }

            @Override
            public void close() {
                kernel.close();
            }
        };
    }
}
