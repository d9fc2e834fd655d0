package io.crescendo.cuda;

import java.util.Comparator;
import java.util.List;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;

/**
 * Names the method for each convolution: the fastest of those that fit, measured once for each device model, version of
 * cuDNN and {@link ConvolutionProblem}, and remembered on disk.
 *
 * <p>Left out are methods that give other bits in every run, where {@link CudaDevice#deterministic()} asks for that,
 * and methods with a workspace above {@value #MOST_WORKSPACE_BYTES} bytes, unless there are no others: then only the
 * one with the smallest is left. If there is no memory to measure with, the first is taken, which is usually right, and
 * not remembered. If cuDNN has no method that works, there is {@link KernelConvolution}, not remembered either.
 */
final class AlgorithmChoice {
    /** A workspace is part of the arena; methods that want more than this transform whole tensors. */
    private static final long MOST_WORKSPACE_BYTES = 256L << 20;

    private @Nullable AlgorithmCache cache;

    /**
     * Chooses.
     *
     * @param measuring where candidates run
     * @return a method that the caller closes
     */
    synchronized ConvolutionMethod choose(
            CudaDevice device, CudaDevice.Lowering measuring, ConvolutionProblem problem) {
        Grids grids = new Grids(device.multiprocessors(), problem.elementBytes());
        AlgorithmCache remembered = cache(device);
        String key = problem.key() + (device.deterministic() ? "-deterministic" : "");
        String name = remembered.find(key);
        if (name != null) {
            ConvolutionMethod known = ConvolutionMethods.named(measuring.cudnn(), problem, grids, name);
            if (known != null && (known.deterministic() || !device.deterministic())) {
                return known;
            }
            if (known != null) {
                known.close(); // the file says what it must not say
            }
        }
        List<ConvolutionMethod> candidates = ConvolutionMethods.worthTrying(measuring.cudnn(), problem, grids);
        ConvolutionMethod chosen = null;
        try {
            List<ConvolutionMethod> eligible = eligible(candidates, device.deterministic());
            chosen = eligible.isEmpty() ? null : fastest(device, measuring, problem, eligible);
            if (chosen == null) {
                chosen = new KernelConvolution(problem, grids);
            } else {
                remembered.put(key, chosen.name());
            }
        } catch (CudaException | jcuda.CudaException e) {
            if (CudaCalls.isFatal(e)) {
                throw e;
            }
            // No memory to measure with: the first does.
            chosen = eligible(candidates, device.deterministic()).get(0);
        } finally {
            for (ConvolutionMethod candidate : candidates) {
                if (candidate != chosen) {
                    candidate.close();
                }
            }
        }
        return chosen;
    }

    /** Opened at the first use: before, the libraries are not loaded. */
    private AlgorithmCache cache(CudaDevice device) {
        AlgorithmCache opened = cache;
        if (opened == null) {
            opened = new AlgorithmCache(
                    device.cache().resolve("convolutions"), device.properties(), jcuda.jcudnn.JCudnn.cudnnGetVersion());
            cache = opened;
        }
        return opened;
    }

    /** Those that may be chosen, in their order. */
    static List<ConvolutionMethod> eligible(List<ConvolutionMethod> candidates, boolean deterministic) {
        List<ConvolutionMethod> allowed = candidates.stream()
                .filter(method -> method.deterministic() || !deterministic)
                .toList();
        List<ConvolutionMethod> small = allowed.stream()
                .filter(method -> method.workspaceBytes() <= MOST_WORKSPACE_BYTES)
                .toList();
        if (!small.isEmpty()) {
            return small;
        }
        return allowed.stream()
                .min(Comparator.comparingLong(ConvolutionMethod::workspaceBytes))
                .map(List::of)
                .orElse(List.of());
    }

    /** The fastest of those that run, or null if none does. */
    private static @Nullable ConvolutionMethod fastest(
            CudaDevice device,
            CudaDevice.Lowering measuring,
            ConvolutionProblem problem,
            List<ConvolutionMethod> candidates) {
        long workspace = candidates.stream()
                .mapToLong(ConvolutionMethod::workspaceBytes)
                .max()
                .orElse(0);
        ConvolutionMethod fastest = null;
        double least = Double.POSITIVE_INFINITY;
        try (MethodTimer timer = new MethodTimer(device, measuring, problem, workspace)) {
            for (ConvolutionMethod candidate : candidates) {
                OptionalDouble time = timer.milliseconds(candidate);
                if (time.isPresent() && time.getAsDouble() < least) {
                    least = time.getAsDouble();
                    fastest = candidate;
                }
            }
        }
        return fastest;
    }
}
