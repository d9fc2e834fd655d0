package io.crescendo.models;

import io.crescendo.autograd.Window;
import io.crescendo.nn.AveragePool;
import io.crescendo.nn.BatchNorm;
import io.crescendo.nn.Branches;
import io.crescendo.nn.Conv2d;
import io.crescendo.nn.Dense;
import io.crescendo.nn.Dropout;
import io.crescendo.nn.GlobalAveragePool;
import io.crescendo.nn.Initializers;
import io.crescendo.nn.Layer;
import io.crescendo.nn.MaxPool;
import io.crescendo.nn.Network;
import io.crescendo.nn.Relu;
import io.crescendo.nn.Residual;
import io.crescendo.nn.Scale;
import java.util.ArrayList;
import java.util.List;

/**
 * Inception-ResNet-V2 (Szegedy et al. 2016, arXiv 1602.07261).
 *
 * <p>The definition is the one that the paper's authors published in TF-slim, which differs from the paper's figures in
 * the stem and in some channels, and which Keras and timm follow. A stem to 192 channels, a first module to 320; ten
 * residual modules A; a reduction to 1088 channels; twenty modules B with 1×7 and 7×1 convolutions; a reduction to 2080
 * channels; ten modules C with 1×3 and 3×1; a 1×1 convolution to 1536, global average, dropout 0.2, dense. Residual
 * branches are multiplied by 0.17, 0.10 and 0.20 before they are added, the last one of all by 1 and without a ReLU
 * behind it. Images of 299×299 have 35×35, 17×17 and 8×8 positions in A, B and C.
 *
 * <p>Norms have scale and shift, as in timm: 55,843,464 parameters for 1000 classes. TF-slim and Keras leave out the
 * scales, which are 30,272. The auxiliary classifier of TF-slim is left out, as by the other two.
 *
 * <p>Weights start uniformly as in Glorot and Bengio 2010, the choice of TF-slim and Keras; the norms' epsilon is
 * theirs too, 0.001.
 */
public final class InceptionResNetV2 {
    private static final int SMALLEST = 75;
    private static final double EPSILON = 1e-3;
    private static final double MOMENTUM = 0.1;
    private static final double DROPOUT = 0.2;

    private InceptionResNetV2() {}

    /**
     * Builds the network.
     *
     * @param channels of the images
     * @param height rows of the images, at least 75
     * @param width columns of the images, at least 75
     * @param classes number of logits
     * @throws IllegalArgumentException if the images are smaller
     */
    public static Network of(int channels, int height, int width, int classes) {
        if (height < SMALLEST || width < SMALLEST) {
            throw new IllegalArgumentException("inception-resnet-v2 needs images of at least " + SMALLEST + "x"
                    + SMALLEST + " pixels, or its last reduction has nothing left, but they are " + height + "x"
                    + width);
        }
        List<Layer> layers = new ArrayList<>(List.of(stem(), firstModule()));
        for (int block = 1; block <= 10; block++) {
            layers.add(residual("a" + block, moduleA("a" + block), 320, 0.17).then(new Relu()));
        }
        layers.add(firstReduction());
        for (int block = 1; block <= 20; block++) {
            layers.add(residual("b" + block, moduleB("b" + block), 1088, 0.10).then(new Relu()));
        }
        layers.add(secondReduction());
        for (int block = 1; block <= 9; block++) {
            layers.add(residual("c" + block, moduleC("c" + block), 2080, 0.20).then(new Relu()));
        }
        layers.add(residual("c10", moduleC("c10"), 2080, 1));
        layers.add(unit("last", 1536, 1));
        layers.add(new GlobalAveragePool());
        layers.add(new Dropout(DROPOUT));
        layers.add(new Dense("logits", classes, Initializers.glorotUniform()));
        return new Network(
                "inception-resnet-v2", channels, height, width, classes, Layer.sequence(layers.toArray(new Layer[0])));
    }

    private static Layer stem() {
        return Layer.sequence(
                reducing("stem.conv1", 32),
                unit("stem.conv2", 32, Window.square(3, 1, 0)),
                unit("stem.conv3", 64, 3),
                halvingPool(),
                unit("stem.conv4", 80, 1),
                unit("stem.conv5", 192, Window.square(3, 1, 0)),
                halvingPool());
    }

    private static Layer firstModule() {
        return Branches.of(
                unit("first.branch1", 96, 1),
                unit("first.branch2.conv1", 48, 1).then(unit("first.branch2.conv2", 64, 5)),
                Layer.sequence(
                        unit("first.branch3.conv1", 64, 1),
                        unit("first.branch3.conv2", 96, 3),
                        unit("first.branch3.conv3", 96, 3)),
                new AveragePool(Window.square(3, 1, 1)).then(unit("first.branch4", 64, 1)));
    }

    private static Layer moduleA(String name) {
        return Branches.of(
                unit(name + ".branch1", 32, 1),
                unit(name + ".branch2.conv1", 32, 1).then(unit(name + ".branch2.conv2", 32, 3)),
                Layer.sequence(
                        unit(name + ".branch3.conv1", 32, 1),
                        unit(name + ".branch3.conv2", 48, 3),
                        unit(name + ".branch3.conv3", 64, 3)));
    }

    private static Layer firstReduction() {
        return Branches.of(
                reducing("reduction1.branch1", 384),
                Layer.sequence(
                        unit("reduction1.branch2.conv1", 256, 1),
                        unit("reduction1.branch2.conv2", 256, 3),
                        reducing("reduction1.branch2.conv3", 384)),
                halvingPool());
    }

    private static Layer moduleB(String name) {
        return Branches.of(
                unit(name + ".branch1", 192, 1),
                Layer.sequence(
                        unit(name + ".branch2.conv1", 128, 1),
                        unit(name + ".branch2.conv2", 160, row(7)),
                        unit(name + ".branch2.conv3", 192, column(7))));
    }

    private static Layer secondReduction() {
        return Branches.of(
                unit("reduction2.branch1.conv1", 256, 1).then(reducing("reduction2.branch1.conv2", 384)),
                unit("reduction2.branch2.conv1", 256, 1).then(reducing("reduction2.branch2.conv2", 288)),
                Layer.sequence(
                        unit("reduction2.branch3.conv1", 256, 1),
                        unit("reduction2.branch3.conv2", 288, 3),
                        reducing("reduction2.branch3.conv3", 320)),
                halvingPool());
    }

    private static Layer moduleC(String name) {
        return Branches.of(
                unit(name + ".branch1", 192, 1),
                Layer.sequence(
                        unit(name + ".branch2.conv1", 192, 1),
                        unit(name + ".branch2.conv2", 224, row(3)),
                        unit(name + ".branch2.conv3", 256, column(3))));
    }

    /** x + factor · conv1×1(module(x)), the convolution with a bias and without a norm. */
    private static Layer residual(String name, Layer module, int channels, double factor) {
        Layer projection = new Conv2d(
                name + ".projection", channels, Window.square(1, 1, 0), 1, true, Initializers.glorotUniform());
        Layer body = module.then(projection);
        return new Residual(factor == 1 ? body : body.then(new Scale(factor)), Residual.IDENTITY);
    }

    /** One row of a window that keeps the extent. */
    private static Window row(int kernel) {
        return new Window(1, kernel, 1, 1, 0, kernel / 2, 0, kernel / 2);
    }

    /** One column of a window that keeps the extent. */
    private static Window column(int kernel) {
        return new Window(kernel, 1, 1, 1, kernel / 2, 0, kernel / 2, 0);
    }

    private static Layer halvingPool() {
        return new MaxPool(Window.square(3, 2, 0));
    }

    private static Layer reducing(String name, int outputs) {
        return unit(name, outputs, Window.square(3, 2, 0));
    }

    private static Layer unit(String name, int outputs, int kernel) {
        return unit(name, outputs, Window.square(kernel, 1, kernel / 2));
    }

    private static Layer unit(String name, int outputs, Window window) {
        return Layer.sequence(
                new Conv2d(name, outputs, window, 1, false, Initializers.glorotUniform()),
                new BatchNorm(name + ".norm", EPSILON, MOMENTUM, 1),
                new Relu());
    }
}
