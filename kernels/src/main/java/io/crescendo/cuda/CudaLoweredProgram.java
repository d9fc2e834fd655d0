package io.crescendo.cuda;

import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.backend.Executable;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.Precision;
import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.tensor.ParameterPack;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/** A program whose operations have chosen how to run, waiting for addresses. */
final class CudaLoweredProgram implements LoweredProgram {
    private static final int LARGEST_NAMED = 5;

    private final CudaBackend backend;
    private final Program program;
    private final Plans plans;
    private final Sizes sizes;
    private final CudaScope scope;
    private boolean closed;

    /** Plans that the lowered program and all its bindings share; the last of them to end closes them. */
    static final class Plans {
        private final List<OpPlan> plans;
        private int users = 1;

        Plans(List<OpPlan> plans) {
            this.plans = List.copyOf(plans);
        }

        List<OpPlan> list() {
            return plans;
        }

        synchronized void use() {
            users++;
        }

        synchronized void release() {
            if (--users == 0) {
                CudaScope all = new CudaScope();
                plans.forEach(all::own);
                all.close();
            }
        }
    }

    CudaLoweredProgram(CudaBackend backend, CudaScope scope, Program program, List<OpPlan> ops) {
        this.scope = scope;
        this.backend = backend;
        this.program = program;
        this.plans = new Plans(ops);
        scope.onClose(plans::release);
        this.sizes = new Sizes(program, ops);
    }

    @Override
    public MemoryRequirements requirements() {
        return sizes;
    }

    /** Measures which methods are the fastest, where that is not known from an earlier time. */
    @Override
    public void compile() {
        if (closed) {
            throw new IllegalStateException("this lowered program was closed already");
        }
        backend.device().enter();
        try {
            plans.list().forEach(OpPlan::prepare);
        } catch (jcuda.CudaException e) {
            throw backend.device().health().note(CudaCalls.failure("prepare " + backend.describe(program), e));
        }
    }

    /** On a device that maps memory, where all that the program needs has its address before it is used. */
    @Override
    public Optional<Executable> bindAhead(WorkspacePlan plan, ModelMemory model, boolean whole) {
        CudaDevice device = backend.device();
        compile();
        requireFit(plan, model);
        boolean hasShadow = ((CudaDeviceMemory) model.weights()).shadowAddress() != 0;
        if (!device.graphs()
                || !backend.workspace().isReady(plan.totalBytes())
                || (device.precision() == Precision.BF16 && !hasShadow)) {
            return Optional.empty();
        }
        CudaExecutable executable = bound(plan, model, Inputs::prepare);
        executable.recordAhead(whole);
        return Optional.of(executable);
    }

    @Override
    public Executable bind(WorkspacePlan plan, ModelMemory model) {
        compile();
        requireFit(plan, model);
        return bound(plan, model, inputs -> {
            if (backend.device().precision() == Precision.BF16) {
                ((CudaDeviceMemory) model.weights()).addShadow();
            }
            backend.workspace().grow(plan.totalBytes());
            inputs.reserve();
        });
    }

    private CudaExecutable bound(WorkspacePlan plan, ModelMemory model, Consumer<Inputs> makeRoom) {
        CudaScope own = backend.childScope();
        plans.use();
        own.onClose(plans::release);
        try {
            Inputs inputs = new Inputs(backend, program);
            makeRoom.accept(inputs);
            return new CudaExecutable(this, plan, model, inputs, own);
        } catch (CudaException e) {
            throw e.outOfMemory() ? own.closeAfter(outOfMemory(plan, e)) : own.closeAfter(e);
        } catch (jcuda.CudaException e) {
            throw own.closeAfter(CudaCalls.failure("prepare " + backend.describe(program), e));
        } catch (RuntimeException e) {
            throw own.closeAfter(e);
        }
    }

    CudaBackend backend() {
        return backend;
    }

    Program program() {
        return program;
    }

    List<OpPlan> plans() {
        return plans.list();
    }

    private void requireFit(WorkspacePlan plan, ModelMemory model) {
        plan.requireFor(program, sizes);
        model.requireFor(program, CudaDeviceMemory.class);
        requireOrder("weights", model.weights(), program.parameters());
        requireOrder("gradients", model.gradients(), program.parameters());
        requireOrder("statistics", model.statistics(), program.statistics());
    }

    private static void requireOrder(String what, DeviceMemory memory, ParameterPack pack) {
        CudaDeviceMemory onDevice = (CudaDeviceMemory) memory;
        onDevice.requireOpen();
        if (!onDevice.order().matches(PackOrder.of(pack))) {
            throw new IllegalArgumentException("the model's " + what + " are in another order than the program's;"
                    + " allocate them with Backend.allocate(ParameterPack) for the program's own pack");
        }
    }

    private DeviceMemoryException outOfMemory(WorkspacePlan plan, CudaException cause) {
        String largest = program.values().stream()
                .filter(value -> sizes.bytes(value) > 0)
                .sorted(Comparator.comparingLong((Value value) -> -sizes.bytes(value)))
                .limit(LARGEST_NAMED)
                .map(value -> value + " with " + Amounts.bytes(sizes.bytes(value)))
                .collect(Collectors.joining("; "));
        return backend.workspace()
                .refused(
                        backend.describe(program) + " needs a workspace of " + Amounts.bytes(plan.totalBytes())
                                + ", its largest values being " + largest,
                        plan.totalBytes(),
                        cause);
    }

    @Override
    public void close() {
        closed = true;
        backend.device().enterToClose();
        scope.close();
    }
}
