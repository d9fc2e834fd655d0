package io.crescendo.bench.peers;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.ModelMemory;
import io.crescendo.bench.FixedBatch;
import io.crescendo.bench.Flops;
import io.crescendo.bench.TrainingStep;
import io.crescendo.nn.Network;
import io.crescendo.optim.DecayPolicy;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** What every engine is given: a network, its first weights, a batch. */
public final class Task {
    private final Network network;
    private final Program program;
    private final float[] weights;
    private final float[] statistics;
    private final FixedBatch batch;

    private Task(Network network, Program program, float[] weights, float[] statistics, FixedBatch batch) {
        this.network = network;
        this.program = program;
        this.weights = weights;
        this.statistics = statistics;
        this.batch = batch;
    }

    /** The task for a named network; the same name and batch give the same numbers in every JVM. */
    public static Task of(String network, int batch) {
        Network net = TrainingStep.network(network);
        return of(net, FixedBatch.noise(net, batch, 7));
    }

    /** The task for a network and a batch; batch-norm statistics are taken over the whole batch. */
    public static Task of(Network network, FixedBatch batch) {
        Program program = network.trainingProgram(batch.samples(), batch.samples(), 0, Set.of());
        float[] weights = new float[Math.toIntExact(program.parameters().elements())];
        float[] statistics = new float[Math.toIntExact(program.statistics().elements())];
        try (Backend backend = Backends.open("reference", BackendOptions.DEFAULT);
                ModelMemory model = ModelMemory.allocate(backend, program, TrainingStep.WEIGHTS_SEED)) {
            model.weights().read(0, weights);
            model.statistics().read(0, statistics);
        }
        return new Task(network, program, weights, statistics, batch);
    }

    /** The model. */
    public Network network() {
        return network;
    }

    /** Images and labels. */
    public FixedBatch batch() {
        return batch;
    }

    /** The operations from images to loss; the other engines find the gradients themselves. */
    public List<Op> forward() {
        List<Op> forward = new ArrayList<>();
        for (Op op : program.ops()) {
            forward.add(op);
            if (op instanceof Op.SoftmaxCrossEntropy) {
                return forward;
            }
        }
        throw new IllegalArgumentException("network '" + network.name() + "' has no softmax cross-entropy to train on");
    }

    /** First values of a weight or statistic. */
    public float[] initial(Value value) {
        float[] pack = value.home() == Home.WEIGHTS ? weights : statistics;
        float[] values = new float[Math.toIntExact(value.shape().elements())];
        System.arraycopy(pack, Math.toIntExact(value.offset()), values, 0, values.length);
        return values;
    }

    /** Whether weight decay applies: to weights of convolutions and dense layers, as in {@link DecayPolicy#WEIGHTS}. */
    public boolean decays(Value weight) {
        ParameterPack pack = program.parameters();
        for (Parameter parameter : pack.parameters()) {
            if (parameter.offset() == weight.offset()) {
                return DecayPolicy.WEIGHTS.test(parameter);
            }
        }
        throw new IllegalArgumentException("'" + weight.name() + "' is not a parameter of " + network.name());
    }

    /** 2 per multiplication and addition of convolutions and dense layers, forward and both gradients, per sample. */
    public double flopsPerImage() {
        return Flops.perSample(program);
    }
}
