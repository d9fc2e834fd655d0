/**
 * {@code bench/soak}: a thousand random changes of the batch in one process, and what they leave behind.
 *
 * <p>Decides: which batches come in which order, what is read after each change, and how early and late changes are
 * compared. Never touches: how a batch is prepared, split, kept or released; that is {@link io.crescendo.train.Steps}
 * as training uses it.
 *
 * <pre>{@code
 * try (BatchChanges changes = new BatchChanges(new SoakOptions(Map.of("network", "fashion-cnn")))) {
 *     BatchChanges.Outcome outcome = changes.to(137);   // three updates from the first weights
 *     outcome.checksum();                               // the same in a process that never saw another batch
 * }
 * }</pre>
 */
@NullMarked
package io.crescendo.bench.soak;

import org.jspecify.annotations.NullMarked;
