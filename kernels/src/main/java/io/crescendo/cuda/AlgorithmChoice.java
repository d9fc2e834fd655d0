package io.crescendo.cuda;

import static jcuda.jcudnn.JCudnn.cudnnGetVersion;

import io.crescendo.backend.Precision;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Names the method for each convolution: the fastest of those that fit, measured once for each device model, version of
 * cuDNN and {@link ConvolutionProblem}, and remembered on disk.
 *
 * <p>Choosing has two halves. {@link #consider} is cheap, for the planner looks at many programs that never run: it
 * says how much workspace the method will have at most, exactly as much as it needs if it is remembered. Measuring
 * waits for {@link Considered#decide}, and ends after {@value #MOST_MILLISECONDS} ms for one convolution, with what was
 * the fastest so far.
 *
 * <p>A batch that keeps every multiprocessor busy for long has the same fastest method as a larger one. So a large
 * problem takes the method that is chosen for a {@linkplain #smaller smaller} one with the same images: a batch that
 * grows from 1,024 to 16,000 is measured once, with little memory. Not that of a much smaller one: on an H100 other
 * settings were the fastest for 128 images of 32 x 32 x 64 than for 1,024.
 *
 * <p>Left out are methods that give other bits in every run, where {@link CudaDevice#deterministic()} asks for the same
 * ones, methods whose workspace exceeds {@link #limit}: it is part of the arena, and methods whose answer differs from
 * that of cuDNN's classic functions ({@link MethodTimer}). If there is no memory to measure with, the first classic one
 * that fits is taken, which is usually a good choice, and not remembered. If cuDNN has no method that fits and works,
 * there is {@link KernelConvolution}, not remembered either.
 */
final class AlgorithmChoice {
    private static final Logger LOG = System.getLogger(AlgorithmChoice.class.getName());
    private static final long LEAST_WORKSPACE_BYTES = 16L << 20;
    private static final long MOST_WORKSPACE_BYTES = 512L << 20;
    private static final long MOST_WORKSPACE_BYTES_FP32 = 4L << 30;
    /** Engines ask for a little more than the tensors that they transform. */
    private static final long ROUNDING_BYTES = 1L << 20;
    /** A network has some dozens of different convolutions, and a batch that grows makes all of them anew. */
    private static final long MOST_MILLISECONDS = 500;
    /** So many are measured however long they take. */
    private static final int LEAST_MEASURED = 4;
    /** Activations that fill any device with some waves of blocks, and more than its level 2 cache holds. */
    private static final long BUSY_BYTES = 128L << 20;
    /** Tensors from here on have elements whose distance in bytes takes more than 31 bits. */
    private static final long FAR_BYTES = 1L << 31;

    private final Map<String, Long> bounds = new HashMap<>();
    private @Nullable AlgorithmCache cache;

    /** A convolution on an open device. */
    final class Considered implements Target.Method {
        private final CudaDevice device;
        private final ConvolutionProblem problem;
        private volatile long workspaceBytes;
        private @Nullable ConvolutionMethod method;

        private Considered(CudaDevice device, ConvolutionProblem problem, long workspaceBytes) {
            this.device = device;
            this.problem = problem;
            this.workspaceBytes = workspaceBytes;
        }

        @Override
        public long workspaceBytes() {
            return workspaceBytes;
        }

        /**
         * The method; measures if need be. If it is decided already, this does not wait for what another thread
         * measures: a batch that was prepared begins while the next one is being prepared.
         */
        @Override
        public synchronized ConvolutionMethod decide() {
            ConvolutionMethod decided = method;
            if (decided == null) {
                synchronized (AlgorithmChoice.this) {
                    decided = choose(device, problem, workspaceBytes);
                }
                method = decided;
                workspaceBytes = decided.workspaceBytes();
            }
            return decided;
        }

        @Override
        public synchronized void close() {
            ConvolutionMethod decided = method;
            method = null;
            if (decided != null) {
                decided.close();
            }
        }
    }

    /** The first half. */
    synchronized Considered consider(CudaDevice device, ConvolutionProblem problem) {
        String key = key(device, problem);
        AlgorithmCache.Entry remembered = cache(device).find(key);
        // The planner asks again for every program of the same convolution.
        long bytes = remembered != null
                ? remembered.workspaceBytes()
                : bounds.computeIfAbsent(key, unknown -> bound(device, problem));
        return new Considered(device, problem, bytes);
    }

    private long bound(CudaDevice device, ConvolutionProblem problem) {
        try (ConvolutionMethod known = ofSmaller(device, problem, limit(problem))) {
            return known != null ? known.workspaceBytes() : workspace(device, problem);
        }
    }

    /**
     * The problem whose choice a large one takes: as many samples, a power of two, as keep a device busy. A problem
     * that is not larger than that is its own. Where a tensor is so large that a kernel might count wrong, it is
     * measured itself, for that shows whether it does.
     */
    static ConvolutionProblem smaller(ConvolutionProblem problem) {
        long bytes = problem.activationBytes();
        long largest = Math.max(problem.inputElements(), problem.outputElements()) * problem.elementBytes();
        if (bytes <= BUSY_BYTES || largest >= FAR_BYTES) {
            return problem;
        }
        long samples = BUSY_BYTES / (bytes / problem.samples());
        return problem.withSamples(Math.max(1, Integer.highestOneBit((int) samples)));
    }

    /** The method that was chosen for the smaller problem, if it is known and fits this one; null if not. */
    private @Nullable ConvolutionMethod ofSmaller(CudaDevice device, ConvolutionProblem problem, long workspaceBytes) {
        ConvolutionProblem smaller = smaller(problem);
        AlgorithmCache.Entry chosen =
                smaller.equals(problem) ? null : cache(device).find(key(device, smaller));
        return chosen == null ? null : named(device, problem, chosen.name(), workspaceBytes);
    }

    /**
     * The method of a name, or null if it does not fit: chosen under another limit, or a file says what it must not.
     */
    private static @Nullable ConvolutionMethod named(
            CudaDevice device, ConvolutionProblem problem, String name, long workspaceBytes) {
        ConvolutionMethod known =
                ConvolutionMethods.named(device.measuring().cudnn(), problem, grids(device, problem), name);
        if (known != null && !fits(known, workspaceBytes, device.deterministic())) {
            known.close();
            return null;
        }
        return known;
    }

    private static String key(CudaDevice device, ConvolutionProblem problem) {
        return problem.key() + (device.deterministic() ? "-deterministic" : "");
    }

    private static Grids grids(CudaDevice device, ConvolutionProblem problem) {
        return device.grids(problem.elementBytes());
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

    /** The most that a method needs that is not known yet; where it has to be compiled first, room for it. */
    private static long workspace(CudaDevice device, ConvolutionProblem problem) {
        long limit = limit(problem);
        List<ConvolutionMethod> ready = ConvolutionMethods.ready(
                device.measuring().cudnn(),
                problem,
                grids(device, problem),
                method -> fits(method, limit, device.deterministic()));
        long most = ready.stream()
                .mapToLong(ConvolutionMethod::workspaceBytes)
                .max()
                .orElse(0);
        boolean compiles = ConvolutionMethods.compiles(problem, ready);
        closeAllBut(null, ready);
        return compiles ? Math.max(most, LEAST_WORKSPACE_BYTES) : most;
    }

    /**
     * How large a workspace may be: half of the activations, or {@value #LEAST_WORKSPACE_BYTES} bytes if that is more,
     * which is enough to widen few channels and too little to transform all tensors; tensor cores do without. The ones
     * that {@link Precision#FP32} may use do not, so that both activations may be transformed there.
     */
    static long limit(ConvolutionProblem problem) {
        long activations = problem.activationBytes();
        long transformed = problem.precision() == Precision.FP32
                ? Math.min(activations + LEAST_WORKSPACE_BYTES, MOST_WORKSPACE_BYTES_FP32)
                : Math.max(LEAST_WORKSPACE_BYTES, Math.min(activations / 2, MOST_WORKSPACE_BYTES));
        return transformed + ROUNDING_BYTES;
    }

    private ConvolutionMethod choose(CudaDevice device, ConvolutionProblem problem, long workspaceBytes) {
        Grids grids = grids(device, problem);
        String key = key(device, problem);
        AlgorithmCache.Entry remembered = cache(device).find(key);
        ConvolutionMethod known = remembered == null ? null : named(device, problem, remembered.name(), workspaceBytes);
        if (known != null) {
            return known;
        }
        ConvolutionProblem smaller = smaller(problem);
        if (!smaller.equals(problem)) {
            if (cache(device).find(key(device, smaller)) == null) {
                choose(device, smaller, limit(smaller)).close();
            }
            known = ofSmaller(device, problem, workspaceBytes);
            if (known != null) {
                cache(device).put(key, new AlgorithmCache.Entry(known.name(), known.workspaceBytes()));
                return known;
            }
        }
        List<ConvolutionMethod> candidates = ConvolutionMethods.worthTrying(
                device.measuring().cudnn(),
                problem,
                grids,
                method -> fits(method, workspaceBytes, device.deterministic()));
        ConvolutionMethod chosen = null;
        try {
            chosen = candidates.isEmpty() ? null : fastest(device, problem, candidates);
            if (chosen == null) {
                LOG.log(
                        Level.WARNING,
                        "cuDNN has no method for {0} that fits and works, of {1} that fit; a slow kernel computes it",
                        problem.key(),
                        candidates.size());
                chosen = new KernelConvolution(problem, grids);
            } else {
                cache(device).put(key, new AlgorithmCache.Entry(chosen.name(), chosen.workspaceBytes()));
            }
        } catch (CudaException | jcuda.CudaException e) {
            if (CudaCalls.isFatal(e)) {
                throw e;
            }
            // No memory to measure with, nor to see whether an engine of the graph functions is right.
            ConvolutionMethod first = candidates.get(0);
            chosen = first instanceof GraphConvolution ? new KernelConvolution(problem, grids) : first;
        } finally {
            closeAllBut(chosen, candidates);
        }
        return chosen;
    }

    /** Closes the others; where one cannot be closed, all, for then nobody gets the chosen one. */
    private static void closeAllBut(@Nullable ConvolutionMethod chosen, List<ConvolutionMethod> methods) {
        CudaScope others = new CudaScope();
        methods.stream().filter(method -> method != chosen).forEach(others::own);
        try {
            others.close();
        } catch (RuntimeException e) {
            CudaScope last = new CudaScope();
            if (chosen != null) {
                last.own(chosen);
            }
            throw last.closeAfter(e);
        }
    }

    private static boolean fits(ConvolutionMethod method, long workspaceBytes, boolean deterministic) {
        return method.workspaceBytes() <= workspaceBytes && (method.deterministic() || !deterministic);
    }

    /** The fastest of those that run and give the right answer, or null if none does. */
    private static @Nullable ConvolutionMethod fastest(
            CudaDevice device, ConvolutionProblem problem, List<ConvolutionMethod> candidates) {
        long workspace = candidates.stream()
                .mapToLong(ConvolutionMethod::workspaceBytes)
                .max()
                .orElse(0);
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(MOST_MILLISECONDS);
        int measured = 0;
        ConvolutionMethod fastest = null;
        double least = Double.POSITIVE_INFINITY;
        try (MethodTimer timer = new MethodTimer(device, device.measuring(), problem, workspace)) {
            timer.trust(candidates.stream()
                    .filter(ClassicConvolution.class::isInstance)
                    .toList());
            for (ConvolutionMethod candidate : candidates) {
                if (measured >= LEAST_MEASURED && System.nanoTime() - end > 0) {
                    break;
                }
                OptionalDouble time = timer.milliseconds(candidate, least);
                measured += time.isPresent() ? 1 : 0;
                if (time.isPresent() && time.getAsDouble() < least) {
                    least = time.getAsDouble();
                    fastest = candidate;
                }
            }
        }
        return fastest;
    }
}
