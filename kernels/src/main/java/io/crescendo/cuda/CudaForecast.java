package io.crescendo.cuda;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.Executable;
import io.crescendo.backend.GradientNorms;
import io.crescendo.backend.LoweredProgram;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.Precision;
import io.crescendo.backend.StepMetrics;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.Workspace;
import io.crescendo.memory.MemoryRequirements;
import io.crescendo.memory.WorkspacePlan;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.Predicate;

/**
 * A GPU that is not here: programs can be lowered for it, so that a planner knows what they will take, and nothing
 * else.
 *
 * <p>Values, what operations hold and what may lie in place come from the classes that decide it on a device. What only
 * a device knows is that of an H100, or assumed: multiprocessors, cache, and how many blocks of a kernel run at once,
 * which show in a little scratch memory only; and what convolutions take. On an H100 the fastest methods on tensor
 * cores mostly needed nothing, some weight gradients a few megabytes, and no method may need more than
 * {@link AlgorithmChoice#limit}; those of {@link Precision#FP32} needed a copy of both activations and of the filter.
 */
final class CudaForecast implements Backend, Target {
    private static final int MULTIPROCESSORS = 132;
    private static final long CACHE_BYTES = 50L << 20;
    private static final int BLOCKS_OF_MULTIPROCESSOR = 4;
    private static final Kernels.Room ROOM = new Kernels.Room(2, 96 << 10);

    private final BackendOptions options;

    CudaForecast(BackendOptions options) {
        this.options = options;
    }

    // As a target.

    @Override
    public Precision precision() {
        return options.precision();
    }

    @Override
    public Grids grids(int elementBytes) {
        return new Grids(MULTIPROCESSORS, CACHE_BYTES, elementBytes);
    }

    @Override
    public Kernels.Room room(String kernel) {
        return ROOM;
    }

    @Override
    public int blocksOfMultiprocessor(String kernel) {
        return BLOCKS_OF_MULTIPROCESSOR;
    }

    @Override
    public Method method(ConvolutionProblem problem) {
        long copies = problem.activationBytes() + problem.weightElements() * problem.elementBytes();
        return new Foretold(precision() == Precision.FP32 ? Math.min(copies, AlgorithmChoice.limit(problem)) : 0);
    }

    private record Foretold(long workspaceBytes) implements Method {
        @Override
        public ConvolutionMethod decide() {
            throw notHere("choose how a convolution is computed");
        }

        @Override
        public void close() {}
    }

    @Override
    public Kernels kernels() {
        throw notHere("launch anything");
    }

    @Override
    public CudaScope newScope() {
        return new CudaScope();
    }

    // As a backend.

    @Override
    public String name() {
        return "cuda";
    }

    @Override
    public String description() {
        return "a forecast of a GPU with the measures of an H100, "
                + precision().name().toLowerCase(Locale.ROOT) + "; convolutions' scratch memory is an estimate";
    }

    @Override
    public Set<Fusion> fusions() {
        return EnumSet.allOf(Fusion.class);
    }

    @Override
    public LoweredProgram lower(Program program) {
        return new Lowered(program, CudaLowering.lower(this, program));
    }

    private static final class Lowered implements LoweredProgram {
        private final List<OpPlan> plans;
        private final Sizes sizes;

        Lowered(Program program, List<OpPlan> plans) {
            this.plans = plans;
            this.sizes = new Sizes(program, plans);
        }

        @Override
        public MemoryRequirements requirements() {
            return sizes;
        }

        @Override
        public Executable bind(WorkspacePlan plan, ModelMemory model) {
            throw notHere("run a program");
        }

        @Override
        public void close() {
            plans.forEach(OpPlan::close);
        }
    }

    @Override
    public DeviceMemory allocate(long elements) {
        throw notHere("allocate memory");
    }

    @Override
    public Workspace workspace() {
        throw notHere("reserve a workspace");
    }

    @Override
    public UpdateKernel prepareUpdate(
            UpdateRule rule, ModelMemory model, ParameterPack parameters, Predicate<Parameter> decayed) {
        throw notHere("update a model");
    }

    @Override
    public GradientNorms gradientNorms(ModelMemory model) {
        throw notHere("measure gradients");
    }

    @Override
    public StepMetrics metrics() {
        throw notHere("measure a loss");
    }

    @Override
    public void close() {}

    private static IllegalStateException notHere(String what) {
        return new IllegalStateException("cannot " + what + ": this backend only forecasts the memory of a GPU that is"
                + " not here; open the device with Backends.open");
    }
}
