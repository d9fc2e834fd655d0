package io.crescendo.models;

import io.crescendo.autograd.Window;
import io.crescendo.nn.BatchNorm;
import io.crescendo.nn.Conv2d;
import io.crescendo.nn.Dense;
import io.crescendo.nn.GlobalAveragePool;
import io.crescendo.nn.Initializers;
import io.crescendo.nn.Layer;
import io.crescendo.nn.Network;
import io.crescendo.nn.Relu;
import io.crescendo.nn.Residual;
import java.util.ArrayList;
import java.util.List;

/**
 * Wide residual networks (Zagoruyko and Komodakis 2016, arXiv 1605.07146), the pre-activation form.
 *
 * <p>A 3×3 convolution to 16 channels; three groups of (depth − 4) / 6 blocks with 16·width, 32·width and 64·width
 * channels, the second and third starting with stride 2; norm, ReLU, global average, dense. A block is norm, ReLU,
 * conv3×3, norm, ReLU, conv3×3, plus its input; where the channels change, the shortcut is a 1×1 convolution of the
 * already normalised input.
 */
public final class WideResNet {
    private WideResNet() {}

    /**
     * Builds the network.
     *
     * @param depth number of convolutions on the longest path with shortcuts counted as the authors do: 10, 16, 22, 28,
     *     40 …
     * @param width multiplies the channels of all groups
     * @param channels of the images
     * @param height rows of the images
     * @param imageWidth columns of the images
     * @param classes number of logits
     * @throws IllegalArgumentException if the depth is not 6 k + 4, or the width below 1
     */
    public static Network of(int depth, int width, int channels, int height, int imageWidth, int classes) {
        if (depth < 10 || (depth - 4) % 6 != 0) {
            throw new IllegalArgumentException("the depth of a wide residual network must be 6 k + 4 with k at least 1"
                    + " (10, 16, 22, 28, 40, ...), but is " + depth);
        }
        if (width < 1) {
            throw new IllegalArgumentException("the width factor must be at least 1, but is " + width);
        }
        int blocks = (depth - 4) / 6;
        List<Layer> layers = new ArrayList<>();
        layers.add(conv("conv1", 16, 3, 1));
        int inputs = 16;
        for (int group = 0; group < 3; group++) {
            int outputs = (16 << group) * width;
            for (int block = 0; block < blocks; block++) {
                int stride = group > 0 && block == 0 ? 2 : 1;
                layers.add(block("group" + (group + 1) + ".block" + (block + 1), inputs, outputs, stride));
                inputs = outputs;
            }
        }
        layers.add(new BatchNorm("norm"));
        layers.add(new Relu());
        layers.add(new GlobalAveragePool());
        layers.add(new Dense("logits", classes));
        return new Network(
                "wide-resnet-" + depth + "-" + width,
                channels,
                height,
                imageWidth,
                classes,
                Layer.sequence(layers.toArray(new Layer[0])));
    }

    private static Layer block(String name, int inputs, int outputs, int stride) {
        Layer activate = new BatchNorm(name + ".norm1").then(new Relu());
        Layer convolve = Layer.sequence(
                conv(name + ".conv1", outputs, 3, stride),
                new BatchNorm(name + ".norm2"),
                new Relu(),
                conv(name + ".conv2", outputs, 3, 1));
        if (inputs == outputs && stride == 1) {
            return new Residual(activate.then(convolve), Residual.IDENTITY);
        }
        return activate.then(new Residual(convolve, conv(name + ".shortcut", outputs, 1, stride)));
    }

    private static Layer conv(String name, int outputs, int kernel, int stride) {
        return new Conv2d(
                name, outputs, Window.square(kernel, stride, kernel / 2), 1, false, Initializers.heNormalFanOut());
    }
}
