/**
 * What a machine with a GPU is asked: is the CUDA backend right, does it train like the CPU, and how fast is it beside
 * PyTorch.
 *
 * <p>{@code bench/gpu/bundle} packs this module with a Java runtime, {@code bench/gpu/verify} runs it where there is
 * neither JDK nor Maven. Each question is a command of {@link io.crescendo.bench.gpu.GpuBench} that writes one JSON
 * file; a question that fails leaves the others alone. Devices are opened by name, so that all of it also runs on a
 * CPU:
 *
 * <pre>{@code
 * gpu gradients --device cuda --precisions fp32,tf32,bf16 --out gradients.json     # a step's gradients beside the CPU's
 * gpu curves --device cuda --updates 200 --out curves.json                         # losses of a run on real images
 * gpu throughput --device cuda --cases wide-resnet-16-4:1024:bf16 --out speed.json # beside bench/peers/torch_step.py
 * gpu growth --peer bench/peers/torch_step.py --out growth.json                    # what raising the batch costs
 * gpu capacity --budget 16 --peer bench/peers/torch_step.py --out capacity.json    # the largest batch in 16 GiB
 * gpu kernels --peer bench/peers/torch_kernels.py --out kernels.json               # kernels alone, beside optimizers
 * gpu table --folder results                                                       # one table in Markdown
 * }</pre>
 *
 * <p>Never touches CUDA itself, and of what a device reports of its own accord it takes the memory that is free or that
 * a process holds, beside its own count.
 */
@NullMarked
package io.crescendo.bench.gpu;

import org.jspecify.annotations.NullMarked;
