/**
 * {@code bench/run}: the benchmarks, or one part of them, in a chosen time; a table, JSON, figures and a comparison.
 *
 * <p>Decides: which parameters each {@link io.crescendo.bench.suite.Part} has, how the time is shared out, what share
 * of which ceiling a figure is, and which earlier record it is held against. Never touches: what is timed, which the
 * benchmarks in {@link io.crescendo.bench} decide, or records, which people commit.
 *
 * <pre>{@code
 * bench/run --list
 * bench/run --part update --minutes 2 --out out/update
 * bench/run --part step --minutes 5 --out out/step --param network=wide-resnet-16-4 --param batch=32,128
 * bench/run --out bench/records/2026-01-31_whole-suite      # then complete README.md there
 * }</pre>
 */
@NullMarked
package io.crescendo.bench.suite;

import org.jspecify.annotations.NullMarked;
