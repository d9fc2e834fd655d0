package io.crescendo.cpu;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.OpVisitor;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.cpu.Operand.Place;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.dnnl.dnnl_primitive_attr;

/**
 * Chooses layouts and implementations for all operations of a program, for one number of samples.
 *
 * <p>Operations are visited in running order. Each asks its primitive what layout it likes best, takes its inputs in
 * the layout their producer chose (through a reorder into scratch memory where the two differ) and says how its output
 * lies. So blocked layouts spread from convolution to convolution and reorders happen only at the edges.
 */
final class SectionLowering implements OpVisitor<OpPlan> {
    private final CpuBackend backend;
    private final NativeScope scope;
    private final Program program;
    private final int samples;
    private final Map<Integer, Layout> layouts = new HashMap<>();
    private final Map<Integer, Long> bytes = new HashMap<>();
    private final Convolutions convolutions = new Convolutions(this);
    private final DenseLayers denseLayers = new DenseLayers(this);
    private final Norms norms = new Norms(this);
    private final Pools pools = new Pools(this);
    private final Pointwise pointwise = new Pointwise(this);
    private final Reshapes reshapes = new Reshapes(this);
    private final Concats concats = new Concats(this);
    private int index;

    private SectionLowering(CpuBackend backend, NativeScope scope, Program program, int samples) {
        this.backend = backend;
        this.scope = scope;
        this.program = program;
        this.samples = samples;
    }

    static Section lower(CpuBackend backend, NativeScope scope, Program program, int samples) {
        return new SectionLowering(backend, scope, program, samples).run();
    }

    private Section run() {
        List<OpPlan> plans = new ArrayList<>();
        for (index = 0; index < program.ops().size(); index++) {
            plans.add(program.ops().get(index).accept(this));
        }
        return new Section(samples, plans, layouts, bytes);
    }

    // What the families of operations build on.

    OneDnn oneDnn() {
        return backend.oneDnn();
    }

    CpuBackend backend() {
        return backend;
    }

    NativeScope scope() {
        return scope;
    }

    Program program() {
        return program;
    }

    int samples() {
        return samples;
    }

    /** A fresh plan for the operation being visited. */
    OpPlan plan() {
        return new OpPlan(index, program.describe(index), scope);
    }

    /** The extents of a value in this section: of its samples only, if it has any. */
    long[] extents(Value value) {
        long[] extents = value.shape().dims();
        if (value.home() == Home.ARENA || value.home() == Home.IMAGES || value.home() == Home.LABELS) {
            extents[0] = samples;
        }
        return extents;
    }

    /** A value that is defined already, as its producer laid it out. */
    Operand operand(Value value) {
        if (value.home() == Home.ARENA) {
            Layout layout = layouts.get(value.id());
            if (layout == null) {
                throw new IllegalStateException(value + " is read before it is defined, by " + program.describe(index));
            }
            return new Operand(layout, new Place.InArena(value, 0));
        }
        Layout layout = Layout.plain(scope, extents(value));
        if (value.home() == Home.IMAGES) {
            return new Operand(layout, new Place.InImages(0, value.shape().elementsPerSample() * Float.BYTES));
        }
        return new Operand(layout, new Place.InPack(value.home(), value.offset() * Float.BYTES));
    }

    /** A value in a layout that somebody prefers: itself, or a copy in scratch memory. */
    Operand operand(OpPlan plan, Value value, Layout wanted) {
        return converted(plan, operand(value), wanted);
    }

    Operand converted(OpPlan plan, Operand source, Layout wanted) {
        if (source.layout().sameAs(wanted)) {
            return source;
        }
        Operand copy = plan.scratch(wanted);
        reorder(plan, source, copy);
        return copy;
    }

    /** Books the layout of a new arena value. */
    Operand define(Value value, Layout layout) {
        layouts.put(value.id(), layout);
        return define(value, layout, layout.bytes());
    }

    /** Books a new arena value whose bytes are not one tensor. */
    Operand define(Value value, Layout layout, long valueBytes) {
        bytes.put(value.id(), valueBytes);
        return new Operand(layout, new Place.InArena(value, 0));
    }

    /** Copies from one layout into another. */
    void reorder(OpPlan plan, Operand from, Operand to) {
        Reorders.append(oneDnn(), plan, from, to, plan.attributes());
    }

    /** Like {@link #reorder}, but nothing happens where the planner put both at one place. */
    void copyUnlessInPlace(OpPlan plan, Operand from, Operand to) {
        Reorders.appendIf(binding -> !binding.coincide(from, to), oneDnn(), plan, from, to, plan.attributes());
    }

    /** Adds what a primitive left in scratch memory to the gradient pack: the sum over shards and micro-batches. */
    void accumulate(OpPlan plan, Operand from, Operand gradient) {
        dnnl_primitive_attr attributes = plan.attributes();
        PostOps.attach(scope, attributes, PostOps::sum);
        Reorders.append(oneDnn(), plan, from, gradient, attributes);
    }

    // One method per operation: which family it belongs to.

    @Override
    public OpPlan visit(Op.Conv2d op) {
        return convolutions.forward(op);
    }

    @Override
    public OpPlan visit(Op.Conv2dInputGradient op) {
        if (op.addend() != null) {
            throw new IllegalArgumentException("the CPU backend does not offer to add to a convolution's gradient");
        }
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
    public OpPlan visit(Op.Concat op) {
        return concats.forward(op);
    }

    @Override
    public OpPlan visit(Op.ConcatGradient op) {
        return concats.gradient(op);
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
    public OpPlan visit(Op.Reshape op) {
        return reshapes.reshape(op);
    }

    @Override
    public OpPlan visit(Op.Dropout op) {
        return Dropping.dropout(this, op);
    }

    @Override
    public OpPlan visit(Op.SoftmaxCrossEntropy op) {
        return Losses.softmaxCrossEntropy(this, backend.metrics(), op);
    }
}
