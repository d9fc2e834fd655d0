/**
 * Runs every benchmark once, so that none rots unseen.
 *
 * <p>Decides: that each benchmark on the class path still starts, passes its own assertions and ends, with the first
 * value of each of its parameters. Never touches: times; a figure needs a machine of its own and a record.
 *
 * <p>A new benchmark is found by itself. Its parameters name the cheapest value first, and one that needs a device has
 * a parameter {@code device}: where the first value's backend cannot be opened, the benchmark is skipped with the
 * reason.
 */
@NullMarked
package io.crescendo.bench;

import org.jspecify.annotations.NullMarked;
