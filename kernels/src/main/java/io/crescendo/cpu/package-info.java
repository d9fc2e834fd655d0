/**
 * The processor backend: programs run as oneDNN primitives on one OpenMP thread pool.
 *
 * <p>The road of a program: {@link io.crescendo.cpu.Sharding} decides how many samples go through the network side by
 * side; {@link io.crescendo.cpu.SectionLowering} visits the operations in order and lets each family (convolutions,
 * dense layers, norms, pools, pointwise operations, reshapes, concatenations, dropout, loss) choose a layout and an
 * implementation; {@link io.crescendo.cpu.Binding} turns places into addresses; {@link io.crescendo.cpu.CpuExecutable}
 * replays a flat array of {@link io.crescendo.cpu.Step}s.
 *
 * <pre>{@code
 * images (plain) ─► convolution ─► norm + ReLU ─► pool ─► … ─► reshape (plain) ─► dense ─► loss
 *                   └──────── blocked: 16 or 8 channels side by side ────────┘
 *
 * try (Backend cpu = Backends.open("cpu", new BackendOptions(2))) {
 *     System.out.println(cpu.description());            // oneDNN 3.11.0, AVX2, float32, 2 threads
 *     LoweredProgram lowered = cpu.lower(program);      // chooses; allocates nothing
 *     Executable step = lowered.bind(plan, model);      // compiles primitives, lays out their arguments
 *     step.run(feed);                                   // executes them
 * }
 * }</pre>
 *
 * <p>A 3×3 convolution of stride 1 over enough channels and pixels takes a quarter of the multiplications: images and
 * filters go through {@link io.crescendo.cpu.WinogradTransforms}, oneDNN multiplies, and the sums go back
 * ({@link io.crescendo.cpu.WinogradConvolutions}). Whether it does depends on the layer's shape, and on what no split
 * of a batch changes, so that batches and micro-batches of all sizes are computed alike.
 *
 * <p>Nothing here decides where a value lies in the arena (the planner does), when a weight is updated or how large a
 * batch is. Only this package names {@code org.bytedeco}.
 */
@NullMarked
package io.crescendo.cpu;

import org.jspecify.annotations.NullMarked;
