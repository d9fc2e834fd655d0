/**
 * What is to be run, as YAML says it.
 *
 * <p>Decides: which keys a configuration has, what they mean and what is wrong with a file. A
 * {@link io.crescendo.cli.config.RunConfig} is made of the defaults, then a preset, then a file, then options, each
 * replacing single keys of the one before. Never touches: devices, data sets and the folders of runs.
 *
 * <pre>{@code
 * RunConfig config = ConfigSource.of("cifar10-figure1", null).with("seed", 7).load();
 * TrainingPlan plan = config.plan(PlanVariant.INCREASING, 50_000);
 * System.out.println(plan.table().text());
 * System.out.println(config.toYaml()); // can be fed back as a file
 * }</pre>
 */
@NullMarked
package io.crescendo.cli.config;

import org.jspecify.annotations.NullMarked;
