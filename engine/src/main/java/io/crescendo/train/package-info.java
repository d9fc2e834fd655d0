/**
 * The training loop: asks the plan what comes next, prepares it once, runs it, reports it.
 *
 * <p>{@link io.crescendo.train.Trainer} decides nothing about sizes: the {@link io.crescendo.schedule.TrainingPlan}
 * says how many samples the next update takes, {@link io.crescendo.train.Steps} knows how to run that many (in one
 * piece if it fits the memory budget, otherwise in micro-batches whose gradients add up), and the update kernel divides
 * by the batch once.
 *
 * <pre>{@code
 * try (Backend backend = Backends.open("auto", BackendOptions.DEFAULT);
 *         Trainer trainer = new Trainer(backend, network, plan, Optimizer.momentum(5e-4),
 *                 training, test, Augmentation.NONE, TrainingOptions.DEFAULT)) {
 *     trainer.listen(new TrainingListener() {
 *         public void evaluated(EvaluationRecord r) {
 *             System.out.printf("epoch %.0f  %d updates  accuracy %.4f%n", r.epoch(), r.update(), r.accuracy());
 *         }
 *     });
 *     RunSummary summary = trainer.run("increasing");
 * }
 * }</pre>
 */
@NullMarked
package io.crescendo.train;

import org.jspecify.annotations.NullMarked;
