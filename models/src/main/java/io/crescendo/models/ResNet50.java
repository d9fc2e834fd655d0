package io.crescendo.models;

import io.crescendo.autograd.Window;
import io.crescendo.nn.BatchNorm;
import io.crescendo.nn.Conv2d;
import io.crescendo.nn.Dense;
import io.crescendo.nn.GlobalAveragePool;
import io.crescendo.nn.Initializers;
import io.crescendo.nn.Layer;
import io.crescendo.nn.MaxPool;
import io.crescendo.nn.Network;
import io.crescendo.nn.Relu;
import io.crescendo.nn.Residual;
import java.util.ArrayList;
import java.util.List;

/**
 * The residual network of 50 layers (He et al. 2015, arXiv 1512.03385), in the form known as v1.5.
 *
 * <p>A 7×7 convolution to 64 channels with stride 2, norm, ReLU, 3×3 maximum with stride 2; four stages of 3, 4, 6 and
 * 3 blocks with 256, 512, 1024 and 2048 channels, the later three starting with stride 2; global average, dense. A
 * block is conv1×1 to a quarter of its channels, conv3×3, conv1×1, each with a norm and the first two with a ReLU, plus
 * its input, and a ReLU over the sum; at a stage's start the shortcut is a 1×1 convolution with a norm. Images of
 * 224×224 leave 7×7 positions to the global average.
 *
 * <p>In v1.5 the 3×3 convolution has the stride, where the paper has it in the 1×1 before: about half a per cent more
 * accuracy on ImageNet. torchvision builds it so and gives 25,557,032 parameters for 1000 classes.
 *
 * <p>Convolutions start as in He et al. 2015 (arXiv 1502.01852), normal by fan-out; the last scale of a block starts at
 * zero, as in Goyal et al. 2017 (arXiv 1706.02677), the source of the large-batch recipe.
 */
public final class ResNet50 {
    private static final int SMALLEST = 32;
    private static final int[] BLOCKS = {3, 4, 6, 3};

    private ResNet50() {}

    /**
     * Builds the network.
     *
     * @param channels of the images
     * @param height rows of the images, at least 32
     * @param width columns of the images, at least 32
     * @param classes number of logits
     * @throws IllegalArgumentException if the images are smaller
     */
    public static Network of(int channels, int height, int width, int classes) {
        if (height < SMALLEST || width < SMALLEST) {
            throw new IllegalArgumentException("resnet-50 halves images five times and needs at least " + SMALLEST + "x"
                    + SMALLEST + " pixels, but they are " + height + "x" + width);
        }
        List<Layer> layers = new ArrayList<>();
        layers.add(convNorm("conv1", 64, 7, 2));
        layers.add(new Relu());
        layers.add(new MaxPool(Window.square(3, 2, 1)));
        for (int stage = 0; stage < BLOCKS.length; stage++) {
            for (int block = 0; block < BLOCKS[stage]; block++) {
                int stride = stage > 0 && block == 0 ? 2 : 1;
                layers.add(block("stage" + (stage + 1) + ".block" + (block + 1), 64 << stage, stride, block == 0));
            }
        }
        layers.add(new GlobalAveragePool());
        layers.add(new Dense("logits", classes));
        return new Network("resnet-50", channels, height, width, classes, Layer.sequence(layers.toArray(new Layer[0])));
    }

    private static Layer block(String name, int inner, int stride, boolean projects) {
        int outputs = 4 * inner;
        Layer body = Layer.sequence(
                convNorm(name + ".conv1", inner, 1, 1),
                new Relu(),
                convNorm(name + ".conv2", inner, 3, stride),
                new Relu(),
                conv(name + ".conv3", outputs, 1, 1),
                new BatchNorm(name + ".conv3.norm").startingAtZero());
        Layer shortcut = projects ? convNorm(name + ".shortcut", outputs, 1, stride) : Residual.IDENTITY;
        return new Residual(body, shortcut).then(new Relu());
    }

    private static Layer convNorm(String name, int outputs, int kernel, int stride) {
        return conv(name, outputs, kernel, stride).then(new BatchNorm(name + ".norm"));
    }

    private static Layer conv(String name, int outputs, int kernel, int stride) {
        return new Conv2d(
                name, outputs, Window.square(kernel, stride, kernel / 2), 1, false, Initializers.heNormalFanOut());
    }
}
