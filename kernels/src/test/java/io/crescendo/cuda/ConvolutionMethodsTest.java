package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuCtxSynchronize;
import static jcuda.driver.JCudaDriver.cuMemcpyDtoH;
import static jcuda.driver.JCudaDriver.cuMemcpyHtoD;
import static jcuda.driver.JCudaDriver.cuStreamSynchronize;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Precision;
import io.crescendo.cuda.ConvolutionMethod.Operands;
import io.crescendo.cuda.ConvolutionProblem.Direction;
import io.crescendo.cuda.StandIns.WrongEngine;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import jcuda.Pointer;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Every method that cuDNN offers for random convolutions against {@link KernelConvolution}, whose kernels are compared
 * with the reference elsewhere: whichever is the fastest on some device, the answer is the same. A real cuDNN may have
 * engines that are wrong, if only {@link MethodTimer} finds that out, so that they are never chosen.
 */
@NullMarked
@Tag("cuda")
class ConvolutionMethodsTest {
    private static final int ROUNDS = Integer.getInteger("crescendo.convolution.rounds", 40);
    private static final int MOST_ROUNDS = 10 * ROUNDS;
    /** A classic function that computed with fewer digits than float32 has. */
    private static final String ROUNDED = "rounded factors";

    private static final String WITH_ADDEND = "with addend graph";
    /** Kinds that the stand-ins have for some of the problems. */
    private static final List<String> GRAPHS =
            List.of("forward engine2", "input_gradient engine2", "weight_gradient engine", "forward engine1");

    private static final float UNTOUCHED = 7.5f; // exact in bf16
    private static final int NOT_SUPPORTED = 801; // CUDA_ERROR_NOT_SUPPORTED
    private static final int ILLEGAL_ADDRESS = 700; // CUDA_ERROR_ILLEGAL_ADDRESS

    private final long seed = Long.getLong("crescendo.seed", new Random().nextLong());
    private final Random random = new Random(seed);
    private final CudaTestEnvironment cuda = CudaTestEnvironment.open();

    @AfterEach
    void nothingIsWrongOrLeft() {
        if (!cuda.realDevice()) {
            assertEquals("", cuda.standIns().problem(), "wrong calls; seed " + seed);
            assertEquals("", cuda.standIns().leaks(), "not released; seed " + seed);
        }
    }

    @Test
    void allGiveTheSameAnswer() {
        for (Precision precision : Precision.values()) {
            Set<String> seen = new TreeSet<>();
            try (CudaDevice device = CudaDevice.open(cuda.machine(), BackendOptions.DEFAULT.withPrecision(precision))) {
                device.enter();
                // Some kinds are a few of many, so it may take more.
                for (int round = 0; round < ROUNDS || (wantsMore(seen) && round < MOST_ROUNDS); round++) {
                    check(device, problem(precision), seen);
                }
            }
            assertTrue(
                    seen.containsAll(Set.of("forward classic1", "input_gradient classic1", "weight_gradient classic1")),
                    seen.toString());
            if (!cuda.realDevice()) { // what a real cuDNN has for these graphs is its own business
                for (String graph : GRAPHS) {
                    assertTrue(seen.stream().anyMatch(name -> name.startsWith(graph)), graph + " of " + seen);
                }
                assertEquals(
                        precision != Precision.FP32, seen.contains("forward " + setting(0)), "tensor cores: " + seen);
                assertTrue(seen.contains(WITH_ADDEND), WITH_ADDEND + " of " + seen + "; seed " + seed);
                if (precision != Precision.BF16) { // of which all methods round
                    assertEquals(precision == Precision.TF32, seen.contains(ROUNDED), "seed " + seed);
                }
            }
        }
    }

    private boolean wantsMore(Set<String> seen) {
        return !seen.contains(WITH_ADDEND)
                || (!cuda.realDevice()
                        && !GRAPHS.stream().allMatch(graph -> seen.stream().anyMatch(name -> name.startsWith(graph))));
    }

    /** Lines of more windows than a tile holds, and pixels of more numbers. */
    @Test
    void wideImagesOfFewChannelsAreCutIntoTiles() {
        Set<String> seen = new TreeSet<>();
        try (CudaDevice device =
                CudaDevice.open(cuda.machine(), BackendOptions.DEFAULT.withPrecision(Precision.BF16))) {
            device.enter();
            for (Direction direction : List.of(Direction.FORWARD, Direction.WEIGHT_GRADIENT)) {
                for (ConvolutionProblem problem : List.of(
                        new ConvolutionProblem(
                                direction,
                                Precision.BF16,
                                1,
                                3,
                                9,
                                300,
                                5,
                                9,
                                300,
                                5,
                                5,
                                1,
                                1,
                                2,
                                2,
                                1,
                                false,
                                false,
                                false),
                        new ConvolutionProblem(
                                direction,
                                Precision.BF16,
                                2,
                                4,
                                20,
                                230,
                                17,
                                10,
                                115,
                                7,
                                7,
                                2,
                                2,
                                3,
                                3,
                                1,
                                false,
                                false,
                                false))) {
                    check(device, problem, seen);
                }
            }
        }
        assertTrue(seen.containsAll(Set.of("forward few-channels", "weight_gradient few-channels")), seen.toString());
    }

    private void check(CudaDevice device, ConvolutionProblem problem, Set<String> seen) {
        Grids grids = device.grids(problem.elementBytes());
        int first = Math.toIntExact(
                problem.direction() == Direction.INPUT_GRADIENT ? problem.outputElements() : problem.inputElements());
        int second = Math.toIntExact(
                problem.direction() == Direction.WEIGHT_GRADIENT ? problem.outputElements() : problem.weightElements());
        float[] x = numbers(problem.precision(), first);
        float[] w = numbers(problem.precision(), second);
        float[] bias = numbers(Precision.FP32, problem.filters());
        float[] addend = numbers(problem.precision(), Math.toIntExact(problem.resultElements()));
        float[] expected;
        try (ConvolutionMethod method = new KernelConvolution(problem, grids)) {
            expected = run(device, problem, method, x, w, bias, addend, false, Float.NaN);
        }
        double largest = 0;
        for (float value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        // Roundings of a few stored results: at least those of float32 sums over some thousand products.
        double roundoff = switch (problem.precision()) {
            case FP32 -> 0x1p-16;
            case TF32 -> 0x1p-8;
            case BF16 -> 0x1p-5;
        };
        List<ConvolutionMethod> methods =
                new ArrayList<>(ConvolutionMethods.all(device.lane().cudnn(), problem, grids));
        methods.add(new KernelConvolution(problem, grids)); // adding in place
        try {
            for (ConvolutionMethod method : methods) {
                seen.add(problem.direction().name().toLowerCase(Locale.ROOT) + " " + method.name());
                if (problem.addend() && method instanceof GraphConvolution) {
                    seen.add(WITH_ADDEND);
                }
                for (boolean inPlace : problem.addend() ? new boolean[] {false, true} : new boolean[] {false}) {
                    float[] actual = run(device, problem, method, x, w, bias, addend, inPlace, Float.NaN);
                    String wrong = difference(expected, actual, roundoff * largest);
                    if (method instanceof ClassicConvolution
                            && !difference(expected, actual, 0x1p-16 * largest).isEmpty()) {
                        seen.add(ROUNDED);
                    }
                    if (wrong.isEmpty()) {
                        continue;
                    }
                    String message = "seed " + seed + ", " + problem.key() + " by " + method.name() + ": " + wrong;
                    if (!cuda.realDevice()
                            || !(method instanceof GraphConvolution)
                            || passes(device, problem, method)) {
                        fail(message);
                    }
                    // What explains it, for whoever reads the log of a device.
                    System.err.println("never chosen, for it is wrong: " + message + "; "
                            + (difference(
                                                    expected,
                                                    run(device, problem, method, x, w, bias, addend, inPlace, 0),
                                                    roundoff * largest)
                                            .isEmpty()
                                    ? "right"
                                    : "wrong as well")
                            + " where workspace and result start at zero");
                    break;
                }
            }
        } finally {
            methods.forEach(ConvolutionMethod::close);
        }
    }

    /** The first number that is not as expected, or nothing. */
    private static String difference(float[] expected, float[] actual, double tolerance) {
        for (int i = 0; i < expected.length; i++) {
            if (!(Math.abs(actual[i] - expected[i]) <= tolerance)) {
                return "[" + i + "] is " + actual[i] + ", expected is " + expected[i];
            }
        }
        return "";
    }

    /** More gradients than a launch takes, some of them for one weight. */
    @Test
    void narrowGradientsAreAddedWhoeverElseAddsThere() {
        try (CudaBackend backend =
                        new CudaBackend(cuda.machine(), BackendOptions.DEFAULT.withPrecision(Precision.BF16));
                CudaScope scope = backend.device().newScope()) {
            CudaDevice device = backend.device();
            int number = NarrowGradients.MOST_SUMMANDS + 7;
            int weights = number - 9;
            List<float[]> sums = new ArrayList<>();
            List<Long> places = new ArrayList<>();
            for (int w = 0; w < weights; w++) {
                sums.add(drawn(1 + random.nextInt(5000)));
                places.add(upload(scope, Precision.FP32, sums.get(w)));
            }
            List<NarrowGradients.Summand> summands = new ArrayList<>();
            for (int k = 0; k < number; k++) {
                int weight = k < weights ? k : random.nextInt(3);
                float[] sum = sums.get(weight);
                float[] x = drawn(sum.length);
                summands.add(
                        new NarrowGradients.Summand(places.get(weight), upload(scope, Precision.BF16, x), sum.length));
                for (int i = 0; i < sum.length; i++) {
                    sum[i] += Float.intBitsToFloat(DeviceBuffer.bf16(x[i]) << 16);
                }
            }
            cuCtxSynchronize(); // a copy from pageable memory may arrive after its call returns
            NarrowGradients.launch(device.kernels(), device.grids(Short.BYTES), summands)
                    .enqueue(device.lane());
            cuStreamSynchronize(device.stream());
            for (int w = 0; w < weights; w++) {
                assertArrayEquals(
                        sums.get(w),
                        download(Precision.FP32, places.get(w), sums.get(w).length),
                        "weight " + w + ", seed " + seed);
            }
        }
    }

    private float[] drawn(int count) {
        float[] numbers = new float[count];
        for (int i = 0; i < count; i++) {
            numbers[i] = (float) random.nextGaussian();
        }
        return numbers;
    }

    /** Whether a method could be chosen. */
    private static boolean passes(CudaDevice device, ConvolutionProblem problem, ConvolutionMethod method) {
        List<ConvolutionMethod> classic =
                ClassicConvolution.candidates(device.lane().cudnn(), problem, device.grids(problem.elementBytes()));
        try (MethodTimer timer = new MethodTimer(device, device.measuring(), problem, method.workspaceBytes())) {
            timer.trust(classic);
            return timer.milliseconds(method, Double.POSITIVE_INFINITY).isPresent();
        } finally {
            classic.forEach(ConvolutionMethod::close);
        }
    }
    /** Runs a method on fresh memory; what it must not read is NaN, and the weight gradient starts at a number. */
    private static float[] run(
            CudaDevice device,
            ConvolutionProblem problem,
            ConvolutionMethod method,
            float[] x,
            float[] w,
            float[] bias,
            float[] addend,
            boolean inPlace,
            float poison) {
        boolean weightGradient = problem.direction() == Direction.WEIGHT_GRADIENT;
        int count = Math.toIntExact(problem.resultElements());
        Precision resultPrecision = weightGradient ? Precision.FP32 : problem.precision();
        float[] result = new float[count];
        Arrays.fill(result, weightGradient ? UNTOUCHED : poison);
        float[] waste = new float[(int) (method.workspaceBytes() / Float.BYTES + 1)];
        Arrays.fill(waste, poison);
        float[] poisoned = new float[count];
        Arrays.fill(poisoned, poison);
        try (CudaScope scope = device.newScope()) {
            long y = upload(scope, resultPrecision, inPlace ? addend : result);
            Operands operands = new Operands(
                    upload(scope, problem.precision(), x),
                    upload(scope, problem.precision(), w),
                    method.narrow() ? upload(scope, Precision.BF16, poisoned) : y,
                    problem.bias() ? upload(scope, Precision.FP32, bias) : 0,
                    problem.addend() ? inPlace ? y : upload(scope, problem.precision(), addend) : 0,
                    upload(scope, Precision.FP32, waste));
            cuCtxSynchronize(); // a copy from pageable memory may arrive after its call returns
            method.bind(device.kernels(), operands).enqueue(device.lane());
            if (method.narrow()) {
                NarrowGradients.Summand summand = new NarrowGradients.Summand(y, operands.result(), count);
                NarrowGradients.launch(device.kernels(), device.grids(problem.elementBytes()), List.of(summand))
                        .enqueue(device.lane());
            }
            cuStreamSynchronize(device.stream());
            return download(resultPrecision, y, count);
        }
    }

    private static long upload(CudaScope scope, Precision precision, float[] values) {
        boolean narrow = precision == Precision.BF16;
        long bytes = (long) values.length * (narrow ? Short.BYTES : Float.BYTES);
        DeviceBlock block = scope.own(DeviceBlock.allocate("a test", bytes));
        if (narrow) {
            short[] halves = new short[values.length];
            for (int i = 0; i < halves.length; i++) {
                halves[i] = DeviceBuffer.bf16(values[i]);
            }
            cuMemcpyHtoD(block.pointer(), Pointer.to(halves), bytes);
        } else {
            cuMemcpyHtoD(block.pointer(), Pointer.to(values), bytes);
        }
        return block.address();
    }

    private static float[] download(Precision precision, long address, int count) {
        float[] values = new float[count];
        if (precision == Precision.BF16) {
            short[] halves = new short[count];
            cuMemcpyDtoH(Pointer.to(halves), DevicePointer.at(address), (long) Short.BYTES * count);
            for (int i = 0; i < count; i++) {
                values[i] = Float.intBitsToFloat(halves[i] << 16);
            }
        } else {
            cuMemcpyDtoH(Pointer.to(values), DevicePointer.at(address), (long) Float.BYTES * count);
        }
        return values;
    }

    private float[] numbers(Precision precision, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            float value = (float) random.nextGaussian();
            values[i] = precision == Precision.BF16 ? Float.intBitsToFloat(DeviceBuffer.bf16(value) << 16) : value;
        }
        return values;
    }

    private int between(int low, int high) {
        return low + random.nextInt(high - low + 1);
    }

    private ConvolutionProblem problem(Precision precision) {
        Direction direction = List.of(Direction.FORWARD, Direction.INPUT_GRADIENT, Direction.WEIGHT_GRADIENT)
                .get(random.nextInt(3));
        boolean forward = direction == Direction.FORWARD;
        int groups = random.nextInt(4) == 0 ? between(2, 3) : 1;
        int kernelHeight = between(1, 4);
        int kernelWidth = between(1, 4);
        int strideHeight = between(1, 3);
        int strideWidth = between(1, 3);
        int padHeight = random.nextInt(kernelHeight);
        int padWidth = random.nextInt(kernelWidth);
        int height = kernelHeight + random.nextInt(8);
        int width = kernelWidth + random.nextInt(8);
        return new ConvolutionProblem(
                direction,
                precision,
                between(1, 5),
                groups * between(1, 12),
                height,
                width,
                groups * between(1, 12),
                (height + 2 * padHeight - kernelHeight) / strideHeight + 1,
                (width + 2 * padWidth - kernelWidth) / strideWidth + 1,
                kernelHeight,
                kernelWidth,
                strideHeight,
                strideWidth,
                padHeight,
                padWidth,
                groups,
                forward && random.nextBoolean(),
                direction != Direction.WEIGHT_GRADIENT && random.nextInt(3) == 0,
                forward && random.nextBoolean());
    }

    /** Chosen, kept on disk, found again; and another choice where only the same bits are allowed. */
    @Test
    void theChoiceIsRememberedAndDeterministicOnRequest() throws IOException {
        List<ConvolutionProblem> problems = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            problems.add(problem(Precision.BF16));
        }
        for (boolean deterministic : new boolean[] {false, true}) {
            BackendOptions options =
                    BackendOptions.DEFAULT.withPrecision(Precision.BF16).withDeterministic(deterministic);
            List<String> chosen = choose(options, problems);
            assertEquals(chosen, choose(options, problems), "seed " + seed);
            if (cuda.realDevice()) {
                continue; // that cache is its user's
            }
            Path directory = cuda.machine().cache().resolve("convolutions");
            try (Stream<Path> files = Files.list(directory)) {
                for (Path file : files.toList()) {
                    Files.writeString(file, "damaged");
                }
            }
            assertEquals(problems.size(), choose(options, problems).size(), "seed " + seed);
        }
    }

    private static ConvolutionProblem large(Direction direction, Precision precision, boolean relu) {
        return square(direction, precision, 256, 32, 24, 48, relu);
    }

    private static ConvolutionProblem square(
            Direction direction, Precision precision, int samples, int channels, int side, int filters, boolean relu) {
        return new ConvolutionProblem(
                direction, precision, samples, channels, side, side, filters, side, side, 3, 3, 1, 1, 1, 1, 1, false,
                false, relu);
    }

    private static List<String> tried(CudaDevice device, ConvolutionProblem problem, long workspaceBytes) {
        Grids grids = device.grids(problem.elementBytes());
        List<ConvolutionMethod> methods = ConvolutionMethods.worthTrying(
                device.lane().cudnn(), problem, grids, method -> method.workspaceBytes() <= workspaceBytes);
        try {
            return methods.stream().map(ConvolutionMethod::name).toList();
        } finally {
            methods.forEach(ConvolutionMethod::close);
        }
    }

    /** The stand-in lists many settings of one engine before the next: several engines are tried all the same. */
    @Test
    void aLargeProblemIsTriedOnManyEngines() throws IOException {
        Assumptions.assumeFalse(cuda.realDevice(), "the stand-in's list");
        StandIns standIns = cuda.standIns();
        forgetChoices();
        try (CudaDevice device = CudaDevice.open(cuda.machine(), BackendOptions.DEFAULT)) {
            device.enter();
            for (Direction direction : Direction.values()) {
                for (Precision precision : Precision.values()) {
                    ConvolutionProblem problem = large(direction, precision, false);
                    List<String> names = tried(device, problem, AlgorithmChoice.limit(problem));
                    String message = problem.key() + ": " + names;
                    assertTrue(names.get(0).startsWith("classic"), message);
                    List<String> graphs = names.stream()
                            .filter(name -> !name.startsWith("classic"))
                            .toList();
                    if (precision == Precision.FP32) {
                        assertEquals(List.of("engine2", "engine1"), graphs, "no tensor cores: " + message);
                    } else {
                        // By turns of mode A, mode B, whose first one is engine 33, and engines not yet seen. Not
                        // setting
                        // 2, which converts, nor engines 22 and 2, which want too much, nor 71, which is compiled.
                        assertEquals(
                                List.of(
                                        setting(0),
                                        "engine33",
                                        setting(1),
                                        setting(3),
                                        "engine45",
                                        setting(7),
                                        setting(4),
                                        setting(5),
                                        setting(6)),
                                graphs,
                                message);
                        assertEquals(names.subList(1, 1 + graphs.size()), graphs, message);
                    }
                }
            }
            assertEquals(0, standIns.calls("cudnn compiles"));
        }
    }

    /** Kernels are compiled for a few candidates, and not before a choice is due. */
    @Test
    void fewCandidatesAreCompiled() throws IOException {
        Assumptions.assumeFalse(cuda.realDevice(), "the stand-in's list");
        StandIns standIns = cuda.standIns();
        forgetChoices();
        try (CudaDevice device =
                CudaDevice.open(cuda.machine(), BackendOptions.DEFAULT.withPrecision(Precision.BF16))) {
            device.enter();
            ConvolutionProblem problem = large(Direction.FORWARD, Precision.BF16, true);
            try (AlgorithmChoice.Considered choice = device.method(problem)) {
                assertTrue(choice.workspaceBytes() >= 16L << 20, "room for what compiling shows");
            }
            assertEquals(0, standIns.calls("cudnn compiles"));
            List<String> graphs = tried(device, problem, AlgorithmChoice.limit(problem)).stream()
                    .filter(name -> name.startsWith("engine"))
                    .toList();
            assertEquals(List.of(setting(0), "engine33", setting(1)), graphs);
            assertEquals(3, standIns.calls("cudnn compiles"));
            assertEquals(List.of(), tried(device, problem, -1));
            assertTrue(standIns.calls("cudnn compiles") <= 3 + 6 + 2, "in vain, but not for long");
        }
    }

    @Test
    void roomIsMadeForWhatIsReady() throws IOException {
        Assumptions.assumeFalse(cuda.realDevice(), "the stand-in's list");
        forgetChoices();
        try (CudaDevice device = CudaDevice.open(cuda.machine(), BackendOptions.DEFAULT)) {
            device.enter();
            ConvolutionProblem problem = large(Direction.INPUT_GRADIENT, Precision.FP32, false);
            long activations = (problem.inputElements() + problem.outputElements()) * Float.BYTES;
            long asked = cuda.standIns().calls("cudnnBackendFinalize");
            for (int i = 0; i < 2; i++) {
                try (AlgorithmChoice.Considered choice = device.method(problem)) {
                    assertTrue(choice.workspaceBytes() >= activations, "engine 2 transforms all tensors");
                }
                if (i == 0) {
                    assertTrue(cuda.standIns().calls("cudnnBackendFinalize") > asked);
                    asked = cuda.standIns().calls("cudnnBackendFinalize");
                }
            }
            assertEquals(asked, cuda.standIns().calls("cudnnBackendFinalize"), "the second time it is known");
        }
    }

    /** Workspaces that cuDNN 9.24 asks for on an H100, for Wide ResNets on images of 32 x 32. */
    @Test
    void theLimitLetsEnginesPassThatHopperNeeds() {
        for (Direction direction : List.of(Direction.FORWARD, Direction.INPUT_GRADIENT)) {
            assertFits(67_258_640, square(direction, Precision.FP32, 128, 64, 32, 64, false));
        }
        assertFits(33_701_904, square(Direction.INPUT_GRADIENT, Precision.TF32, 128, 64, 32, 64, false));
        // Three channels are widened to eight.
        assertFits(8_653_435, square(Direction.WEIGHT_GRADIENT, Precision.BF16, 128, 3, 32, 16, false));
        assertFits(17_959_379, square(Direction.WEIGHT_GRADIENT, Precision.BF16, 1024, 3, 32, 16, false));
        assertFits(274_991_739, square(Direction.WEIGHT_GRADIENT, Precision.BF16, 16_384, 3, 32, 16, false));
        assertFits(268_437_907, square(Direction.FORWARD, Precision.BF16, 16_384, 3, 32, 16, false));
        ConvolutionProblem huge = square(Direction.FORWARD, Precision.FP32, 16_384, 64, 32, 64, false);
        assertTrue(AlgorithmChoice.limit(huge) < 5L << 30, "a workspace is part of the arena");
    }

    private static void assertFits(long bytes, ConvolutionProblem problem) {
        long limit = AlgorithmChoice.limit(problem);
        assertTrue(bytes <= limit, problem.key() + " may have " + limit + " bytes, not " + bytes);
    }

    @Test
    void goodEnginesAndManyEnginesComeFirst() {
        assertEquals(List.of(), GraphEngines.order(List.of()));
        assertEquals(List.of(0, 1, 2), GraphEngines.order(List.of(7L, 7L, 7L)));
        assertEquals(List.of(0, 1, 4, 2, 6, 3, 5), GraphEngines.order(List.of(62L, 62L, 62L, 62L, 45L, 45L, 22L)));
        for (int round = 0; round < ROUNDS; round++) {
            List<Long> engines = random.longs(random.nextInt(20), 0, 4).boxed().toList();
            List<Integer> order = GraphEngines.order(engines);
            assertEquals(engines.size(), Set.copyOf(order).size(), engines + " in the order " + order);
            assertEquals(engines.size(), order.size());
            int all = Set.copyOf(engines).size();
            Set<Long> early = new TreeSet<>();
            for (int i = 0; i < Math.min(order.size(), 2 * all); i++) {
                early.add(engines.get(order.get(i)));
            }
            assertEquals(all, early.size(), engines + " in the order " + order);
        }
    }

    private static ConvolutionProblem forward(int samples) {
        return new ConvolutionProblem(
                Direction.FORWARD, Precision.FP32, samples, 3, 5, 7, 4, 5, 7, 3, 3, 1, 1, 1, 1, 1, true, false, true);
    }

    private void forgetChoices() throws IOException {
        Path directory = cuda.machine().cache().resolve("convolutions");
        if (Files.isDirectory(directory)) {
            try (Stream<Path> files = Files.list(directory)) {
                for (Path file : files.toList()) {
                    Files.delete(file);
                }
            }
        }
    }

    @Test
    void withoutMemoryToMeasureTheFirstIsTakenAndNotRemembered() throws IOException {
        StandIns standIns = cuda.standIns();
        forgetChoices();
        try (CudaDevice device = CudaDevice.open(cuda.machine(), BackendOptions.DEFAULT)) {
            device.enter();
            try (AlgorithmChoice.Considered choice = device.method(forward(3))) {
                long asked = standIns.calls("cuMemAlloc_v2");
                standIns.memory(standIns.usedBytes());
                ConvolutionMethod first = choice.decide();
                assertTrue(standIns.calls("cuMemAlloc_v2") > asked, "it tries");
                assertEquals("classic1", first.name());
                assertSame(first, choice.decide());
                standIns.memory(2L << 30);
            }
            try (AlgorithmChoice.Considered again = device.method(forward(3))) {
                long asked = standIns.calls("cudnnConvolutionForward");
                again.decide();
                assertTrue(standIns.calls("cudnnConvolutionForward") > asked, "measured now");
            }
            try (AlgorithmChoice.Considered known = device.method(forward(3))) {
                long asked = standIns.calls("cudnnConvolutionForward");
                assertEquals(known.workspaceBytes(), known.decide().workspaceBytes());
                assertEquals(asked, standIns.calls("cudnnConvolutionForward"), "remembered");
            }
        }
    }

    /** The one that fails is given up by cuDNN all the same, says the stand-in; the others must be too. */
    @Test
    void whereADescriptorCannotBeGivenUpTheOtherCandidatesAre() throws IOException {
        StandIns standIns = cuda.standIns();
        try (CudaDevice device = CudaDevice.open(cuda.machine(), BackendOptions.DEFAULT)) {
            device.enter();
            String held = standIns.leaks();
            int failures = 0;
            for (boolean failed = true; failed && failures < 100; failures++) {
                forgetChoices();
                standIns.fail("cudnnDestroyTensorDescriptor", failures + 1, NOT_SUPPORTED);
                AlgorithmChoice fresh = new AlgorithmChoice(); // knows nothing of what was measured before
                try (AlgorithmChoice.Considered choice = fresh.consider(device, forward(3))) {
                    choice.decide();
                } catch (CudaException e) {
                    assertTrue(String.valueOf(e.getMessage()).contains("release"), e.getMessage());
                }
                failed = standIns.failed();
                standIns.fail("*", 0, 0);
                assertEquals(held, standIns.leaks(), "failure " + failures);
            }
            assertTrue(failures > 3, failures + " descriptors");
        }
    }

    @Test
    void consideringMeasuresNothing() throws IOException {
        StandIns standIns = cuda.standIns();
        forgetChoices();
        try (CudaDevice device = CudaDevice.open(cuda.machine(), BackendOptions.DEFAULT)) {
            device.enter();
            long before = standIns.calls("cuMemAlloc_v2");
            try (AlgorithmChoice.Considered choice = device.method(forward(2))) {
                assertTrue(choice.workspaceBytes() >= 0);
            }
            assertEquals(before, standIns.calls("cuMemAlloc_v2"));
            assertEquals(0, standIns.calls("cudnnConvolutionForward"));
        }
    }

    @Test
    void aMethodThatFailsIsPassedOver() throws IOException {
        StandIns standIns = cuda.standIns();
        standIns.loud(false);
        forgetChoices();
        try (CudaDevice device = CudaDevice.open(cuda.machine(), BackendOptions.DEFAULT)) {
            device.enter();
            try (AlgorithmChoice.Considered choice = device.method(forward(4))) {
                standIns.fail("cudnnConvolutionForward", 1, NOT_SUPPORTED);
                String name = choice.decide().name();
                assertTrue(standIns.failed());
                assertTrue(!name.equals("classic1"), name);
            }
        }
    }

    @Test
    void anEngineThatIsWrongIsNotChosen() throws IOException {
        StandIns standIns = cuda.standIns();
        BackendOptions options = BackendOptions.DEFAULT.withPrecision(Precision.BF16);
        ConvolutionProblem problem = square(Direction.FORWARD, Precision.BF16, 9, 16, 32, 8, false);
        forgetChoices();
        String fastest = choose(options, List.of(problem)).get(0);
        assertTrue(fastest.startsWith("engine"), fastest);
        standIns.wrongEngine(place(fastest), WrongEngine.MISCOUNTS);
        forgetChoices();
        String next = choose(options, List.of(problem)).get(0);
        assertTrue(next.startsWith("engine") && !next.equals(fastest), next);
        try (CudaDevice device = CudaDevice.open(cuda.machine(), options)) {
            device.enter();
            Grids grids = device.grids(problem.elementBytes());
            for (WrongEngine how : WrongEngine.values()) {
                try (ConvolutionMethod method = Objects.requireNonNull(
                        ConvolutionMethods.named(device.lane().cudnn(), problem, grids, setting(1)))) {
                    assertTrue(method.workspaceBytes() > 0);
                    standIns.wrongEngine(-1, how);
                    assertTrue(passes(device, problem, method), "right");
                    standIns.wrongEngine(1, how);
                    assertFalse(passes(device, problem, method), how.name());
                }
            }
        }
    }

    /** One of the settings of the stand-in's engine 62; its places in the list are 0 to 6 and 9. */
    private static String setting(int number) {
        return "engine62:2=" + number + ",13=1";
    }

    private static int place(String engine) {
        return engine.equals("engine45")
                ? 7
                : IntStream.range(0, 7)
                        .filter(i -> engine.equals(setting(i)))
                        .findFirst()
                        .orElseThrow();
    }

    @Test
    void namesOfEnginesSayWhatTheyAre() {
        for (int round = 0; round < ROUNDS; round++) {
            SortedMap<Integer, Long> knobs = new TreeMap<>();
            for (int i = random.nextInt(4); i > 0; i--) {
                knobs.put(random.nextInt(50), (long) random.nextInt(5000) - 1);
            }
            GraphEngines.Setting setting = new GraphEngines.Setting(random.nextInt(100), knobs);
            assertEquals(setting, GraphEngines.Setting.of(setting.name()), setting.name());
        }
        for (String other :
                List.of("classic1", "graph3", "engine", "engine5:", "engine5:2", "engine5:2=1,", "engine5 ")) {
            assertNull(GraphEngines.Setting.of(other), other);
        }
    }

    /** Larger batches take over what was measured for one that keeps the device busy. */
    @Test
    void aLargeBatchIsNotMeasuredAgain() throws IOException {
        Assumptions.assumeFalse(cuda.realDevice(), "the stand-in's calls");
        StandIns standIns = cuda.standIns();
        forgetChoices();
        try (CudaDevice device =
                CudaDevice.open(cuda.machine(), BackendOptions.DEFAULT.withPrecision(Precision.BF16))) {
            device.enter();
            // A stride that leaves little to compute, so that plain loops are done with it soon.
            ConvolutionProblem busy = pixels(Direction.FORWARD, 1 << 12);
            assertEquals(busy, AlgorithmChoice.smaller(busy));
            String name;
            try (AlgorithmChoice.Considered choice = device.method(pixels(Direction.FORWARD, 10_000))) {
                name = choice.decide().name();
            }
            long runs = standIns.calls("cudnnBackendExecute");
            long asked = standIns.calls("cuMemAlloc_v2");
            for (int samples : new int[] {1 << 12, 8_200, 10_000, 30_001}) {
                ConvolutionProblem problem = pixels(Direction.FORWARD, samples);
                assertEquals(busy, AlgorithmChoice.smaller(problem));
                try (AlgorithmChoice.Considered choice = device.method(problem)) {
                    ConvolutionMethod method = choice.decide();
                    assertEquals(name, method.name());
                    assertEquals(choice.workspaceBytes(), method.workspaceBytes());
                }
            }
            assertEquals(runs, standIns.calls("cudnnBackendExecute"));
            assertEquals(asked, standIns.calls("cuMemAlloc_v2"));
        }
    }

    /** What was prepared begins while the next batch is being prepared, which may take seconds. */
    @Test
    void whatIsDecidedDoesNotWaitForAnotherMeasurement() throws Exception {
        forgetChoices();
        try (CudaDevice device = CudaDevice.open(cuda.machine(), BackendOptions.DEFAULT)) {
            device.enter();
            AlgorithmChoice.Considered choice = device.method(forward(6));
            ConvolutionMethod decided = choice.decide();
            synchronized (device.algorithms()) { // as while another one is measured
                CompletableFuture<ConvolutionMethod> again = CompletableFuture.supplyAsync(() -> {
                    ConvolutionMethod method = choice.decide();
                    choice.close();
                    return method;
                });
                assertSame(decided, again.get(30, TimeUnit.SECONDS));
            }
        }
    }

    private static ConvolutionProblem pixels(Direction direction, int samples) {
        return new ConvolutionProblem(
                direction, Precision.BF16, samples, 8, 32, 32, 8, 1, 1, 1, 1, 32, 32, 0, 0, 1, false, false, false);
    }

    @Test
    void aSmallerProblemHasTheSameImages() {
        for (int round = 0; round < 10 * ROUNDS; round++) {
            ConvolutionProblem problem = problem(random.nextBoolean() ? Precision.BF16 : Precision.FP32)
                    .withSamples(1 << random.nextInt(24));
            ConvolutionProblem smaller = AlgorithmChoice.smaller(problem);
            assertEquals(problem, smaller.withSamples(problem.samples()));
            assertEquals(smaller, AlgorithmChoice.smaller(smaller));
            assertTrue(smaller.samples() <= problem.samples() && smaller.samples() >= 1);
            long largest = Math.max(problem.inputElements(), problem.outputElements()) * problem.elementBytes();
            assertEquals(
                    largest < 1L << 31,
                    smaller.activationBytes() <= 128L << 20 || smaller.samples() == 1,
                    problem.key());
            if (!smaller.equals(problem) && smaller.samples() > 1) {
                assertTrue(4 * smaller.activationBytes() > 128L << 20, problem.key());
            }
        }
    }

    @Test
    void aMethodThatBreaksTheDeviceIsNamed() throws IOException {
        StandIns standIns = cuda.standIns();
        standIns.loud(false);
        forgetChoices();
        try (CudaDevice device = CudaDevice.open(cuda.machine(), BackendOptions.DEFAULT)) {
            device.enter();
            try (AlgorithmChoice.Considered choice = device.method(forward(5))) {
                standIns.fail("run:cudnnConvolutionForward", 1, ILLEGAL_ADDRESS);
                CudaException failure = assertThrows(CudaException.class, choice::decide);
                String message = String.valueOf(failure.getMessage());
                assertTrue(
                        message.contains("classic1")
                                && message.contains(forward(5).key()),
                        message);
                assertTrue(device.health().failed());
            }
        } catch (CudaException e) {
            // Closing what is broken may fail again; that the first failure was seen is what counts here.
            assertTrue(e.fatal(), e.getMessage());
        }
        standIns.reset();
    }

    private List<String> choose(BackendOptions options, List<ConvolutionProblem> problems) {
        List<String> names = new ArrayList<>();
        try (CudaDevice device = CudaDevice.open(cuda.machine(), options)) {
            device.enter();
            for (ConvolutionProblem problem : problems) {
                try (AlgorithmChoice.Considered choice = device.method(problem)) {
                    ConvolutionMethod method = choice.decide();
                    names.add(method.name());
                    assertTrue(method.deterministic() || !options.deterministic(), method.name());
                    assertTrue(method.workspaceBytes() <= choice.workspaceBytes(), method.name());
                }
            }
        }
        return names;
    }
}
