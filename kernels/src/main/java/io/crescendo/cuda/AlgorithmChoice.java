package io.crescendo.cuda;

import static jcuda.jcudnn.JCudnn.cudnnGetVersion;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.List;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;

/**
 * Names the method for each convolution: the fastest of those that fit, measured once for each device model, version of
 * cuDNN and {@link ConvolutionProblem}, and remembered on disk.
 *
 * <p>Choosing has two halves. {@link #consider} is cheap, for the planner looks at many programs that never run: it
 * says how much workspace the method will have at most, exactly as much as it needs if it is remembered. Measuring
 * waits for {@link Considered#decide}.
 *
 * <p>Left out are methods that give other bits in every run, where {@link CudaDevice#deterministic()} asks for that,
 * and methods whose workspace exceeds half of the activations, or {@value #LEAST_WORKSPACE_BYTES} bytes if that is
 * more: they transform whole tensors, and a workspace is part of the arena. If there is no memory to measure with, the
 * first that fits is taken, which is usually right, and not remembered. If cuDNN has no method that fits and works,
 * there is {@link KernelConvolution}, not remembered either.
 */
final class AlgorithmChoice {
    private static final Logger LOG = System.getLogger(AlgorithmChoice.class.getName());
    private static final long LEAST_WORKSPACE_BYTES = 16L << 20;
    private static final long MOST_WORKSPACE_BYTES = 256L << 20;

    private @Nullable AlgorithmCache cache;

    /** A convolution whose method is known, or will be when it is needed. */
    final class Considered implements AutoCloseable {
        private final CudaDevice device;
        private final CudaDevice.Lowering measuring;
        private final ConvolutionProblem problem;
        private final long workspaceBytes;
        private @Nullable ConvolutionMethod method;

        private Considered(
                CudaDevice device, CudaDevice.Lowering measuring, ConvolutionProblem problem, long workspaceBytes) {
            this.device = device;
            this.measuring = measuring;
            this.problem = problem;
            this.workspaceBytes = workspaceBytes;
        }

        /** What the method needs at most. */
        long workspaceBytes() {
            return workspaceBytes;
        }

        /** The method; measures if need be. */
        ConvolutionMethod decide() {
            synchronized (AlgorithmChoice.this) {
                ConvolutionMethod decided = method;
                if (decided == null) {
                    decided = choose(device, measuring, problem, workspaceBytes);
                    method = decided;
                }
                return decided;
            }
        }

        @Override
        public void close() {
            synchronized (AlgorithmChoice.this) {
                ConvolutionMethod decided = method;
                method = null;
                if (decided != null) {
                    decided.close();
                }
            }
        }
    }

    /**
     * The first half.
     *
     * @param measuring where candidates will run
     */
    synchronized Considered consider(CudaDevice device, CudaDevice.Lowering measuring, ConvolutionProblem problem) {
        AlgorithmCache.Entry remembered = cache(device).find(key(device, problem));
        long bytes = remembered != null ? remembered.workspaceBytes() : workspace(device, measuring, problem);
        return new Considered(device, measuring, problem, bytes);
    }

    private static String key(CudaDevice device, ConvolutionProblem problem) {
        return problem.key() + (device.deterministic() ? "-deterministic" : "");
    }

    private static Grids grids(CudaDevice device, ConvolutionProblem problem) {
        return new Grids(device.multiprocessors(), problem.elementBytes());
    }

    /** Opened at the first use: before, the libraries are not loaded. */
    private AlgorithmCache cache(CudaDevice device) {
        AlgorithmCache opened = cache;
        if (opened == null) {
            opened = new AlgorithmCache(device.cache().resolve("convolutions"), device.properties(), cudnnGetVersion());
            cache = opened;
        }
        return opened;
    }

    /** The most that a method may need that is not known yet: what the classic ones ask for, and room for graphs. */
    private static long workspace(CudaDevice device, CudaDevice.Lowering measuring, ConvolutionProblem problem) {
        List<ConvolutionMethod> classic =
                ClassicConvolution.candidates(measuring.cudnn(), problem, grids(device, problem));
        long limit = limit(problem);
        long most = classic.stream()
                .filter(method -> method.deterministic() || !device.deterministic())
                .mapToLong(ConvolutionMethod::workspaceBytes)
                .filter(bytes -> bytes <= limit)
                .max()
                .orElse(0);
        boolean graphs = classic.isEmpty() || ConvolutionMethods.worthAGraph(problem);
        classic.forEach(ConvolutionMethod::close);
        return graphs ? Math.max(most, LEAST_WORKSPACE_BYTES) : most;
    }

    private static long limit(ConvolutionProblem problem) {
        long half = (problem.inputElements() + problem.outputElements()) * problem.elementBytes() / 2;
        // A weight gradient in scratch memory is no transformed tensor.
        return Math.max(LEAST_WORKSPACE_BYTES, Math.min(half, MOST_WORKSPACE_BYTES))
                + problem.weightElements() * Float.BYTES;
    }

    private ConvolutionMethod choose(
            CudaDevice device, CudaDevice.Lowering measuring, ConvolutionProblem problem, long workspaceBytes) {
        Grids grids = grids(device, problem);
        String key = key(device, problem);
        AlgorithmCache.Entry remembered = cache(device).find(key);
        if (remembered != null) {
            ConvolutionMethod known = ConvolutionMethods.named(measuring.cudnn(), problem, grids, remembered.name());
            if (known != null && fits(known, workspaceBytes, device.deterministic())) {
                return known;
            }
            if (known != null) {
                known.close(); // chosen under another limit, or the file says what it must not say
            }
        }
        List<ConvolutionMethod> candidates = ConvolutionMethods.worthTrying(measuring.cudnn(), problem, grids);
        List<ConvolutionMethod> fitting = candidates.stream()
                .filter(method -> fits(method, workspaceBytes, device.deterministic()))
                .toList();
        ConvolutionMethod chosen = null;
        try {
            chosen = fitting.isEmpty() ? null : fastest(device, measuring, problem, fitting);
            if (chosen == null) {
                LOG.log(
                        Level.WARNING,
                        "cuDNN offers {0} methods for {1}, and none that fits and works; a slow kernel computes it",
                        candidates.size(),
                        problem.key());
                chosen = new KernelConvolution(problem, grids);
            } else {
                cache(device).put(key, new AlgorithmCache.Entry(chosen.name(), chosen.workspaceBytes()));
            }
        } catch (CudaException | jcuda.CudaException e) {
            if (CudaCalls.isFatal(e)) {
                throw e;
            }
            chosen = fitting.get(0); // no memory to measure with
        } finally {
            for (ConvolutionMethod candidate : candidates) {
                if (candidate != chosen) {
                    candidate.close();
                }
            }
        }
        return chosen;
    }

    private static boolean fits(ConvolutionMethod method, long workspaceBytes, boolean deterministic) {
        return method.workspaceBytes() <= workspaceBytes && (method.deterministic() || !deterministic);
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
