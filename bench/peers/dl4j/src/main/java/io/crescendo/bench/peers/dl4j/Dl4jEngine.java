package io.crescendo.bench.peers.dl4j;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.autograd.Window;
import io.crescendo.bench.FixedBatch;
import io.crescendo.bench.TrainingStep;
import io.crescendo.bench.peers.Engine;
import io.crescendo.bench.peers.Task;
import io.crescendo.nn.Network;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration.GraphBuilder;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.graph.ElementWiseVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.ActivationLayer;
import org.deeplearning4j.nn.conf.layers.BatchNormalization;
import org.deeplearning4j.nn.conf.layers.ConvolutionLayer;
import org.deeplearning4j.nn.conf.layers.GlobalPoolingLayer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.PoolingType;
import org.deeplearning4j.nn.conf.layers.SubsamplingLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.jspecify.annotations.Nullable;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.lossfunctions.LossFunctions;

/** Deeplearning4j: the task as a computation graph, trained by its own {@code fit}. */
final class Dl4jEngine implements Engine {
    private static final String IMAGES = "images";

    private final Task task;
    private final GraphBuilder builder;
    private final Map<Value, String> layerOf = new HashMap<>();
    private final Map<String, Value> parameters = new LinkedHashMap<>();
    private final ComputationGraph graph;
    private final INDArray[] images;
    private final INDArray[] targets;

    Dl4jEngine(Task task) {
        this.task = task;
        Network network = task.network();
        builder = new NeuralNetConfiguration.Builder()
                .dataType(DataType.FLOAT)
                .updater(new MomentumUpdater.Config(TrainingStep.LEARNING_RATE, TrainingStep.MOMENTUM))
                .l2(TrainingStep.WEIGHT_DECAY)
                .graphBuilder()
                .addInputs(IMAGES)
                .setInputTypes(InputType.convolutional(network.height(), network.width(), network.channels()));
        for (Op op : task.forward()) {
            if (op instanceof Op.Reshape reshape) {
                // Layers flatten by themselves, in the same (C, H, W) order.
                layerOf.put(reshape.output(), layer(reshape.input()));
            } else if (!(op instanceof Op.SoftmaxCrossEntropy)) {
                add(op);
            }
        }
        graph = new ComputationGraph(builder.build());
        graph.init();
        Map<String, INDArray> table = graph.paramTable();
        parameters.forEach((name, value) -> {
            INDArray target = Objects.requireNonNull(table.get(name), name);
            INDArray first = Nd4j.createFromArray(task.initial(value));
            // A dense layer's weight is (F, K) here and (K, F) there; everything else has the same order.
            target.assign(
                    target.rank() == 2 && value.shape().rank() == 2
                            ? first.reshape('c', target.size(1), target.size(0)).transpose()
                            : first.reshape('c', target.shape()));
        });
        FixedBatch batch = task.batch();
        float[] pixels = new float[batch.images().capacity()];
        batch.images().get(0, pixels);
        images = new INDArray[] {
            Nd4j.createFromArray(pixels)
                    .reshape('c', batch.samples(), network.channels(), network.height(), network.width())
        };
        float[][] oneHot = new float[batch.samples()][network.classes()];
        for (int i = 0; i < oneHot.length; i++) {
            oneHot[i][batch.labels().get(i)] = 1;
        }
        targets = new INDArray[] {Nd4j.createFromArray(oneHot)};
    }

    private void add(Op op) {
        String name = "layer" + layerOf.size();
        String input = layer(op.inputs().get(0));
        if (op instanceof Op.Conv2d conv) {
            Window window = symmetric(conv.window());
            ConvolutionLayer.Builder layer = new ConvolutionLayer.Builder()
                    .kernelSize(window.kernelHeight(), window.kernelWidth())
                    .stride(window.strideHeight(), window.strideWidth())
                    .padding(window.padTop(), window.padLeft())
                    .nOut(conv.weight().shape().dim(0))
                    .hasBias(conv.bias() != null)
                    .activation(Activation.IDENTITY);
            builder.addLayer(name, layer.build(), input);
            learned(name, "W", conv.weight());
            learned(name, "b", conv.bias());
        } else if (op instanceof Op.GhostBatchNorm norm) {
            builder.addLayer(
                    name,
                    new BatchNormalization.Builder()
                            .eps(norm.epsilon())
                            .decay(1 - norm.momentum())
                            .build(),
                    input);
            learned(name, "gamma", norm.scale());
            learned(name, "beta", norm.shift());
        } else if (op instanceof Op.Relu) {
            builder.addLayer(name, new ActivationLayer(Activation.RELU), input);
        } else if (op instanceof Op.Add sum) {
            builder.addVertex(name, new ElementWiseVertex(ElementWiseVertex.Op.Add), input, layer(sum.right()));
        } else if (op instanceof Op.MaxPool pool) {
            Window window = symmetric(pool.window());
            builder.addLayer(
                    name,
                    new SubsamplingLayer.Builder(SubsamplingLayer.PoolingType.MAX)
                            .kernelSize(window.kernelHeight(), window.kernelWidth())
                            .stride(window.strideHeight(), window.strideWidth())
                            .padding(window.padTop(), window.padLeft())
                            .build(),
                    input);
        } else if (op instanceof Op.AveragePool pool
                && pool.output().shape().dim(2) == 1
                && pool.output().shape().dim(3) == 1) {
            builder.addLayer(name, new GlobalPoolingLayer.Builder(PoolingType.AVG).build(), input);
        } else if (op instanceof Op.Dense dense) {
            builder.addLayer(
                            name,
                            new OutputLayer.Builder(LossFunctions.LossFunction.MCXENT)
                                    .nOut(dense.weight().shape().dim(0))
                                    .activation(Activation.SOFTMAX)
                                    .hasBias(dense.bias() != null)
                                    .build(),
                            input)
                    .setOutputs(name);
            learned(name, "W", dense.weight());
            learned(name, "b", dense.bias());
        } else {
            throw new IllegalArgumentException("no translation of " + op.name() + " to Deeplearning4j yet");
        }
        layerOf.put(op.outputs().get(0), name);
    }

    private static Window symmetric(Window window) {
        if (window.padTop() != window.padBottom() || window.padLeft() != window.padRight()) {
            throw new IllegalArgumentException("Deeplearning4j pads both sides alike, but the window is " + window);
        }
        return window;
    }

    private String layer(Value value) {
        return value.home() == Home.IMAGES ? IMAGES : Objects.requireNonNull(layerOf.get(value), value::toString);
    }

    private void learned(String layer, String parameter, @Nullable Value value) {
        if (value != null) {
            parameters.put(layer + "_" + parameter, value);
        }
    }

    @Override
    public double step() {
        // Its score contains the weight decay's penalty, which the other engines leave out of the loss.
        double penalty = graph.calcRegularizationScore(true);
        graph.fit(images, targets);
        return graph.score() - penalty;
    }

    @Override
    public String description() {
        return "Deeplearning4j 1.0.0-M2.1 on ND4J's native backend, "
                + task.network().name() + " as a computation graph";
    }

    @Override
    public void close() {
        graph.close();
    }
}
