/**
 * Layers: the usual words for building a network on a tape.
 *
 * <p>A {@link io.crescendo.nn.Layer} is a function from a value to a value that may create parameters on the way.
 * Layers hold names and hyper-parameters, never numbers or shapes: input channels are read off the value, and the same
 * layer can be traced for any batch. A {@link io.crescendo.nn.Network} is a layer with an input size and a number of
 * classes.
 *
 * <pre>{@code
 * Layer body = Layer.sequence(
 *         new Conv2d("conv1", 32, Window.square(3, 1, 1)),
 *         new BatchNorm("norm1"),
 *         new Relu(),
 *         new MaxPool(Window.square(2, 2, 0)),
 *         new Dense("logits", 10));
 * Network network = new Network("tiny", 1, 28, 28, 10, body);
 * network.parameterCount();
 * }</pre>
 */
@NullMarked
package io.crescendo.nn;

import org.jspecify.annotations.NullMarked;
