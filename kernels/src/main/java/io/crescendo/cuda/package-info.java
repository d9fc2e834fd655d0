/**
 * NVIDIA's libraries: finding them, fitting JCuda to them, loading both. The backend that computes with them builds on
 * this.
 *
 * <p>Four libraries are needed: the driver (devices, memory, graphs), NVRTC (compiles kernels), cuBLAS (matrix
 * products) and cuDNN 9 (convolutions). Java reaches each through a native library of JCuda, and that one is linked
 * against the release of CUDA 12:
 *
 * <pre>{@code
 * JNvrtc (class) ─► libJNvrtc-12.6.0-linux-x86_64.so ─► libnvrtc.so.12        as JCuda ships it
 *                   └─ a copy in ~/.cache/crescendo/cuda ─► libnvrtc.so.13    relinked, where only CUDA 13 is
 *
 * CudaInstallation here = CudaInstallation.search(Machine.here());   // reads directories; loads nothing
 * here.report();                                // per library: version and place, or what was searched and what helps
 * if (here.usable()) {
 *     CudaLibraryLoader.load(here);             // natives into the cache, libraries by absolute path, then JCuda's classes
 *     JCudaDriver.setExceptionsEnabled(true);   // from here on JCuda can be called
 *     JCudaDriver.cuInit(0);
 * }
 * }</pre>
 *
 * <p>{@link io.crescendo.cuda.SearchPlaces} says where libraries may lie, {@link io.crescendo.cuda.CudaLibrary} which
 * files make up a library and in which order they are loaded, {@link io.crescendo.cuda.ElfRelinker} changes the name
 * that a binding asks for, {@link io.crescendo.cuda.NativesCache} keeps the copies private and whole. The search is a
 * function of a {@link io.crescendo.cuda.Machine}, a value, so tests search machines that do not exist.
 *
 * <p>No JCuda class may be touched before {@link io.crescendo.cuda.CudaLibraryLoader#load} has returned, because JCuda
 * would unpack natives of its own under fixed names into the common temporary directory. Nothing here downloads, calls
 * a device or decides what is computed. Only this package names {@code jcuda}.
 */
@NullMarked
package io.crescendo.cuda;

import org.jspecify.annotations.NullMarked;
