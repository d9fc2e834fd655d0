/** Tests of what {@code bench/run} says about measurements, without measuring. */
@NullMarked
package io.crescendo.bench.suite;

import org.jspecify.annotations.NullMarked;
