package io.crescendo.cuda;

import static jcuda.jcudnn.cudnnBackendAttributeName.*;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_BEHAVIOR_NOTE;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_HEUR_MODE;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_NUMERICAL_NOTE;
import static jcuda.jcudnn.cudnnBackendBehaviorNote.CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_ENGINE_DESCRIPTOR;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What cuDNN's heuristics list for the graph of one convolution: engines with a setting of their knobs, best first.
 *
 * <p>Asked once, whole: an answer takes about a millisecond however long the list is (20 to 40 entries for a plain
 * convolution). The methods made from the list share the graph, and the last user to end closes it.
 */
final class GraphEngines {
    /** Longer than any list that was seen. */
    static final int MOST_LISTED = 64;

    private static final int MOST_NOTES = 16;

    private final CudaScope scope;
    private final List<Listed> listed;
    private int users = 1;

    /**
     * An entry of the list.
     *
     * @param place in the list, from 0: for one device and version of cuDNN always the same
     * @param engine number of the engine among those for its kind of graph
     * @param notes what it does to numbers: {@link jcuda.jcudnn.cudnnBackendNumericalNote}
     * @param compiled whether its kernel is compiled when a plan is made of it, which takes up to seconds; otherwise a
     *     plan takes microseconds
     * @param configuration the entry itself
     */
    record Listed(int place, long engine, Set<Integer> notes, boolean compiled, GraphDescriptor configuration) {}

    private GraphEngines(CudaScope scope, List<Listed> listed) {
        this.scope = scope;
        this.listed = listed;
    }

    /**
     * Builds the graph and asks; the caller must {@link #release} the answer.
     *
     * @param heuristics a mode of cuDNN's heuristics
     * @throws jcuda.CudaException if anything about the graph is not supported
     */
    static GraphEngines ask(CudnnHandle cudnn, ConvolutionProblem problem, int heuristics) {
        CudaScope scope = new CudaScope();
        try {
            GraphDescriptor graph = ConvolutionGraph.build(cudnn, problem, scope);
            GraphDescriptor asked = GraphDescriptor.create(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
            scope.onClose(asked::close);
            asked.with(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
                    .withEnum(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, heuristics)
                    .finish();
            List<GraphDescriptor> configurations = asked.descriptors(
                    CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, MOST_LISTED, scope);
            List<Listed> listed = new ArrayList<>();
            for (GraphDescriptor configuration : configurations) {
                listed.add(read(listed.size(), configuration, scope));
            }
            return new GraphEngines(scope, List.copyOf(listed));
        } catch (jcuda.CudaException e) {
            throw scope.closeAfter(e);
        }
    }

    private static Listed read(int place, GraphDescriptor configuration, CudaScope scope) {
        GraphDescriptor engine = configuration
                .descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1, scope)
                .get(0);
        List<Integer> behaviour = engine.enums(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, MOST_NOTES);
        return new Listed(
                place,
                engine.number(CUDNN_ATTR_ENGINE_GLOBAL_INDEX),
                Set.copyOf(engine.enums(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, MOST_NOTES)),
                behaviour.contains(CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION),
                configuration);
    }

    /** The whole list, best first. */
    List<Listed> listed() {
        return listed;
    }

    /**
     * The order in which entries should be tried, so that the first few are good ones and of many kinds: by turns the
     * best entry that is left, and the best one of an engine that had the fewest so far. A list often starts with a
     * dozen settings of one engine.
     *
     * @param engines the engine of each entry, best first
     * @return indices into that list, each once
     */
    static List<Integer> order(List<Long> engines) {
        Map<Long, Integer> seen = new HashMap<>();
        List<int[]> byTurn = new ArrayList<>();
        for (int i = 0; i < engines.size(); i++) {
            int turn = seen.merge(engines.get(i), 1, Integer::sum);
            byTurn.add(new int[] {turn, i});
        }
        byTurn.sort(Comparator.comparingInt(entry -> entry[0])); // stable: best first within a turn
        Set<Integer> order = new LinkedHashSet<>();
        for (int i = 0; i < engines.size(); i++) {
            order.add(i);
            order.add(byTurn.get(i)[1]);
        }
        return List.copyOf(order);
    }

    /** Keeps the graph open for one more user. */
    synchronized void use() {
        users++;
    }

    /** Ends one use. */
    synchronized void release() {
        if (--users == 0) {
            scope.close();
        }
    }
}
