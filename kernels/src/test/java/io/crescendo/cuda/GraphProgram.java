package io.crescendo.cuda;

import io.crescendo.backend.Precision;
import io.crescendo.cuda.ConvolutionProblem.Direction;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import jcuda.jcudnn.JCudnn;
import org.jspecify.annotations.NullMarked;

/**
 * Describes random convolutions to a real cuDNN as far as that goes without a GPU: tensors, windows and operations are
 * made and finished, which is when the library checks them. A process of its own, because a library once loaded stays.
 */
@NullMarked
public final class GraphProgram {
    private static final int ROUNDS = 200;

    private GraphProgram() {}

    /** Arguments: the directory of the libraries, the cache, the seed. */
    public static void main(String[] arguments) {
        Path directory = Path.of(arguments[0]);
        Map<String, String> environment =
                Map.of("LD_LIBRARY_PATH", directory.toString(), "XDG_CACHE_HOME", arguments[1]);
        Machine machine = new Machine(directory.resolve("none"), environment, directory, Machine.SUPPORTED);
        CudaInstallation installation = CudaInstallation.search(machine);
        CudaLibraryLoader.load(
                installation.found().stream()
                        .filter(found -> found.library() == CudaLibrary.CUDNN)
                        .toList(),
                installation.cudaMajor(),
                machine.cache());
        JCudnn.setExceptionsEnabled(true);
        Random random = new Random(Long.parseLong(arguments[2]));
        int operations = 0;
        for (int round = 0; round < ROUNDS; round++) {
            ConvolutionProblem problem = problem(random);
            try (CudaScope scope = new CudaScope()) {
                operations += ConvolutionGraph.operations(problem, scope).size();
            } catch (jcuda.CudaException e) {
                System.out.println("refused " + problem.key() + ": " + e.getMessage());
            }
        }
        System.out.println("operations " + operations);
        try (CudaScope scope = new CudaScope()) {
            ConvolutionProblem wrong = withOutputHeight(problem(random), 1000);
            System.out.println(
                    "accepted " + ConvolutionGraph.operations(wrong, scope).size());
        } catch (jcuda.CudaException e) {
            System.out.println("wrong extents are refused");
        }
    }

    private static ConvolutionProblem problem(Random random) {
        Direction direction = List.of(Direction.FORWARD, Direction.INPUT_GRADIENT, Direction.WEIGHT_GRADIENT)
                .get(random.nextInt(3));
        boolean forward = direction == Direction.FORWARD;
        int kernelHeight = 1 + random.nextInt(5);
        int kernelWidth = 1 + random.nextInt(5);
        int strideHeight = 1 + random.nextInt(3);
        int strideWidth = 1 + random.nextInt(3);
        int padHeight = random.nextInt(kernelHeight);
        int padWidth = random.nextInt(kernelWidth);
        int height = kernelHeight + random.nextInt(30);
        int width = kernelWidth + random.nextInt(30);
        return new ConvolutionProblem(
                direction,
                List.of(Precision.TF32, Precision.BF16).get(random.nextInt(2)),
                1 + random.nextInt(300),
                1 + random.nextInt(200),
                height,
                width,
                1 + random.nextInt(200),
                (height + 2 * padHeight - kernelHeight) / strideHeight + 1,
                (width + 2 * padWidth - kernelWidth) / strideWidth + 1,
                kernelHeight,
                kernelWidth,
                strideHeight,
                strideWidth,
                padHeight,
                padWidth,
                1,
                forward && random.nextBoolean(),
                forward && random.nextBoolean(),
                forward && random.nextBoolean());
    }

    private static ConvolutionProblem withOutputHeight(ConvolutionProblem p, int outHeight) {
        return new ConvolutionProblem(
                p.direction(),
                p.precision(),
                p.samples(),
                p.channels(),
                p.height(),
                p.width(),
                p.filters(),
                outHeight,
                p.outWidth(),
                p.kernelHeight(),
                p.kernelWidth(),
                p.strideHeight(),
                p.strideWidth(),
                p.padHeight(),
                p.padWidth(),
                p.groups(),
                false,
                false,
                false);
    }
}
