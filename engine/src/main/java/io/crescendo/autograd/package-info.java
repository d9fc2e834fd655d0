/**
 * Records a network once per batch size, appends its gradients and hands out an immutable program.
 *
 * <p>A {@link io.crescendo.autograd.Tape} is symbolic: it sees shapes, never numbers. Each call appends an
 * {@link io.crescendo.autograd.Op} that reads some {@link io.crescendo.autograd.Value}s and defines new ones, each
 * exactly once (static single assignment). Fusing passes rewrite the forward operations,
 * {@link io.crescendo.autograd.Gradients} appends the backward ones in reverse order, and dead operations are dropped.
 * A backend then prepares the {@link io.crescendo.autograd.Program} and replays it as often as it likes.
 *
 * <pre>{@code
 * Tape tape = Tape.training(128, 32);                      // batch 128, ghost batch 32
 * Value images = tape.images(1, 28, 28);
 * Value weight = tape.parameter("dense.weight", Shape.of(10, 784), Role.WEIGHT, Initializer.constant(0));
 * Value logits = tape.dense(tape.flatten(images), weight, null);
 * tape.softmaxCrossEntropy(logits, tape.labels(), 0.0);
 * Program program = tape.program(EnumSet.allOf(Fusion.class));
 * System.out.println(program.dump());
 * }</pre>
 *
 * <p><b>Gradient convention, stated once.</b> The loss is a <em>sum</em> over samples. Gradients of intermediate values
 * are defined once like any value (contributions of several consumers meet in an {@code Add}). Gradients of parameters
 * are <em>added</em> to the gradient pack, which is zero at the start of an update: so micro-batches simply run one
 * after another. The division by the batch happens once, in the update kernel.
 *
 * <p>This package never touches memory, threads or devices.
 */
@NullMarked
package io.crescendo.autograd;

import org.jspecify.annotations.NullMarked;
