/**
 * JMH benchmarks: what a training step, an update or a new batch size costs.
 *
 * <p>Every benchmark first asserts that what it times is right, then times it in forks of its own. Run them with
 *
 * <pre>{@code
 * mvn -B -ntp -q package -DskipTests
 * java -jar bench/target/benchmarks.jar TrainingStep -p network=fashion-cnn -p batch=32,128
 * }</pre>
 *
 * <p>Figures quoted elsewhere point at a folder in {@code bench/records} with command, machine and raw numbers.
 */
@NullMarked
package io.crescendo.bench;

import org.jspecify.annotations.NullMarked;
