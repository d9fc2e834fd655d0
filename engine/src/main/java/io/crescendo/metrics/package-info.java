/**
 * What a run reports, as values.
 *
 * <p>The trainer makes one {@link io.crescendo.metrics.UpdateRecord} per parameter update and one
 * {@link io.crescendo.metrics.EvaluationRecord} per evaluation; {@link io.crescendo.metrics.RunSummary} is the line of
 * a results table. They are plain numbers: writing them to files, drawing them and printing them is the caller's
 * business.
 *
 * <pre>{@code
 * trainer.listen(new TrainingListener() {
 *     public void updated(UpdateRecord r) {
 *         System.out.printf("update %d  batch %d  loss %.4f%n", r.update(), r.batch(), r.loss());
 *     }
 * });
 * }</pre>
 */
@NullMarked
package io.crescendo.metrics;

import org.jspecify.annotations.NullMarked;
