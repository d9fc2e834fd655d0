package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.jspecify.annotations.NullMarked;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Every CUDA kernel against its twin, on the host: random shapes, types, alignments, ragged ends, orders of threads.
 *
 * <p>This shows that the kernels' logic is right, and that a comparison notices mistakes. What only a device shows
 * (registers, real races between warps, its arithmetic's last bit) {@link CudaKernelsOnDeviceTest} shows by the same
 * comparisons.
 */
@NullMarked
// One instance: compiling the kernels takes longer than most comparisons.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class CudaKernelsTest {
    private static final int ROUNDS = 100;
    /** For ghost norms, whose whole grids take the emulation a second each. */
    private static final int ROUNDS_OF_NORMS = 40;

    private final long seed = Long.getLong("crescendo.seed", new Random().nextLong());
    private @Nullable CudaOnHost device;

    @BeforeAll
    void compile() {
        String reason = CudaOnHost.unavailable();
        if (reason != null) {
            // Printed as well: a skipped test is easily overlooked in a long log.
            System.err.println("CUDA kernels are not run on the host: " + reason);
        }
        Assumptions.assumeTrue(reason == null, () -> String.valueOf(reason));
        device = CudaOnHost.compile("kernels", Map.of());
    }

    @AfterAll
    void close() {
        if (device != null) {
            device.close();
        }
    }

    private CudaOnHost device() {
        CudaOnHost compiled = device;
        if (compiled == null) {
            throw new IllegalStateException("the kernels were not compiled");
        }
        return compiled;
    }

    @ParameterizedTest
    @EnumSource
    void agrees(Comparison comparison) {
        boolean norm = comparison == Comparison.GHOST_NORM_FORWARD || comparison == Comparison.GHOST_NORM_GRADIENT;
        Comparison.compare(comparison.check, device(), seed, norm ? ROUNDS_OF_NORMS : ROUNDS);
    }

    /** One wrong constant, comparison or index per kernel, and the comparison that must notice it. */
    @Test
    void wrongNumbersAreNoticed() {
        Map<String, String> changes = new LinkedHashMap<>();
        changes.put("v = s.momentum * v + ", "v = 1.001f * s.momentum * v + ");
        changes.put("b * s.secondCorrection", "b");
        changes.put("trust * weightNorm / pull", "trust * weightNorm / gradientNorm");
        changes.put("scale * (clipped.clipNorm / length)", "scale * clipped.clipNorm");
        changes.put("square[k] = fmaf(values.at[j], values.at[j]", "square[k] = fmaf(values.at[j], 1");
        changes.put("*notFinite != 0 ? ", "*notFinite == 2 ? ");
        changes.put("(float)count / ((float)count - 1.0f)", "1.0f");
        changes.put("slope.at[j] *= -share", "slope.at[j] *= share");
        changes.put("other < largest", "other > largest");
        changes.put("2u * (unsigned)padding + 1u", "2u * (unsigned)padding + 2u");
        changes.put("out > 0.0f ? gradient", "out >= 0.0f ? gradient");
        changes.put("dbias[quads.channel + j] += all.at[j]", "dbias[quads.channel + j] = all.at[j]");
        changes.put("word >= threshold", "word < threshold");
        changes.put("apart > largest[0]", "i == 0 && apart > largest[0]");
        changes.put("xFirst + slab.channel", "xFirst * 0 + slab.channel");
        changes.put("value > best ||", "value >= best ||");
        changes.put("h >= height || w < 0", "h > height || w < 0");
        changes.put("(there - line * f.outWidth) * f.strideW - f.padLeft", "(there - line * f.outWidth) * f.strideW");
        changes.put("/ yWidth % yHeight) - top", "/ yWidth % yHeight) + top");
        changes.put("p >= all.before[k + 1]", "p > all.before[k + 1]");
        try (CudaOnHost wrong = CudaOnHost.compile("wrong-numbers", changes)) {
            requireNoticed(wrong, "updates", UpdateCheck::rules);
            requireNoticed(wrong, "layerwise updates", LayerwiseCheck::rules);
            requireNoticed(wrong, "clipping", LayerwiseCheck::clipping);
            requireNoticed(wrong, "gradient sum", UpdateCheck::gradientSum);
            requireNoticed(wrong, "ghost norm", GhostNormCheck::forward);
            requireNoticed(wrong, "ghost norm gradient", GhostNormCheck::gradient);
            requireNoticed(wrong, "cross-entropy", LossCheck::crossEntropy);
            requireNoticed(wrong, "sums of loss and hits", LossCheck::takeSums);
            requireNoticed(wrong, "gather", DataCheck::gather);
            requireNoticed(wrong, "pointwise", PointwiseCheck::elementwise);
            requireNoticed(wrong, "difference", PointwiseCheck::difference);
            requireNoticed(wrong, "bias", PointwiseCheck::bias);
            requireNoticed(wrong, "dropout", PointwiseCheck::dropout);
            requireNoticed(wrong, "concat", PointwiseCheck::concat);
            requireNoticed(wrong, "pooling", PoolingCheck::pooling);
            requireNoticed(wrong, "convolution", ConvolutionCheck::convolution);
            requireNoticed(wrong, "few channels", ConvolutionCheck::fewChannels);
            requireNoticed(wrong, "margins", ConvolutionCheck::margins);
            requireNoticed(wrong, "narrow gradients", ConvolutionCheck::narrowGradients);
        }
    }

    /** Mistakes of kernels in which another one above would hide them. */
    @Test
    void furtherWrongNumbersAreNoticed() {
        Map<String, String> skip = Map.of(
                "bool skipped = skip != nullptr && *skip != 0",
                "bool skipped = skip != nullptr && *skip == 2",
                "if (sums.largest != place) sums.rest",
                "if (sums.largest == place) sums.rest",
                "square = fmaf(loaded[k].at[j], loaded[k].at[j], square)",
                "square = fmaf(loaded[k].at[j], 1, square)",
                "(unsigned)(c + first) / 4",
                "(unsigned)c / 4",
                "ring + number % (unsigned)places",
                "ring + (number + 1) % (unsigned)places");
        try (CudaOnHost wrong = CudaOnHost.compile("wrong-skip", skip)) {
            requireNoticed(wrong, "updates that ignore the flag", UpdateCheck::rules);
            requireNoticed(wrong, "layerwise updates that ignore the flag", LayerwiseCheck::rules);
            requireNoticed(wrong, "cross-entropy of many classes", LossCheck::crossEntropy);
            requireNoticed(wrong, "gradient sum of many parts", UpdateCheck::gradientSum);
            requireNoticed(wrong, "dropout of features", PointwiseCheck::dropout);
            requireNoticed(wrong, "sums in another place", LossCheck::takeSums);
            requireNoticed(wrong, "numbers of another step", DataCheck::beginStep);
        }
        Map<String, String> shadow = Map.of(
                "if (shadow != nullptr) store<N>(shadow + i, weights, valid);",
                "if (shadow != nullptr) store<N>(shadow + i, gradients, valid);",
                "if (shadow != nullptr) store<4>(shadow + i, weights, valid);",
                "if (shadow != nullptr) store<4>(shadow + i, Floats<4>{}, valid);",
                "sums.distances += (float)classes * (first - sums.top);",
                "",
                "(unsigned)(c + j) * quadsOfPlane + quad",
                "(unsigned)c * quadsOfPlane + quad");
        try (CudaOnHost wrong = CudaOnHost.compile("wrong-shadow", shadow)) {
            requireNoticed(wrong, "updates with wrong shadows", UpdateCheck::rules);
            requireNoticed(wrong, "layerwise updates without shadows", LayerwiseCheck::rules);
            requireNoticed(wrong, "smoothing of many classes", LossCheck::crossEntropy);
            requireNoticed(wrong, "dropout of planes", PointwiseCheck::dropout);
        }
        Map<String, String> decay = Map.of(
                "w -= s.learningRate * decay * w;",
                "w -= decay * w;",
                "!(total - total == 0.0)",
                "total < 0.0",
                "partials[(long long)(part + j * WARPS) * count + i]",
                "partials[(long long)part * count + i]",
                "pivot[j] += values.at[j] * (1.0f / (float)of)",
                "pivot[j] += values.at[j] * (0.0f / (float)of)",
                "total.at[j] = fmaf(weight[k], values.at[j], total.at[j]);",
                "total.at[j] = fmaf(weight[k < 3 ? k : 0], values.at[j], total.at[j]);",
                "value != value && best == best",
                "value != value && value == best",
                "return smoothing == 0.0f ? logProbability",
                "return smoothing < 0.0f ? logProbability");
        try (CudaOnHost wrong = CudaOnHost.compile("wrong-decay", decay)) {
            requireNoticed(wrong, "norms of numbers far from zero", GhostNormCheck::forward);
            requireNoticed(wrong, "the fourth part's weight", UpdateCheck::gradientSum);
            requireNoticed(wrong, "pooling that hides NaN", PoolingCheck::pooling);
            requireNoticed(wrong, "classes that cannot be", LossCheck::crossEntropy);
            requireNoticed(wrong, "decay of AdamW", UpdateCheck::rules);
            requireNoticed(wrong, "a norm that is not finite", LayerwiseCheck::clipping);
            requireNoticed(wrong, "parts of a weight gradient", ConvolutionCheck::fewChannels);
        }
        Map<String, String> clear = Map.of(
                "        __syncthreads();\n    }\n#pragma unroll\n    for (int i = 0; i < TAPS; i++)",
                "    }\n#pragma unroll\n    for (int i = 0; i < TAPS; i++)",
                "if (clear) store<N>(dw + i, Floats<N>{}, valid);",
                "if (clear && !skipped) store<N>(dw + i, Floats<N>{}, valid);",
                "sizeof(T) < sizeof(float)",
                "sizeof(T) <= sizeof(float)",
                "packs[u][k] = fetch(part[k] + i + u * STEP)",
                "packs[u][k] = fetch(part[k < 2 ? k : 0] + i + u * STEP)",
                "if (clear) store<4>(dw + i, Floats<4>{}, valid);",
                "if (!clear) store<4>(dw + i, Floats<4>{}, valid);");
        try (CudaOnHost wrong = CudaOnHost.compile("wrong-clear", clear)) {
            requireNoticed(wrong, "gradients of numbers far from zero", GhostNormCheck::gradient);
            requireNoticed(wrong, "a third part of whole tiles", UpdateCheck::gradientSum);
            requireNoticed(wrong, "tiles without a barrier", ConvolutionCheck::fewChannels);
            requireNoticed(wrong, "skipped updates that leave the gradient", UpdateCheck::rules);
            requireNoticed(wrong, "layerwise updates that clear when they should not", LayerwiseCheck::rules);
        }
    }

    /** What only threads with several rows under way come through. */
    @Test
    void wrongRowsAheadAreNoticed() {
        Map<String, String> statistics = Map.of("squares[j] += distance * distance;", "squares[j] += distance;");
        try (CudaOnHost wrong = CudaOnHost.compile("wrong-statistics-ahead", statistics)) {
            requireNoticed(wrong, "statistics", GhostNormCheck::forward);
        }
        Map<String, String> others = Map.of(
                "normalised(to_floats<N>(packs[i])", "normalised(to_floats<N>(packs[0])",
                "masked(to_floats<N>(gradients[i]), positive[i])", "masked(to_floats<N>(gradients[0]), positive[i])");
        try (CudaOnHost wrong = CudaOnHost.compile("wrong-rows-ahead", others)) {
            requireNoticed(wrong, "normalisation", GhostNormCheck::forward);
            requireNoticed(wrong, "gradient", GhostNormCheck::gradient);
        }
    }

    /** Barriers left out, and ends of arrays overrun. */
    @Test
    void wrongProtocolsAreNoticed() {
        Map<String, String> changes = new LinkedHashMap<>();
        changes.put("own[2 * N] = count;\n        __syncthreads();", "own[2 * N] = count;");
        changes.put("__syncthreads();\n        for (int j = first; j < TILE", "for (int j = first; j < TILE");
        changes.put("return left < N ? (int)left : N;", "return left < 0 ? 0 : N;");
        try (CudaOnHost wrong = CudaOnHost.compile("wrong-protocols", changes)) {
            requireNoticed(wrong, "ghost norm without a barrier", GhostNormCheck::forward);
            requireNoticed(wrong, "ghost norm gradient without a barrier", GhostNormCheck::gradient);
            requireNoticed(wrong, "transpose without a barrier", PointwiseCheck::layouts);
            requireNoticed(wrong, "pointwise beyond the end", PointwiseCheck::elementwise);
            requireNoticed(wrong, "update beyond the end", UpdateCheck::rules);
        }
    }

    /** Blocks that do not wait for each other as they should; one mistake each, for each way would hide the others. */
    @Test
    void wrongWaitingIsNoticed() {
        Map<String, Map<String, String>> mistakes = new LinkedHashMap<>();
        mistakes.put("no-wait", Map.of("now - from >= steps", "steps + now - from >= steps"));
        // Whoever is in its second unit takes the end of the first one for its own.
        mistakes.put(
                "old-result",
                Map.of(
                        "wait_for(word(channels), (unsigned)(turn * gangs)",
                        "wait_for(word(channels), 0u * (unsigned)(turn * gangs)"));
        mistakes.put("no-reset", Map.of("words[0] = 0;", "words[0] += 0;"));
        mistakes.put("no-reset-of-gangs", Map.of("words[1 + i] = 0;", "words[1 + i] += 0;"));
        mistakes.put("no-ticket-reset", Map.of("if (last) *ticket = 0;", ""));
        mistakes.put(
                "shared-partials", Map.of("(long long)blockIdx.x * (members + 2 * gangs) + which", "(long long)which"));
        // What a gang left is overwritten while slow blocks still read it.
        mistakes.put("one-place", Map.of("turn % 2 * gangs + gang", "0 * turn + gang"));
        mistakes.put("early-gang", Map.of("turn * (others + 1) + others)", "turn * (others + 1) + others - 1)"));
        mistakes.put(
                "early-shares",
                Map.of("found[threadIdx.x] = all;\n            __syncthreads();", "found[threadIdx.x] = all;"));
        mistakes.put("early-copies", Map.of("wait_for_copies(held - 1 - k)", "wait_for_copies(held - k)"));
        // Compiling takes most of the time, and compilers may run side by side.
        Map<String, CudaOnHost> compiled = new ConcurrentHashMap<>();
        mistakes.entrySet().parallelStream()
                .forEach(mistake -> compiled.put(
                        mistake.getKey(), CudaOnHost.compile("wrong-waiting-" + mistake.getKey(), mistake.getValue())));
        compiled.forEach((name, library) -> {
            try (CudaOnHost wrong = library) {
                requireNoticed(wrong, name, GhostNormCheck::forward);
                requireNoticed(wrong, name, GhostNormCheck::gradient);
            }
        });
    }

    private void requireNoticed(CudaOnHost wrong, String what, Consumer<Trial> check) {
        AssertionError noticed =
                assertThrows(AssertionError.class, () -> Comparison.compare(check, wrong, seed, ROUNDS), what);
        assertTrue(String.valueOf(noticed.getMessage()).contains("crescendo.seed"), what);
    }

    @Test
    void theEmulationKnowsItsRules() {
        double[] numbers = new double[Trial.THREADS];
        Arrays.setAll(numbers, i -> i);
        double[] reversed = new double[numbers.length];
        Arrays.setAll(reversed, i -> numbers.length - 1 - i);
        Trial trial = new Trial(device(), new Random(seed), ElementType.F32);
        DeviceBuffer x = trial.written(ElementType.I32, numbers);
        DeviceBuffer y = trial.buffer(ElementType.I32, numbers.length);
        trial.launchGrid("probe_barrier", 1, 1, y, x);
        Trial.closeFloats("reversed", reversed, y, 0);
        trial.launchGrid("probe_missing_barrier", 1, 1, y, x);
        assertThrows(AssertionError.class, () -> Trial.closeFloats("reversed", reversed, y, 0), "a missing barrier");

        AssertionError stuck =
                assertThrows(AssertionError.class, () -> trial.launchGrid("probe_divergent_barrier", 1, 1, y, x));
        assertTrue(String.valueOf(stuck.getMessage()).contains("never reach"), stuck.getMessage());
        AssertionError overrun =
                assertThrows(AssertionError.class, () -> trial.launchGrid("probe_overrun", 1, 1, y, x));
        assertTrue(String.valueOf(overrun.getMessage()).contains("wrote outside argument 0"), overrun.getMessage());

        AssertionError asleep = assertThrows(AssertionError.class, () -> {
            DeviceBuffer turn = new DeviceBuffer(ElementType.I32, 1, 0).zero();
            trial.launchGrid("probe_deadlock", 3, 1, turn);
        });
        assertTrue(String.valueOf(asleep.getMessage()).contains("only a cooperative launch"), asleep.getMessage());
        DeviceBuffer turn = new DeviceBuffer(ElementType.I32, 1, 0).zero();
        AssertionError locked = assertThrows(
                AssertionError.class,
                () -> trial.launchTogether("probe_deadlock", new Grids.Teams(new Grid(3, 1), 0), turn));
        String all = String.valueOf(locked.getMessage());
        assertTrue(all.contains("wait for each other"), all);
        assertTrue(all.contains("block (0, 0, 0)") && all.contains("block (2, 0, 0)"), all);

        double[] sums = new double[numbers.length];
        Arrays.setAll(sums, i -> 5 * numbers[i] + 1 + 4 + 9 + 16); // each block has shared memory of its own
        DeviceBuffer sum = trial.written(ElementType.I32, new double[numbers.length]);
        DeviceBuffer word = new DeviceBuffer(ElementType.I32, 1, 0).zero();
        trial.launchTogether("probe_turns", new Grids.Teams(new Grid(5, 1), 0), sum, x, word);
        Trial.closeFloats("sums by turns", sums, sum, 0);

        DeviceBuffer z = trial.buffer(ElementType.I32, numbers.length);
        trial.launchGrid("probe_barrier", 1, 1, z, x); // an error leaves nothing behind
        assertEquals(reversed[0], z.read()[0]);
    }
}
