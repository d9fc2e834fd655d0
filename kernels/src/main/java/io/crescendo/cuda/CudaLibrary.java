package io.crescendo.cuda;

import java.util.List;

/** The libraries that the CUDA backend calls, in the order in which they are loaded. */
@SuppressWarnings("ImmutableEnumChecker") // the lists are made by List.of
enum CudaLibrary {
    /**
     * The driver: devices, memory, streams, graphs, kernel launches. It comes with the kernel module, not with CUDA.
     */
    DRIVER("driver", "JCudaDriver", List.of("libcuda.so.1"), List.of()),
    /** The compiler of kernels at run time, with the declarations it reads itself when it compiles. */
    NVRTC("NVRTC", "JNvrtc", List.of("libnvrtc.so.%d"), List.of("libnvrtc-builtins.so.%d")),
    /** Matrix products. */
    CUBLAS("cuBLAS", "JCublas2", List.of("libcublasLt.so.%d", "libcublas.so.%d"), List.of()),
    /** Convolutions, from release 9 on for every CUDA version under the same name; it fetches its parts when needed. */
    CUDNN(
            "cuDNN",
            "JCudnn",
            List.of("libcudnn.so.9"),
            List.of(
                    "libcudnn_graph.so.9",
                    "libcudnn_ops.so.9",
                    "libcudnn_cnn.so.9",
                    "libcudnn_adv.so.9",
                    "libcudnn_heuristic.so.9",
                    "libcudnn_engines_precompiled.so.9",
                    "libcudnn_engines_runtime_compiled.so.9",
                    // Not in every release.
                    "libcudnn_engines_tensor_ir.so.9",
                    "libcudnn_ext.so.9"));

    private final String title;
    private final String binding;
    private final List<String> names;
    private final List<String> companions;

    CudaLibrary(String title, String binding, List<String> names, List<String> companions) {
        this.title = title;
        this.binding = binding;
        this.names = names;
        this.companions = companions;
    }

    /** What people call it. */
    String title() {
        return title;
    }

    /** The JCuda library that binds it, without prefix, version and platform: {@code JNvrtc}. */
    String binding() {
        return binding;
    }

    /**
     * The files that must lie side by side, in the order in which they are loaded; the last is the library itself.
     *
     * @param cudaMajor 12 or 13
     */
    List<String> names(int cudaMajor) {
        return names.stream()
                .map(name -> name.replace("%d", String.valueOf(cudaMajor)))
                .toList();
    }

    /** The file that JCuda's binding asks for. */
    String name(int cudaMajor) {
        List<String> all = names(cudaMajor);
        return all.get(all.size() - 1);
    }

    /**
     * How the names of files begin that it opens by name while it works, in the order in which they need one another.
     * They lie beside it, but the dynamic linker looks there only if the library says so.
     */
    List<String> companions(int cudaMajor) {
        return companions.stream()
                .map(name -> name.replace("%d", String.valueOf(cudaMajor)))
                .toList();
    }

    /** Whether it is part of the toolkit and named after its major version. */
    boolean followsCuda() {
        return !name(12).equals(name(13));
    }
}
