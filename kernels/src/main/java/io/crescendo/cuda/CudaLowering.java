package io.crescendo.cuda;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.OpVisitor;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.backend.Precision;
import java.util.ArrayList;
import java.util.List;

/**
 * Decides how each operation of a program runs: one class for each family of operations, which say how many bytes a
 * value and the scratch memory take and what is launched.
 *
 * <p>Activations lie in NHWC, in float32 or, with {@link Precision#BF16}, in bf16; what belongs to a channel or a
 * parameter is float32.
 */
final class CudaLowering implements OpVisitor<OpPlan> {
    private final Target target;
    private final Program program;
    private final Grids grids;
    private final Convolutions convolutions = new Convolutions(this);
    private final DenseLayers denseLayers = new DenseLayers(this);
    private final Norms norms = new Norms(this);
    private final Pools pools = new Pools(this);
    private final Pointwise pointwise = new Pointwise(this);
    private final Rearranging rearranging = new Rearranging(this);
    private final Losses losses = new Losses(this);
    private final List<OpPlan> plans = new ArrayList<>();
    private int index;

    private CudaLowering(Target target, Program program) {
        this.target = target;
        this.program = program;
        this.grids = target.grids(elementBytes());
    }

    /** Makes a plan for each operation, in the program's order. */
    static List<OpPlan> lower(Target target, Program program) {
        return new CudaLowering(target, program).run();
    }

    private List<OpPlan> run() {
        try {
            List<OpPlan> finished = new ArrayList<>();
            for (index = 0; index < program.ops().size(); index++) {
                finished.add(program.ops().get(index).accept(this));
            }
            convolutions.finish();
            return finished;
        } catch (RuntimeException e) {
            CudaScope scope = target.newScope();
            plans.forEach(scope::own); // one that was being made too
            throw scope.closeAfter(e);
        }
    }

    // What the families of operations build on.

    /** Where the program will run. */
    Target target() {
        return target;
    }

    Grids grids() {
        return grids;
    }

    boolean bf16() {
        return target.precision() == Precision.BF16;
    }

    /** Bytes of an element of an activation. */
    int elementBytes() {
        return bf16() ? Short.BYTES : Float.BYTES;
    }

    /** A fresh plan for the operation being visited. */
    OpPlan plan() {
        OpPlan plan = new OpPlan(index, program.describe(index));
        plans.add(plan);
        return plan;
    }

    /** Books an output that is an activation. */
    void define(OpPlan plan, Value output) {
        plan.bytes(output, Math.multiplyExact(output.shape().elements(), (long) elementBytes()));
    }

    /** Books an output of float32 or int32 numbers. */
    static void defineWords(OpPlan plan, Value output) {
        plan.bytes(output, Math.multiplyExact(output.shape().elements(), (long) Float.BYTES));
    }

    /** The weights that products read: the bf16 copy, or the pack itself. */
    long factor(Addresses at, Value weight) {
        return bf16() ? at.shadow(weight) : at.weights(weight);
    }

    /** The name of the kernel for the type of activations. */
    String named(String kernel) {
        return kernel + (bf16() ? "_bf16" : "_f32");
    }

    /** The arguments of a launch, for addresses that are known when a program is bound. */
    interface Arguments {
        Object[] at(Addresses at);
    }

    /** Writes arguments as a list; an address of 0 is a null pointer. */
    static Object[] arguments(Object... arguments) {
        return arguments;
    }

    /** Appends a kernel, named without its type. */
    void launch(OpPlan plan, String kernel, Grid grid, Arguments arguments) {
        plan.launch(at -> call(kernel, grid, arguments.at(at)));
    }

    /** Appends a kernel whose blocks wait for each other, named without its type. */
    void launchTogether(OpPlan plan, String kernel, Grids.Teams teams, Arguments arguments) {
        plan.launch(at -> {
            Kernels.Call call = target.kernels().together(named(kernel), teams, arguments.at(at));
            return lane -> call.enqueue(lane.stream());
        });
    }

    /** A kernel with its arguments, named without its type. */
    Launch call(String kernel, Grid grid, Object... arguments) {
        Kernels.Call call = target.kernels().call(named(kernel), grid.x(), grid.y(), arguments);
        return lane -> call.enqueue(lane.stream());
    }

    // One method per operation: which family it belongs to.

    @Override
    public OpPlan visit(Op.Conv2d op) {
        return convolutions.forward(op);
    }

    @Override
    public OpPlan visit(Op.Conv2dInputGradient op) {
        return convolutions.inputGradient(op);
    }

    @Override
    public OpPlan visit(Op.Conv2dWeightGradient op) {
        return convolutions.weightGradient(op);
    }

    @Override
    public OpPlan visit(Op.Dense op) {
        return denseLayers.forward(op);
    }

    @Override
    public OpPlan visit(Op.DenseInputGradient op) {
        return denseLayers.inputGradient(op);
    }

    @Override
    public OpPlan visit(Op.DenseWeightGradient op) {
        return denseLayers.weightGradient(op);
    }

    @Override
    public OpPlan visit(Op.GhostBatchNorm op) {
        return norms.forward(op);
    }

    @Override
    public OpPlan visit(Op.GhostBatchNormGradient op) {
        return norms.gradient(op);
    }

    @Override
    public OpPlan visit(Op.BatchNormInference op) {
        return norms.inference(op);
    }

    @Override
    public OpPlan visit(Op.Relu op) {
        return pointwise.relu(op);
    }

    @Override
    public OpPlan visit(Op.ReluGradient op) {
        return pointwise.reluGradient(op);
    }

    @Override
    public OpPlan visit(Op.Add op) {
        return pointwise.add(op);
    }

    @Override
    public OpPlan visit(Op.Scale op) {
        return pointwise.scale(op);
    }

    @Override
    public OpPlan visit(Op.Dropout op) {
        return pointwise.dropout(op);
    }

    @Override
    public OpPlan visit(Op.Concat op) {
        return rearranging.concat(op);
    }

    @Override
    public OpPlan visit(Op.ConcatGradient op) {
        return rearranging.concatGradient(op);
    }

    @Override
    public OpPlan visit(Op.Reshape op) {
        return rearranging.reshape(op);
    }

    @Override
    public OpPlan visit(Op.MaxPool op) {
        return pools.max(op);
    }

    @Override
    public OpPlan visit(Op.MaxPoolGradient op) {
        return pools.maxGradient(op);
    }

    @Override
    public OpPlan visit(Op.AveragePool op) {
        return pools.average(op);
    }

    @Override
    public OpPlan visit(Op.AveragePoolGradient op) {
        return pools.averageGradient(op);
    }

    @Override
    public OpPlan visit(Op.SoftmaxCrossEntropy op) {
        return losses.softmaxCrossEntropy(op);
    }
}
