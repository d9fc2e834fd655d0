package io.crescendo.bench.peers;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.bench.FixedBatch;
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
    private final FixedBatch batch;

    private Task(Network network, Program program, FixedBatch batch) {
        this.network = network;
        this.program = program;
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
        return new Task(network, program, batch);
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
        return named(value).initialValues(TrainingStep.WEIGHTS_SEED);
    }

    /** Whether weight decay applies: to weights of convolutions and dense layers, as in {@link DecayPolicy#WEIGHTS}. */
    public boolean decays(Value weight) {
        return DecayPolicy.WEIGHTS.test(named(weight));
    }

    private Parameter named(Value value) {
        ParameterPack pack = value.home() == Home.WEIGHTS ? program.parameters() : program.statistics();
        return pack.parameters().stream()
                .filter(parameter -> parameter.offset() == value.offset())
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException(
                        "'" + value.name() + "' is neither a weight nor a statistic of " + network.name()));
    }

    /** 2 per multiplication and addition of convolutions and dense layers, forward and both gradients, per sample. */
    public double flopsPerImage() {
        return program.flopsPerSample();
    }
}
