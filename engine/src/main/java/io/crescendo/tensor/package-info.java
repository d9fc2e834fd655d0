/**
 * Shapes, element types and flat parameter packs: the words every other package speaks.
 *
 * <p>A {@link io.crescendo.tensor.Shape} says how large a tensor is and a {@link io.crescendo.tensor.DType} how wide
 * its elements are. A {@link io.crescendo.tensor.ParameterPack} lays many small tensors end to end in one flat array,
 * so that a whole model is updated by one kernel launch, written to disk in one piece and never moves while the batch
 * grows.
 *
 * <pre>{@code
 * ParameterPack.Builder builder = ParameterPack.builder();
 * Parameter weight = builder.add("dense.weight", Shape.of(10, 3136), Role.WEIGHT, Initializer.constant(0));
 * Parameter bias = builder.add("dense.bias", Shape.of(10), Role.BIAS, Initializer.constant(0));
 * ParameterPack pack = builder.build();
 * pack.count();      // 31,370 numbers to learn
 * bias.offset();     // where the bias starts in the flat array
 * }</pre>
 *
 * <p>This package describes memory; it never allocates any. Memory belongs to {@code io.crescendo.backend}.
 */
@NullMarked
package io.crescendo.tensor;

import org.jspecify.annotations.NullMarked;
