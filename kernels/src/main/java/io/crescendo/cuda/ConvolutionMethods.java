package io.crescendo.cuda;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Where methods come from. */
final class ConvolutionMethods {
    private ConvolutionMethods() {}

    /** All methods of cuDNN that support a problem, those first that are usually right. The caller closes them. */
    static List<ConvolutionMethod> all(CudnnHandle cudnn, ConvolutionProblem problem, Grids grids) {
        List<ConvolutionMethod> methods = new ArrayList<>(ClassicConvolution.candidates(cudnn, problem, grids));
        methods.addAll(GraphConvolution.candidates(cudnn, problem, grids));
        return methods;
    }

    /** The method of a name, or null if there is none that supports the problem. The caller closes it. */
    static @Nullable ConvolutionMethod named(CudnnHandle cudnn, ConvolutionProblem problem, Grids grids, String name) {
        ConvolutionMethod classic = ClassicConvolution.named(cudnn, problem, grids, name);
        return classic != null ? classic : GraphConvolution.named(cudnn, problem, grids, name);
    }
}
