package io.crescendo.cuda;

import static jcuda.jcudnn.cudnnBackendAttributeName.*;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_BEHAVIOR_NOTE;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_HEUR_MODE;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_KNOB_TYPE;
import static jcuda.jcudnn.cudnnBackendAttributeType.CUDNN_TYPE_NUMERICAL_NOTE;
import static jcuda.jcudnn.cudnnBackendBehaviorNote.CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_ENGINE_DESCRIPTOR;
import static jcuda.jcudnn.cudnnBackendDescriptorType.CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR;

import io.crescendo.backend.Precision;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Engines of cuDNN for the graph of one convolution, each with a setting of its knobs: what the heuristics list, best
 * first, or a known one.
 *
 * <p>Heuristics are asked once, whole: an answer takes about a millisecond however long the list is (20 to 60 entries
 * for a plain convolution). The methods made from the list share the graph, and the last user to end closes it.
 */
final class GraphEngines {
    /** Longer than any list that was seen. */
    private static final int MOST_LISTED = 64;
    /** As far as the best engines with tensor cores stand: reading an entry takes time. */
    private static final int MOST_LISTED_OF_TENSOR_CORES = 24;

    private static final int MOST_NOTES = 16;
    private static final int MOST_KNOBS = 16;

    private final CudaScope scope;
    private final List<Listed> listed;
    private int users = 1;

    /**
     * An engine and its knobs. For one version of cuDNN it means the same kernel whatever the number of samples, so
     * that what is best for one batch can be used for a larger one.
     *
     * @param engine number of the engine among those for its kind of graph
     * @param knobs values by cudnnBackendKnobType_t
     */
    record Setting(long engine, SortedMap<Integer, Long> knobs) {
        private static final Pattern NAME =
                Pattern.compile("engine(\\d{1,9})(?::(\\d{1,9}=-?\\d{1,9}(?:,\\d{1,9}=-?\\d{1,9})*))?");

        /** As {@code engine62:2=4,13=0}. */
        String name() {
            String all = knobs.entrySet().stream().map(Object::toString).collect(Collectors.joining(","));
            return "engine" + engine + (all.isEmpty() ? "" : ":" + all);
        }

        /** What a name says, or null if it is none. */
        static @Nullable Setting of(String name) {
            Matcher matcher = NAME.matcher(name);
            if (!matcher.matches()) {
                return null;
            }
            SortedMap<Integer, Long> knobs = new TreeMap<>();
            String all = matcher.group(2);
            for (String each : all == null ? new String[0] : all.split(",")) {
                int equals = each.indexOf('=');
                knobs.put(Integer.valueOf(each.substring(0, equals)), Long.valueOf(each.substring(equals + 1)));
            }
            return new Setting(Long.parseLong(matcher.group(1)), knobs);
        }
    }

    /**
     * An engine that can be made a plan of.
     *
     * @param notes what it does to numbers: {@link jcuda.jcudnn.cudnnBackendNumericalNote}
     * @param compiled whether its kernel is compiled when a plan is made of it, which takes up to seconds; otherwise a
     *     plan takes microseconds
     * @param configuration engine and knobs, as cuDNN has them
     */
    record Listed(Setting setting, Set<Integer> notes, boolean compiled, GraphDescriptor configuration) {}

    private GraphEngines(CudaScope scope, List<Listed> listed) {
        this.scope = scope;
        this.listed = listed;
    }

    /**
     * Builds the graph and asks; the caller must {@link #release} the answer. Of several lists the first entries of all
     * come before the second ones.
     *
     * @param heuristics modes of cuDNN's heuristics
     * @throws jcuda.CudaException if anything about the graph is not supported
     */
    static GraphEngines ask(CudnnHandle cudnn, ConvolutionProblem problem, List<Integer> heuristics) {
        CudaScope scope = new CudaScope();
        try {
            GraphDescriptor graph = ConvolutionGraph.build(cudnn, problem, scope);
            int most = problem.precision() == Precision.FP32 ? MOST_LISTED : MOST_LISTED_OF_TENSOR_CORES;
            List<List<GraphDescriptor>> lists = new ArrayList<>();
            int longest = 0;
            for (int mode : heuristics) {
                List<GraphDescriptor> list = ask(graph, mode, most, scope);
                lists.add(list);
                longest = Math.max(longest, list.size());
            }
            Map<Setting, Listed> all = new LinkedHashMap<>();
            for (int place = 0; place < longest; place++) {
                for (List<GraphDescriptor> list : lists) {
                    if (place < list.size()) {
                        Listed entry = read(list.get(place), scope);
                        all.putIfAbsent(entry.setting(), entry);
                    }
                }
            }
            return new GraphEngines(scope, List.copyOf(all.values()));
        } catch (jcuda.CudaException e) {
            throw scope.closeAfter(e);
        }
    }

    private static List<GraphDescriptor> ask(GraphDescriptor graph, int mode, int most, CudaScope scope) {
        GraphDescriptor asked = own(scope, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)
                .with(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
                .withEnum(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode)
                .finish();
        return asked.descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, most, scope);
    }

    /**
     * Builds the graph and one configuration for it; the caller must {@link #release} the answer.
     *
     * @throws jcuda.CudaException if the engine does not support the graph, or not with these knobs
     */
    static GraphEngines one(CudnnHandle cudnn, ConvolutionProblem problem, Setting setting) {
        CudaScope scope = new CudaScope();
        try {
            GraphDescriptor engine = own(scope, CUDNN_BACKEND_ENGINE_DESCRIPTOR)
                    .with(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, ConvolutionGraph.build(cudnn, problem, scope))
                    .withLongs(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, setting.engine())
                    .finish();
            List<GraphDescriptor> choices = new ArrayList<>();
            setting.knobs()
                    .forEach((knob, value) -> choices.add(own(scope, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR)
                            .withEnum(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, knob)
                            .withLongs(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value)
                            .finish()));
            GraphDescriptor configuration =
                    own(scope, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).with(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
            if (!choices.isEmpty()) {
                configuration.with(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, choices);
            }
            return new GraphEngines(scope, List.of(read(configuration.finish(), scope)));
        } catch (jcuda.CudaException e) {
            throw scope.closeAfter(e);
        }
    }

    private static GraphDescriptor own(CudaScope scope, int type) {
        GraphDescriptor descriptor = GraphDescriptor.create(type);
        scope.onClose(descriptor::close);
        return descriptor;
    }

    private static Listed read(GraphDescriptor configuration, CudaScope scope) {
        GraphDescriptor engine = configuration
                .descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1, scope)
                .get(0);
        SortedMap<Integer, Long> knobs = new TreeMap<>();
        for (GraphDescriptor choice : configuration.descriptors(
                CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, MOST_KNOBS, scope)) {
            knobs.put(
                    choice.enums(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1)
                            .get(0),
                    choice.number(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
        }
        List<Integer> behaviour = engine.enums(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, MOST_NOTES);
        return new Listed(
                new Setting(engine.number(CUDNN_ATTR_ENGINE_GLOBAL_INDEX), knobs),
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
