/**
 * Holds the records of measured results to their form, and the top-level README to the records.
 *
 * <p>Decides: what a complete record is and which numbers of the README's results table need one; the rules for people
 * are in {@code bench/records/README.md}. Never touches: whether a number is good.
 *
 * <pre>{@code
 * List<String> faults = RecordFolder.faults(Path.of("bench/records/2026-01-31_fashion-cnn-batches"));
 * List<String> unproven = ResultsTable.faults(Path.of("README.md"), Path.of("bench/records"));
 * }</pre>
 */
@NullMarked
package io.crescendo.bench.records;

import org.jspecify.annotations.NullMarked;
