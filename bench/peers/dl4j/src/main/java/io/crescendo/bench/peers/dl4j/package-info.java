/**
 * Deeplearning4j as one more engine of {@link io.crescendo.bench.peers}.
 *
 * <p>Decides: how a task's operations become layers of a computation graph. A module and a class path of its own,
 * because its native libraries bind another JavaCPP than oneDNN's and TensorFlow's.
 *
 * <pre>{@code
 * bench/peers/run out/dl4j --engines crescendo:cpu,deeplearning4j --cases fashion-cnn:32 --rounds 1
 * }</pre>
 */
@NullMarked
package io.crescendo.bench.peers.dl4j;

import org.jspecify.annotations.NullMarked;
