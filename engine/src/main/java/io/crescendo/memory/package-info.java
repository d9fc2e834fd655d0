/**
 * Decides where everything lies before anything is allocated.
 *
 * <p>{@link io.crescendo.memory.Liveness} finds when each arena value is born and dies,
 * {@link io.crescendo.memory.WorkspacePlanner} gives each an offset in one arena so that values alive together never
 * overlap, and {@link io.crescendo.memory.MicroBatches} splits a batch so that the plan fits a byte budget. All of it
 * is a pure function of the program, the backend's sizes and the budget: it runs without a device, and {@code crescendo
 * plan} prints its results before anyone pays for one.
 *
 * <pre>{@code
 * LoweredProgram lowered = backend.lower(program);                     // knows sizes, owns no memory
 * WorkspacePlan plan = WorkspacePlanner.plan(program, lowered.requirements());
 * plan.totalBytes();        // what the arena must hold
 * plan.lowerBoundBytes();   // no plan can be smaller than this
 * }</pre>
 *
 * <p>Weights, gradients and optimizer state never appear here: they live in flat packs at fixed addresses, so growing
 * the arena copies nothing.
 */
@NullMarked
package io.crescendo.memory;

import org.jspecify.annotations.NullMarked;
