package io.crescendo.cuda;

import java.util.List;

/** Names the method for each convolution. */
final class AlgorithmChoice {
    /** The first that cuDNN supports. */
    ConvolutionMethod choose(CudaDevice device, CudaDevice.Lowering measuring, ConvolutionProblem problem) {
        Grids grids = new Grids(device.multiprocessors(), problem.elementBytes());
        List<ConvolutionMethod> candidates = ClassicConvolution.candidates(measuring.cudnn(), problem, grids);
        for (int i = 1; i < candidates.size(); i++) {
            candidates.get(i).close();
        }
        return candidates.isEmpty() ? new KernelConvolution(problem, grids) : candidates.get(0);
    }
}
