package io.crescendo.cuda;

import java.util.List;
import jcuda.jcudnn.cudnnHandle;
import org.jspecify.annotations.Nullable;

/** Where methods come from. */
final class ConvolutionMethods {
    private ConvolutionMethods() {}

    /** All methods of cuDNN that support a problem, those first that are usually right. The caller closes them. */
    static List<ConvolutionMethod> all(cudnnHandle cudnn, ConvolutionProblem problem, Grids grids) {
        return ClassicConvolution.candidates(cudnn, problem, grids);
    }

    /** The method of a name, or null if there is none that supports the problem. The caller closes it. */
    static @Nullable ConvolutionMethod named(cudnnHandle cudnn, ConvolutionProblem problem, Grids grids, String name) {
        return name.equals(KernelConvolution.NAME)
                ? new KernelConvolution(problem, grids)
                : ClassicConvolution.named(cudnn, problem, grids, name);
    }
}
