package io.crescendo.cuda;

import static jcuda.jcudnn.JCudnn.cudnnBackendExecute;
import static jcuda.jcudnn.cudnnBackendAttributeName.*;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_HEUR_MODE;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_NUMERICAL_NOTE;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_ENGINE_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendNumericalNote.CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
import static jcuda.jcudnn.cudnnBackendNumericalNote.CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
import static jcuda.jcudnn.cudnnBackendNumericalNote.CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
import static jcuda.jcudnn.cudnnBackendNumericalNote.CUDNN_NUMERICAL_NOTE_TENSOR_CORE;

import io.crescendo.backend.Precision;
import io.crescendo.cuda.ConvolutionProblem.Direction;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A convolution through cuDNN's graph functions, fused with bias and ReLU.
 *
 * <p>Calls cudnnBackend{CreateDescriptor, SetAttribute, Finalize, GetAttribute, Execute, DestroyDescriptor} and nothing
 * else of cuDNN. The heuristics (mode A) list engine configurations, best first; the first few that can be made into an
 * execution plan are candidates. Their place in the list names them: for one device and version of cuDNN the list is
 * always the same.
 *
 * <p>Left to {@link ClassicConvolution}: groups, and addends, which it adds in place. Left out: engines that convert
 * their inputs to a narrower type, or sum in one, and with {@link Precision#FP32} those that use tensor cores.
 */
final class GraphConvolution implements ConvolutionMethod {
    /** Where engine configurations come from, and for what. */
    enum Source {
        /** The heuristics; a weight gradient in float32. */
        GRAPH("graph", HEURISTICS_MODE_A, false),
        /** The heuristics; a bf16 weight gradient, which more engines can give, though it is rounded once more. */
        NARROW("narrow", HEURISTICS_MODE_A, true),
        /** Engines that take what others do not; a weight gradient in the type of activations. */
        FALLBACK("fallback", HEURISTICS_MODE_FALLBACK, true);

        private final String prefix;
        private final int heuristics;
        private final boolean narrowGradient;

        Source(String prefix, int heuristics, boolean narrowGradient) {
            this.prefix = prefix;
            this.heuristics = heuristics;
            this.narrowGradient = narrowGradient;
        }

        private boolean takes(ConvolutionProblem problem) {
            boolean narrows = problem.precision() == Precision.BF16 && problem.direction() == Direction.WEIGHT_GRADIENT;
            return problem.groups() == 1 && !problem.addend() && (this != NARROW || narrows);
        }
    }

    /** CUDNN_HEUR_MODE_A and CUDNN_HEUR_MODE_FALLBACK of cuDNN 8.3 and later; the binding's table ends before them. */
    private static final int HEURISTICS_MODE_A = 3;

    private static final int HEURISTICS_MODE_FALLBACK = 2;
    /** Each candidate is compiled while it is being considered, which takes up to a second. */
    private static final int MOST_CANDIDATES = 3;

    private static final int MOST_CONFIGURATIONS = 8;
    private static final int MOST_NOTES = 16;
    private static final Set<Integer> INEXACT =
            Set.of(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION);

    private final ConvolutionProblem problem;
    private final Source source;
    private final Grids grids;
    private final CudaScope scope;
    private final GraphDescriptor plan;
    private final String name;
    private final boolean deterministic;
    private final long libraryBytes;

    private GraphConvolution(
            ConvolutionProblem problem,
            Source source,
            Grids grids,
            CudaScope scope,
            GraphDescriptor plan,
            String name,
            boolean deterministic) {
        this.problem = problem;
        this.source = source;
        this.grids = grids;
        this.scope = scope;
        this.plan = plan;
        this.name = name;
        this.deterministic = deterministic;
        this.libraryBytes = plan.number(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
    }

    /** The first few methods of a source that can be built; none if anything about the graph is not supported. */
    static List<ConvolutionMethod> candidates(
            CudnnHandle cudnn, ConvolutionProblem problem, Grids grids, Source source) {
        List<ConvolutionMethod> candidates = new ArrayList<>();
        for (int place = 0; place < MOST_CONFIGURATIONS && candidates.size() < MOST_CANDIDATES; place++) {
            ConvolutionMethod method = build(cudnn, problem, grids, source, place);
            if (method != null) {
                candidates.add(method);
            }
        }
        return candidates;
    }

    /** The method of a name, or null if it cannot be built. */
    static @Nullable ConvolutionMethod named(CudnnHandle cudnn, ConvolutionProblem problem, Grids grids, String name) {
        for (Source source : Source.values()) {
            for (int place = 0; place < MOST_CONFIGURATIONS; place++) {
                if (name.equals(source.prefix + place)) {
                    return build(cudnn, problem, grids, source, place);
                }
            }
        }
        return null;
    }

    private static @Nullable ConvolutionMethod build(
            CudnnHandle cudnn, ConvolutionProblem problem, Grids grids, Source source, int place) {
        if (!source.takes(problem)) {
            return null;
        }
        CudaScope scope = new CudaScope();
        try {
            GraphDescriptor graph = ConvolutionGraph.build(cudnn, problem, source.narrowGradient, scope);
            GraphDescriptor heuristics = GraphDescriptor.create(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
            scope.onClose(heuristics::close);
            heuristics
                    .with(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
                    .withEnum(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, source.heuristics)
                    .finish();
            List<GraphDescriptor> configurations = heuristics.descriptors(
                    CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, place + 1, scope);
            if (configurations.size() <= place) {
                scope.close();
                return null;
            }
            GraphDescriptor configuration = configurations.get(place);
            Set<Integer> notes = notes(configuration, scope);
            if (notes.stream().anyMatch(INEXACT::contains)
                    || (problem.precision() == Precision.FP32 && notes.contains(CUDNN_NUMERICAL_NOTE_TENSOR_CORE))) {
                scope.close();
                return null;
            }
            GraphDescriptor plan = GraphDescriptor.create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
            scope.onClose(plan::close);
            plan.with(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, cudnn)
                    .with(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration)
                    .finish();
            boolean deterministic = !notes.contains(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
            return new GraphConvolution(problem, source, grids, scope, plan, source.prefix + place, deterministic);
        } catch (jcuda.CudaException e) {
            // Not supported, in one of many ways: the classic functions remain.
            scope.close();
            return null;
        }
    }

    private static Set<Integer> notes(GraphDescriptor configuration, CudaScope scope) {
        GraphDescriptor engine = configuration
                .descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1, scope)
                .get(0);
        return Set.copyOf(engine.enums(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, MOST_NOTES));
    }

    @Override
    public String name() {
        return name;
    }

    /** Whether a weight gradient comes out in bf16. */
    private boolean narrow() {
        return source.narrowGradient && problem.precision() == Precision.BF16;
    }

    /** A weight gradient waits behind the library's workspace to be added to the pack. */
    private long waitingOffset() {
        return (libraryBytes + OpPlan.SCRATCH_ALIGNMENT - 1) / OpPlan.SCRATCH_ALIGNMENT * OpPlan.SCRATCH_ALIGNMENT;
    }

    @Override
    public long workspaceBytes() {
        return problem.direction() == Direction.WEIGHT_GRADIENT
                ? waitingOffset() + problem.weightElements() * (narrow() ? Short.BYTES : Float.BYTES)
                : libraryBytes;
    }

    @Override
    public boolean deterministic() {
        return deterministic;
    }

    @Override
    public Launch bind(Lane lane, Operands operands) {
        boolean weightGradient = problem.direction() == Direction.WEIGHT_GRADIENT;
        long result = weightGradient ? operands.workspace() + waitingOffset() : operands.result();
        List<Long> numbers =
                new ArrayList<>(List.of(ConvolutionGraph.FIRST, ConvolutionGraph.SECOND, ConvolutionGraph.RESULT));
        List<Long> addresses = new ArrayList<>(List.of(operands.first(), operands.second(), result));
        if (problem.bias()) {
            numbers.add(ConvolutionGraph.BIAS);
            addresses.add(operands.bias());
        }
        GraphDescriptor pack = GraphDescriptor.create(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
        scope.onClose(pack::close);
        pack.withLongs(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, array(numbers))
                .withAddresses(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, array(addresses))
                .withAddresses(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, operands.workspace())
                .finish();
        Launch after = weightGradient ? accumulate(lane, operands.result(), result) : Launch.NOTHING;
        return () -> {
            GraphDescriptor.check(cudnnBackendExecute(lane.cudnn(), plan, pack));
            after.enqueue();
        };
    }

    private static long[] array(List<Long> values) {
        return values.stream().mapToLong(Long::longValue).toArray();
    }

    private Launch accumulate(Lane lane, long sum, long added) {
        Grid grid = grids.packs(problem.weightElements());
        Kernels.Call call = lane.kernels()
                .call(
                        narrow() ? "accumulate_bf16" : "accumulate_f32",
                        grid.x(),
                        grid.y(),
                        sum,
                        added,
                        problem.weightElements());
        return () -> call.enqueue(lane.stream());
    }

    @Override
    public void close() {
        scope.close();
    }
}
