package io.crescendo.reference;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.backend.Feed;
import io.crescendo.backend.HostStepMetrics;
import io.crescendo.backend.StepMetrics;
import io.crescendo.tensor.DType;
import io.crescendo.tensor.Shape;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.NullMarked;

/** Runs one operation of the reference backend on arrays of the caller, without a program around it. */
@NullMarked
public final class Twin {
    private final List<Tensor> tensors = new ArrayList<>();
    private final List<double[]> arrays = new ArrayList<>();

    /** A value that holds these elements, row-major; the array is used, not copied. */
    public Value value(double[] elements, long... shape) {
        Shape dimensions = Shape.of(shape);
        if (dimensions.elements() != elements.length) {
            throw new IllegalArgumentException(elements.length + " elements do not fill " + dimensions);
        }
        Value value = new Value(tensors.size(), "v", dimensions, DType.FLOAT64, Home.ARENA, 0);
        tensors.add(new Tensor(elements, 0, dimensions));
        arrays.add(elements);
        return value;
    }

    /** A value of zeros. */
    public Value zeros(long... shape) {
        return value(new double[Math.toIntExact(Shape.of(shape).elements())], shape);
    }

    /** The elements of a value. */
    public double[] of(Value value) {
        return arrays.get(value.id());
    }

    /** Runs an operation. */
    public StepMetrics.Sums run(Op op) {
        return run(op, 0, 0);
    }

    /** Runs an operation that reads the feed's clock. */
    public StepMetrics.Sums run(Op op, long seed, long firstSample) {
        Feed feed = new Feed(FloatBuffer.allocate(0), IntBuffer.allocate(0), 0, firstSample, seed);
        HostStepMetrics metrics = new HostStepMetrics();
        op.accept(new Kernels()).run(new Operands(tensors.toArray(Tensor[]::new), feed, metrics));
        return metrics.read();
    }
}
