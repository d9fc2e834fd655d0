/**
 * The command line on {@code --device cuda}, without a GPU.
 *
 * <p>Decides: that what the command line and the CUDA backend promise of failures holds for both together. This is the
 * one module that sees them both. Never touches: NVIDIA's libraries; those that the tests of {@code kernels} build in
 * their place are used, in processes of their own.
 */
@NullMarked
package io.crescendo.bench.gpu;

import org.jspecify.annotations.NullMarked;
