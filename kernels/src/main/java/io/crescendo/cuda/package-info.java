/**
 * The CUDA backend: programs run on an NVIDIA GPU through cuDNN, cuBLAS and kernels of our own, recorded as graphs.
 *
 * <p>The road of a program: {@link io.crescendo.cuda.CudaLowering} visits the operations and lets each family
 * (convolutions, dense layers, norms, pools, pointwise operations, losses) make an {@link io.crescendo.cuda.OpPlan}:
 * how many bytes, which algorithm, what to launch. Where there is no GPU, {@link io.crescendo.cuda.CudaForecast}
 * answers what lowering asks of one, so that memory can be planned. {@link io.crescendo.cuda.CudaLoweredProgram} gives
 * the sizes to the planner and turns places into {@link io.crescendo.cuda.Addresses}.
 * {@link io.crescendo.cuda.CudaExecutable} puts the launches on the compute stream once, records them, and from then on
 * launches the graph: {@link io.crescendo.cuda.Replay}. On images of the device a whole step is one graph, from the
 * making of its batch to its update; what differs from step to step comes through
 * {@link io.crescendo.cuda.StepNumbers}.
 *
 * <pre>
 * feed ─► pinned pieces ─► upload stream ─► slot 0 | 1 ─► NHWC input ─► graph of the program ─► gradients, sums
 *         {@link io.crescendo.cuda.Staging}                      {@link io.crescendo.cuda.Inputs}                                    │
 * weights (KRSC), bf16 shadow  ◄─────────── {@link io.crescendo.cuda.CudaUpdateKernel} ◄────────────┘
 * </pre>
 *
 * <pre>{@code
 * try (Backend gpu = Backends.open("cuda", BackendOptions.DEFAULT.withPrecision(Precision.BF16))) {
 *     LoweredProgram lowered = gpu.lower(program);      // sizes; measures nothing, keeps nothing on the device
 *     lowered.compile();                                // measures convolutions, once for each device; bind would too
 *     Executable step = lowered.bind(plan, model);      // grows the workspace in place: addresses stay
 *     step.run(feed);                                   // the first time: launches and a recording, if not bound ahead
 *     step.run(feed);                                   // ever after: one launch; the host does not wait
 *     StepMetrics.Reading loss = gpu.metrics().take();  // arrives some updates later
 *     images.update(step, epoch, position, samples, update, scalars); // a whole step is one launch, too
 * }
 * }</pre>
 *
 * <p>Where things live: weights, gradients, optimizer state and statistics are flat float32 packs at fixed addresses
 * ({@link io.crescendo.cuda.CudaDeviceMemory}); activations are NHWC in float32 or bf16 in the workspace, a range of
 * addresses as large as the device's memory into which physical memory is mapped as needed
 * ({@link io.crescendo.cuda.MappedRegion}). One thread runs programs; another may lower and compile the next ones
 * meanwhile, map their memory, bind them, and record them on a {@link io.crescendo.cuda.Lane} of its own.
 *
 * <p>Errors: every status is checked. What a call answers at once names the operation; what the device finds later
 * shows at the next call, so {@code BackendOptions.withGraphs(false)} waits after every operation to give it a name.
 * After an error that the device does not survive everything refuses to go on with that first error, and closing is
 * quiet.
 *
 * <p>A training set that takes no more than a quarter of the device is uploaded once, as uint8
 * ({@link io.crescendo.cuda.CudaResidentImages}); a kernel then makes the batches, the very ones that the stream would
 * have fed. The kernels travel in the jar as source, and as machine code where nvcc built it
 * ({@link io.crescendo.cuda.FatBinary}); otherwise NVRTC compiles them once on the user's machine
 * ({@link io.crescendo.cuda.KernelCompiler}).
 *
 * <h2>Libraries</h2>
 *
 * <p>Four are needed: the driver (devices, memory, graphs), NVRTC (compiles kernels), cuBLAS (matrix products) and
 * cuDNN 9 (convolutions). Java reaches each through a native library of JCuda, and that one is linked against the
 * release of CUDA 12:
 *
 * <pre>{@code
 * JNvrtc (class) ─► libJNvrtc-12.6.0-linux-x86_64.so ─► libnvrtc.so.12        as JCuda ships it
 *                   └─ a copy in ~/.cache/crescendo/cuda ─► libnvrtc.so.13    relinked, where only CUDA 13 is
 *
 * CudaInstallation here = CudaInstallation.search(Machine.here());   // reads directories; loads nothing
 * here.report();                                // per library: version and place, or what was searched and what helps
 * if (here.usable()) {
 *     CudaLibraryLoader.load(here);             // natives into the cache, libraries by absolute path, then JCuda's classes
 *     CudaCalls.enableExceptions();             // from here on JCuda can be called
 *     CudaDriver.devices(here);
 * }
 * }</pre>
 *
 * <p>{@link io.crescendo.cuda.SearchPlaces} says where libraries may lie, {@link io.crescendo.cuda.CudaLibrary} which
 * files make up a library and in which order they are loaded, {@link io.crescendo.cuda.ElfRelinker} changes the name
 * that a binding asks for, {@link io.crescendo.cuda.NativesCache} keeps the copies private and whole. The search is a
 * function of a {@link io.crescendo.cuda.Machine}, a value, so tests search machines that do not exist.
 *
 * <p>No JCuda class may be touched before {@link io.crescendo.cuda.CudaLibraryLoader#load} has returned, because JCuda
 * would unpack natives of its own under fixed names into the common temporary directory. Nothing here downloads or
 * decides where a value lies in the arena, when a weight is updated or how large a batch is. Only this package names
 * {@code jcuda}.
 */
@NullMarked
package io.crescendo.cuda;

import org.jspecify.annotations.NullMarked;
