/**
 * The slow, obvious twin of every fast kernel: each formula of {@link io.crescendo.autograd.Op} as plain loops in
 * double precision.
 *
 * <p>Fast backends are compared with this one, so it prefers being evidently right to being fast. Tensors are dense and
 * row-major, every element is a double, masks and indices included. The sample loop is outermost in everything that
 * adds to the gradient pack: an element of a gradient receives one addition per sample (per ghost group for
 * normalisations) in the order of the samples, so splitting a batch gives bitwise the same sums.
 *
 * <p>It honours the {@link io.crescendo.memory.WorkspacePlan} to the byte: all arena values share one array at their
 * planned offsets, so a wrong plan shows as wrong numbers. With {@code poison}, memory is filled with NaN whenever
 * nobody may read it, which turns a silent overlap into a loud one.
 *
 * <pre>{@code
 * try (ReferenceBackend backend = new ReferenceBackend(EnumSet.noneOf(Fusion.class), true)) { // unfused, poisoned
 *     LoweredProgram lowered = backend.lower(program);
 *     ModelMemory model = ModelMemory.allocate(backend, program, 1);
 *     Executable step = lowered.bind(WorkspacePlanner.plan(program, lowered.requirements()), model);
 *     step.run(feed);
 *     double[] gradients = ReferenceMemory.of(model.gradients()).values(); // full precision, no copy
 * }
 * }</pre>
 *
 * <p>It never looks for speed, threads or native libraries, and is never chosen by {@code --device auto}.
 */
@NullMarked
package io.crescendo.reference;

import org.jspecify.annotations.NullMarked;
