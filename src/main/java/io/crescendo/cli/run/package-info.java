/**
 * One run on disk and on the screen.
 *
 * <p>Decides: the folder's files and their form, what is printed while training, what Ctrl-C leaves. Hears the trainer
 * through a {@link io.crescendo.train.TrainingListener} and never touches tensors.
 *
 * <pre>{@code
 * Machine machine = new Machine("auto", BackendOptions.DEFAULT, MemoryBudget.NONE); // as it was asked for
 * Environment environment = Environment.here(backend.description());                // as it was found
 * try (MetricsFile metrics = MetricsFile.create(folder, config, "increasing", environment, machine)) {
 *     trainer.listen(metrics);
 *     metrics.finished(trainer.run("increasing"), false);
 * }
 * List<RunLog> logs = RunLog.below(folder); // what plots and tests read
 * }</pre>
 */
@NullMarked
package io.crescendo.cli.run;

import org.jspecify.annotations.NullMarked;
