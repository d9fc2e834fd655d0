package io.crescendo.cuda;

import io.crescendo.backend.Precision;
import io.crescendo.cuda.GraphConvolution.Source;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** Where methods come from. */
final class ConvolutionMethods {
    /** Below, a convolution takes about as long as launching it. */
    private static final double PRODUCTS_WORTH_A_GRAPH = 1e7;
    /** Nothing else needs to be tried then. */
    private static final int ENOUGH_GRAPHS = 4;

    private ConvolutionMethods() {}

    /** Methods of every source and kind that support a problem. The caller closes them. */
    static List<ConvolutionMethod> all(CudnnHandle cudnn, ConvolutionProblem problem, Grids grids) {
        List<ConvolutionMethod> methods = new ArrayList<>(ClassicConvolution.candidates(cudnn, problem, grids));
        for (Source source : Source.values()) {
            for (boolean compiled : new boolean[] {false, true}) {
                methods.addAll(GraphConvolution.candidates(cudnn, problem, grids, source, compiled, method -> true));
            }
        }
        addFewChannels(methods, problem, grids, method -> true);
        return methods;
    }

    /** Whether a convolution is large enough to be tried in many ways. */
    private static boolean worthAGraph(ConvolutionProblem problem) {
        double products = (double) problem.outputElements() * problem.weightElements() / problem.filters();
        return products >= PRODUCTS_WORTH_A_GRAPH;
    }

    /**
     * Whether kernels should be compiled, because nothing is ready, or no graph for a problem that is worth one. It
     * takes seconds, and only then shows what workspace they want.
     *
     * @param ready what {@link #ready} gave
     */
    static boolean compiles(ConvolutionProblem problem, List<ConvolutionMethod> ready) {
        return ready.isEmpty()
                || (worthAGraph(problem) && ready.stream().noneMatch(method -> method instanceof GraphConvolution));
    }

    /**
     * Those of {@link #worthTrying} that are made in milliseconds. The first is usually a right choice. Engines that do
     * without tensor cores, as {@link Precision#FP32} wants it, stand at the end of the heuristics' list, or only in
     * that of {@link Source#FALLBACK}.
     *
     * @param wanted which methods come into question
     */
    static List<ConvolutionMethod> ready(
            CudnnHandle cudnn, ConvolutionProblem problem, Grids grids, Predicate<ConvolutionMethod> wanted) {
        List<ConvolutionMethod> methods = new ArrayList<>();
        for (ConvolutionMethod method : ClassicConvolution.candidates(cudnn, problem, grids)) {
            if (wanted.test(method)) {
                methods.add(method);
            } else {
                method.close();
            }
        }
        if (methods.isEmpty() || worthAGraph(problem)) {
            List<ConvolutionMethod> graphs =
                    new ArrayList<>(GraphConvolution.candidates(cudnn, problem, grids, Source.GRAPH, false, wanted));
            if (problem.precision() == Precision.FP32) {
                graphs.addAll(GraphConvolution.candidates(cudnn, problem, grids, Source.FALLBACK, false, wanted));
            }
            if (problem.precision() != Precision.FP32 && graphs.size() >= ENOUGH_GRAPHS) {
                // Other classic methods with tensor cores are the same engines, or many times slower.
                while (methods.size() > 1) {
                    methods.remove(methods.size() - 1).close();
                }
            }
            addGraphs(methods, graphs);
        }
        addFewChannels(methods, problem, grids, wanted);
        return methods;
    }

    /** Behind the first classic method, for where it supports a problem it is usually the fastest. */
    private static void addFewChannels(
            List<ConvolutionMethod> methods,
            ConvolutionProblem problem,
            Grids grids,
            Predicate<ConvolutionMethod> wanted) {
        ConvolutionMethod few = FewChannelsConvolution.of(problem, grids);
        if (few != null && wanted.test(few)) {
            methods.add(Math.min(1, methods.size()), few);
        }
    }

    /**
     * Those of {@link #all} among which the fastest should be looked for, those first that are most likely: graphs
     * where the problem is large, and what cuDNN keeps for the last where there is nothing else.
     *
     * @param wanted which methods come into question
     */
    static List<ConvolutionMethod> worthTrying(
            CudnnHandle cudnn, ConvolutionProblem problem, Grids grids, Predicate<ConvolutionMethod> wanted) {
        List<ConvolutionMethod> methods = ready(cudnn, problem, grids, wanted);
        if (compiles(problem, methods)) {
            addGraphs(methods, GraphConvolution.candidates(cudnn, problem, grids, Source.GRAPH, true, wanted));
        }
        for (boolean compiled : new boolean[] {false, true}) {
            if (methods.isEmpty()) {
                methods.addAll(GraphConvolution.candidates(cudnn, problem, grids, Source.FALLBACK, compiled, wanted));
            }
        }
        return methods;
    }

    /** Graphs come behind the first classic method only: the other classic ones are seldom the fastest. */
    private static void addGraphs(List<ConvolutionMethod> methods, List<ConvolutionMethod> graphs) {
        methods.addAll(Math.min(1, methods.size()), graphs);
    }

    /** The method of a name, or null if there is none that supports the problem. The caller closes it. */
    static @Nullable ConvolutionMethod named(CudnnHandle cudnn, ConvolutionProblem problem, Grids grids, String name) {
        if (name.equals(FewChannelsConvolution.NAME)) {
            return FewChannelsConvolution.of(problem, grids);
        }
        ConvolutionMethod classic = ClassicConvolution.named(cudnn, problem, grids, name);
        return classic != null ? classic : GraphConvolution.named(cudnn, problem, grids, name);
    }
}
