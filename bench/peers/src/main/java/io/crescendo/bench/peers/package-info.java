/**
 * Crescendo beside other engines: one training step each, in one run, on one machine, with the same numbers.
 *
 * <p>A {@link io.crescendo.bench.peers.Task} is a network recorded as Crescendo's own program, its first weights and a
 * batch in memory. {@link io.crescendo.bench.peers.TorchNetwork} and {@link io.crescendo.bench.peers.TensorFlowEngine}
 * translate that program operation by operation, so that what is compared is the same arithmetic and the first losses
 * must agree. {@link io.crescendo.bench.peers.Comparison} runs every sample in a JVM of its own, a few interleaved
 * rounds, and prints medians and ratios.
 *
 * <pre>{@code
 * bench/peers/run out/peers                          # everything, about a quarter of an hour
 * bench/peers/run out/quick --rounds 1 --seconds 2   # a glance
 * bench/peers/run out/growth --growth 32:160:800     # the first update after each switch, and a steady one
 * }</pre>
 *
 * <p>Built only with the Maven profile {@code peers}, which brings the other engines from Maven Central. Nothing here
 * is used by the rest of the project.
 */
@NullMarked
package io.crescendo.bench.peers;

import org.jspecify.annotations.NullMarked;
