/**
 * Optimizers: a formula, a weight decay and the policy which parameters decay.
 *
 * <p>An {@link io.crescendo.optim.Optimizer} is a value. The formula itself, {@link io.crescendo.backend.UpdateRule},
 * runs on the device in one pass over the flat pack; the learning rate, the momentum and 1/batch come from the training
 * plan at every update.
 *
 * <pre>{@code
 * Optimizer.momentum(5e-4);              // v <- m v + g;  w <- w - lr v;  L2 decay on weights only
 * Optimizer.named("adamw", 0.05);        // decoupled decay
 * Optimizer.nesterov(5e-4).withDecay(DecayPolicy.ALL_PARAMETERS);
 * }</pre>
 */
@NullMarked
package io.crescendo.optim;

import org.jspecify.annotations.NullMarked;
