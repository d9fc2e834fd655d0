/**
 * What a device must be able to do, and nothing about how.
 *
 * <p>A {@link io.crescendo.backend.Backend} allocates flat packs, owns one {@link io.crescendo.backend.Workspace} and
 * turns a {@link io.crescendo.autograd.Program} into something it can replay, in two stages: {@code lower} chooses
 * layouts and algorithms and says how many bytes each value needs; the engine plans the arena; {@code bind} fixes
 * addresses. Replaying allocates nothing.
 *
 * <pre>{@code
 * try (Backend backend = Backends.open("cpu", BackendOptions.DEFAULT)) {
 *     LoweredProgram lowered = backend.lower(program);
 *     WorkspacePlan plan = WorkspacePlanner.plan(program, lowered.requirements());
 *     ModelMemory model = ModelMemory.allocate(backend, program, seed);
 *     Executable step = lowered.bind(plan, model);                   // grows the workspace if the plan needs it
 *     UpdateKernel update = backend.prepareUpdate(new UpdateRule.Momentum(), model, program.parameters(), decayed);
 *     step.run(feed);                                                // adds to model.gradients() and backend.metrics()
 *     update.apply(new UpdateScalars(0.1, 0.9, 1.0 / 128, 5e-4, 1)); // uses and clears the gradients
 * }
 * }</pre>
 *
 * <p>A backend that holds a data set itself gives {@link io.crescendo.backend.ResidentImages}: the same batches, made
 * where they are used.
 *
 * <p>Backends are found through {@link java.util.ServiceLoader} as {@link io.crescendo.backend.BackendProvider}s, so
 * the engine never names one.
 */
@NullMarked
package io.crescendo.backend;

import org.jspecify.annotations.NullMarked;
