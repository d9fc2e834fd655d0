package io.crescendo.cuda;

import static jcuda.jcudnn.JCudnn.cudnnBackendExecute;
import static jcuda.jcudnn.cudnnBackendAttributeName.*;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendNumericalNote.CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
import static jcuda.jcudnn.cudnnBackendNumericalNote.CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
import static jcuda.jcudnn.cudnnBackendNumericalNote.CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
import static jcuda.jcudnn.cudnnBackendNumericalNote.CUDNN_NUMERICAL_NOTE_TENSOR_CORE;

import io.crescendo.backend.Precision;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * A convolution through cuDNN's graph functions, fused with bias and ReLU.
 *
 * <p>Calls cudnnBackend{CreateDescriptor, SetAttribute, Finalize, GetAttribute, Execute, DestroyDescriptor} and nothing
 * else of cuDNN. Candidates are taken from lists of the heuristics ({@link GraphEngines}); engine and knobs name them.
 *
 * <p>A convolution with an addend adds to what lies at the result, where the addend is copied first unless it lies
 * there already; bias and ReLU follow as kernels of our own. A float32 weight gradient is added to the pack by cuDNN, a
 * bf16 one by a kernel.
 *
 * <p>Left to {@link ClassicConvolution}: groups. Left out: engines that convert their inputs to a narrower type, or sum
 * in one, and with {@link Precision#FP32} those that use tensor cores.
 */
final class GraphConvolution implements ConvolutionMethod {
    /** Where engine configurations come from. */
    enum Source {
        /**
         * The heuristics, modes A and B. A is nearly always right on Hopper; B knows better settings where there are
         * few channels.
         */
        GRAPH,
        /** Engines that take what others do not. */
        FALLBACK;

        private List<Integer> heuristics() {
            return this == GRAPH ? List.of(HEURISTICS_MODE_A, HEURISTICS_MODE_B) : List.of(HEURISTICS_MODE_FALLBACK);
        }
    }

    /** CUDNN_HEUR_MODE_A, B and FALLBACK of cuDNN 8.3 and later; the binding's table ends before them. */
    private static final int HEURISTICS_MODE_A = 3;

    private static final int HEURISTICS_MODE_B = 1;
    private static final int HEURISTICS_MODE_FALLBACK = 2;
    /** Enough for the engines of a list, four to six on Hopper, and for several settings of the first ones. */
    private static final int MOST_CANDIDATES = 18;
    /** A candidate whose kernel is compiled takes up to seconds before it can be measured. */
    private static final int MOST_COMPILED = 3;
    /** Some compile in vain: cuDNN refuses the result, or it wants too large a workspace. */
    private static final int MOST_COMPILATIONS = 6;

    private static final Set<Integer> INEXACT =
            Set.of(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION);

    private final ConvolutionProblem problem;
    private final Epilogue epilogue;
    private final CudaScope scope;
    private final GraphDescriptor plan;
    private final String name;
    private final boolean deterministic;
    private final long workspaceBytes;

    private GraphConvolution(
            ConvolutionProblem problem,
            Grids grids,
            CudaScope scope,
            GraphDescriptor plan,
            String name,
            boolean deterministic) {
        this.problem = problem;
        this.epilogue = new Epilogue(problem, grids);
        this.scope = scope;
        this.plan = plan;
        this.name = name;
        this.deterministic = deterministic;
        this.workspaceBytes = plan.number(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
    }

    /**
     * The first methods of a source that can be built and are wanted; none if anything about the graph is not
     * supported.
     *
     * @param compiled whether to take engines whose kernels are compiled, or only ones that are ready
     */
    static List<ConvolutionMethod> candidates(
            CudnnHandle cudnn,
            ConvolutionProblem problem,
            Grids grids,
            Source source,
            boolean compiled,
            Predicate<ConvolutionMethod> wanted) {
        GraphEngines engines = ask(cudnn, problem, source);
        if (engines == null) {
            return List.of();
        }
        List<ConvolutionMethod> candidates = new ArrayList<>();
        try {
            List<GraphEngines.Listed> listed = engines.listed().stream()
                    .filter(entry -> entry.compiled() == compiled && exact(entry, problem.precision()))
                    .toList();
            List<Integer> order = GraphEngines.order(
                    listed.stream().map(entry -> entry.setting().engine()).toList());
            for (int index : compiled ? order.subList(0, Math.min(order.size(), MOST_COMPILATIONS)) : order) {
                ConvolutionMethod method = build(cudnn, problem, grids, engines, listed.get(index));
                if (method != null && wanted.test(method)) {
                    candidates.add(method);
                } else if (method != null) {
                    method.close();
                }
                if (candidates.size() == (compiled ? MOST_COMPILED : MOST_CANDIDATES)) {
                    break;
                }
            }
        } finally {
            engines.release();
        }
        return candidates;
    }

    /** The method of a name, or null if it cannot be built. */
    static @Nullable ConvolutionMethod named(CudnnHandle cudnn, ConvolutionProblem problem, Grids grids, String name) {
        GraphEngines.Setting setting = GraphEngines.Setting.of(name);
        GraphEngines engines = setting == null || problem.groups() != 1
                ? null
                : supported(() -> GraphEngines.one(cudnn, problem, setting));
        if (engines == null) {
            return null;
        }
        try {
            GraphEngines.Listed entry = engines.listed().get(0);
            return exact(entry, problem.precision()) ? build(cudnn, problem, grids, engines, entry) : null;
        } finally {
            engines.release();
        }
    }

    /** The lists of a source, or null where cuDNN does not take the graph. */
    private static @Nullable GraphEngines ask(CudnnHandle cudnn, ConvolutionProblem problem, Source source) {
        return problem.groups() != 1 ? null : supported(() -> GraphEngines.ask(cudnn, problem, source.heuristics()));
    }

    /** What cuDNN gives, or null where it refuses, in one of many ways: the classic functions remain. */
    private static @Nullable GraphEngines supported(Supplier<GraphEngines> call) {
        try {
            return call.get();
        } catch (jcuda.CudaException e) {
            return null;
        }
    }

    private static boolean exact(GraphEngines.Listed entry, Precision precision) {
        return entry.notes().stream().noneMatch(INEXACT::contains)
                && (precision != Precision.FP32 || !entry.notes().contains(CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
    }

    private static @Nullable ConvolutionMethod build(
            CudnnHandle cudnn,
            ConvolutionProblem problem,
            Grids grids,
            GraphEngines engines,
            GraphEngines.Listed entry) {
        CudaScope scope = new CudaScope();
        engines.use();
        scope.onClose(engines::release);
        try {
            GraphDescriptor plan = GraphDescriptor.create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
            scope.onClose(plan::close);
            plan.with(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, cudnn)
                    .with(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, entry.configuration())
                    .finish();
            boolean deterministic = !entry.notes().contains(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
            return new GraphConvolution(
                    problem, grids, scope, plan, entry.setting().name(), deterministic);
        } catch (jcuda.CudaException e) {
            // Not supported after all: there are other entries.
            scope.close();
            return null;
        }
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public long workspaceBytes() {
        return workspaceBytes;
    }

    @Override
    public boolean deterministic() {
        return deterministic;
    }

    @Override
    public boolean narrow() {
        return problem.narrow();
    }

    @Override
    public Launch bind(Kernels kernels, Operands operands) {
        List<Long> numbers =
                new ArrayList<>(List.of(ConvolutionGraph.FIRST, ConvolutionGraph.SECOND, ConvolutionGraph.RESULT));
        List<Long> addresses = new ArrayList<>(List.of(operands.first(), operands.second(), operands.result()));
        boolean fused = ConvolutionGraph.fuses(problem);
        if (fused && problem.bias()) {
            numbers.add(ConvolutionGraph.BIAS);
            addresses.add(operands.bias());
        }
        GraphDescriptor pack = GraphDescriptor.create(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
        scope.onClose(pack::close);
        pack.withLongs(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, array(numbers))
                .withAddresses(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, array(addresses))
                .withAddresses(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, operands.workspace())
                .finish();
        Launch before = problem.addend() ? place(kernels, operands) : Launch.NOTHING;
        Launch after = fused ? Launch.NOTHING : epilogue.bind(kernels, operands, true);
        return lane -> {
            before.enqueue(lane);
            GraphDescriptor.check(cudnnBackendExecute(lane.cudnn(), plan, pack));
            after.enqueue(lane);
        };
    }

    /**
     * Brings the addend to where the convolution is added to it. By a kernel, once the addend: a graph makes two nodes
     * of a copy, and some sizes of it slow (<a href="https://github.com/pytorch/pytorch/issues/191284">PyTorch's
     * account</a>).
     */
    private Launch place(Kernels kernels, Operands operands) {
        if (operands.addend() == operands.result()) {
            return Launch.NOTHING;
        }
        int packed = 16 / problem.elementBytes();
        Kernels.Call copy = kernels.call(
                problem.elementBytes() == Short.BYTES ? "scale_bf16" : "scale_f32",
                Grids.blocksInOrder((problem.resultElements() + packed - 1) / packed),
                1,
                operands.result(),
                operands.addend(),
                problem.resultElements(),
                1f);
        return lane -> copy.enqueue(lane.stream());
    }

    private static long[] array(List<Long> values) {
        return values.stream().mapToLong(Long::longValue).toArray();
    }

    @Override
    public void close() {
        scope.close();
    }
}
