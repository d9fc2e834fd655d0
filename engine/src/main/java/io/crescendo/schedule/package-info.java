/**
 * What the batch, the learning rate and the momentum are at every moment of a training run, and how many parameter
 * updates the run will take.
 *
 * <h2>The idea</h2>
 *
 * Stochastic gradient descent follows the gradient plus noise whose strength is the <em>noise scale</em>
 *
 * <pre>
 *   g = ε (N/B − 1) / (1 − m)  ≈  ε N / (B (1 − m))
 *
 *   ε learning rate   N samples in the training set   B batch   m momentum coefficient
 * </pre>
 *
 * Training schedules lower ε to lower g, as annealing lowers a temperature. But g falls just as well when B grows: a
 * step that would divide ε by 5 may multiply B by 5 instead. The curves against epochs stay the same, while the number
 * of parameter updates shrinks and each update offers more work in parallel. So any
 * {@link io.crescendo.schedule.TrainingPlan} whose learning rate decays can be turned into one whose batch grows:
 *
 * <pre>{@code
 * Schedule decay = Schedule.staircase(0.1, 1.0 / 5, 60, 120, 160);
 * TrainingPlan decaying = TrainingPlan.of(decay, batch(128), momentum(0.9)).forEpochs(200, 50_000);
 * TrainingPlan growing = decaying.growBatchInstead(5120);        // 128, 640, 3200, then 5120 and ε / 3.1
 * TrainingPlan fast = growing.scaleLearningRate(5).withMomentum(0.98); // B ∝ ε / (1 − m)
 *
 * System.out.println(growing.table(RaggedEpoch.DROP).text());    // 29040 updates instead of 78000
 *
 * for (Progress now = growing.start(); !growing.finished(now); ) {
 *     PlannedUpdate update = growing.nextUpdate(now);            // phase and number of samples
 *     // ... train on update.samples() samples with update.phase() ...
 *     now = growing.advance(now, update.samples());
 * }
 * }</pre>
 *
 * <h2>What this package decides</h2>
 *
 * <ul>
 *   <li>The clock. {@link io.crescendo.schedule.Progress} counts samples; epochs are derived from it and nothing else
 *       counts. A {@link io.crescendo.schedule.Schedule} is a pure function of progress, so a resumed run, or one whose
 *       batch changed half-way, reads the same values.
 *   <li>The {@link io.crescendo.schedule.Phase}: batch, learning rate and momentum of the next update. A batch is a
 *       whole number and cannot grow past its cap; whatever the batch cannot take, the learning rate carries, so that g
 *       is the original's at every update.
 *   <li>The end of an epoch. Updates never straddle it; {@link io.crescendo.schedule.RaggedEpoch} says what happens to
 *       the samples left over.
 *   <li>The count. The trainer and {@link io.crescendo.schedule.TrainingPlan#updates()} ask the same method for the
 *       size of the next update, so the predicted count is the performed one.
 * </ul>
 *
 * <h2>What it never touches</h2>
 *
 * Tensors, devices, memory, files, clocks on the wall. How a batch is split into micro-batches is not decided here, nor
 * the size of a ghost batch. This g is also not the <em>gradient noise scale</em> tr Σ / |G|² of McCandlish et al.
 * 2018, which is measured from gradients.
 *
 * <p>Source: Smith, Kindermans, Ying and Le, "Don't Decay the Learning Rate, Increase the Batch Size", 2018, arXiv
 * 1711.00489.
 */
@NullMarked
package io.crescendo.schedule;

import org.jspecify.annotations.NullMarked;
