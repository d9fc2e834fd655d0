package io.crescendo.models;

import io.crescendo.autograd.Window;
import io.crescendo.nn.BatchNorm;
import io.crescendo.nn.Conv2d;
import io.crescendo.nn.Dense;
import io.crescendo.nn.Layer;
import io.crescendo.nn.MaxPool;
import io.crescendo.nn.Network;
import io.crescendo.nn.Relu;

/** A small convolutional network: two rounds of convolution, batch norm, ReLU and pooling, then one dense layer. */
public final class FashionCnn {
    private FashionCnn() {}

    /** conv3×3 to 32, norm, ReLU, pool 2×2, conv3×3 to 64, norm, ReLU, pool 2×2, dense. */
    public static Network of(int channels, int height, int width, int classes) {
        return new Network(
                "fashion-cnn",
                channels,
                height,
                width,
                classes,
                Layer.sequence(
                        new Conv2d("conv1", 32, Window.square(3, 1, 1)),
                        new BatchNorm("norm1"),
                        new Relu(),
                        new MaxPool(Window.square(2, 2, 0)),
                        new Conv2d("conv2", 64, Window.square(3, 1, 1)),
                        new BatchNorm("norm2"),
                        new Relu(),
                        new MaxPool(Window.square(2, 2, 0)),
                        new Dense("logits", classes)));
    }
}
