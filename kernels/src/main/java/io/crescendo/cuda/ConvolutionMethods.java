package io.crescendo.cuda;

import io.crescendo.cuda.GraphConvolution.Source;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Where methods come from. */
final class ConvolutionMethods {
    /** Below, a convolution takes about as long as launching it. */
    private static final double PRODUCTS_WORTH_A_GRAPH = 1e7;

    private ConvolutionMethods() {}

    /** All methods of cuDNN that support a problem, those first that are usually right. The caller closes them. */
    static List<ConvolutionMethod> all(CudnnHandle cudnn, ConvolutionProblem problem, Grids grids) {
        List<ConvolutionMethod> methods = new ArrayList<>(ClassicConvolution.candidates(cudnn, problem, grids));
        for (Source source : Source.values()) {
            methods.addAll(GraphConvolution.candidates(cudnn, problem, grids, source));
        }
        return methods;
    }

    /** Whether a convolution is large enough for the time that building graphs takes. */
    static boolean worthAGraph(ConvolutionProblem problem) {
        double products = (double) problem.outputElements() * problem.weightElements() / problem.filters();
        return products >= PRODUCTS_WORTH_A_GRAPH;
    }

    /**
     * Those of {@link #all} among which the fastest should be looked for. Graphs take long to build: for a small
     * problem they are left out, and those of {@link Source#FALLBACK} wherever there is something else.
     */
    static List<ConvolutionMethod> worthTrying(CudnnHandle cudnn, ConvolutionProblem problem, Grids grids) {
        List<ConvolutionMethod> methods = new ArrayList<>(ClassicConvolution.candidates(cudnn, problem, grids));
        if (methods.isEmpty() || worthAGraph(problem)) {
            methods.addAll(GraphConvolution.candidates(cudnn, problem, grids, Source.GRAPH));
            methods.addAll(GraphConvolution.candidates(cudnn, problem, grids, Source.NARROW));
        }
        if (methods.isEmpty()) {
            methods.addAll(GraphConvolution.candidates(cudnn, problem, grids, Source.FALLBACK));
        }
        return methods;
    }

    /** The method of a name, or null if there is none that supports the problem. The caller closes it. */
    static @Nullable ConvolutionMethod named(CudnnHandle cudnn, ConvolutionProblem problem, Grids grids, String name) {
        ConvolutionMethod classic = ClassicConvolution.named(cudnn, problem, grids, name);
        return classic != null ? classic : GraphConvolution.named(cudnn, problem, grids, name);
    }
}
