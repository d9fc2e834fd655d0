package io.crescendo.cuda;

import io.crescendo.cuda.Finding.Found;
import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import jcuda.driver.JCudaDriver;
import jcuda.jcublas.JCublas2;
import jcuda.jcudnn.JCudnn;
import jcuda.nvrtc.JNvrtc;

/** Loads CUDA's libraries and JCuda's bindings of them into this process. */
final class CudaLibraryLoader {
    private static final String TEMPORARY_DIRECTORY = "java.io.tmpdir";

    private CudaLibraryLoader() {}

    /**
     * Loads everything; after this, JCuda's classes can be used. Harmless when it is loaded already.
     *
     * @throws CudaLibraryException if something is missing or does not load
     */
    static void load(CudaInstallation installation) {
        if (!installation.usable()) {
            throw new CudaLibraryException("CUDA cannot be used here\n" + installation.explain());
        }
        load(
                installation.found(),
                installation.cudaMajor(),
                installation.machine().cache());
    }

    /** Loads only these libraries, in this order. */
    static synchronized void load(List<Found> libraries, int cudaMajor, Path cache) {
        Map<CudaLibrary, Path> bindings = JCudaNatives.unpack(libraries, cudaMajor, cache);
        for (Found found : libraries) {
            // By absolute path. A library that is in the process satisfies, by its own name, whoever needs it later.
            for (Path file : found.files()) {
                load(found, file);
            }
            Path binding = bindings.get(found.library());
            if (binding != null) {
                bind(found, binding);
            }
        }
    }

    private static void load(Found found, Path file) {
        try {
            System.load(file.toAbsolutePath().toString());
        } catch (UnsatisfiedLinkError e) {
            throw new CudaLibraryException(
                    found.library().title() + ": " + file + " does not load (" + e.getMessage() + ")", e);
        }
    }

    /**
     * Starts the JCuda class that loads a binding. It looks on java.library.path, which is fixed when the JVM starts,
     * and then takes a file of the right name in the temporary directory, which it asks for each time: for that moment
     * it is ours.
     */
    private static void bind(Found found, Path binding) {
        String temporary = System.getProperty(TEMPORARY_DIRECTORY);
        try {
            // The JDK reads the property once, when it first makes a temporary file: let that be before the change.
            File first = File.createTempFile("crescendo", null);
            System.setProperty(TEMPORARY_DIRECTORY, String.valueOf(binding.getParent()));
            if (!first.delete()) {
                first.deleteOnExit();
            }
            initialize(found.library());
        } catch (IOException e) {
            throw new CudaLibraryException("no temporary file can be made in " + temporary + ": " + e, e);
        } catch (LinkageError e) {
            throw new CudaLibraryException(
                    found.library().title() + ": JCuda's binding " + binding + " of " + found.file()
                            + " does not load (" + reason(binding, e) + ")",
                    e);
        } finally {
            System.setProperty(TEMPORARY_DIRECTORY, temporary);
        }
    }

    private static void initialize(CudaLibrary library) {
        Class<?> binding = switch (library) {
            case DRIVER -> JCudaDriver.class;
            case NVRTC -> JNvrtc.class;
            case CUBLAS -> JCublas2.class;
            case CUDNN -> JCudnn.class;
        };
        try {
            Class.forName(binding.getName(), true, binding.getClassLoader());
        } catch (ClassNotFoundException e) {
            throw new CudaLibraryException(binding + " vanished from the class path", e);
        }
    }

    /** What the dynamic linker says of it; JCuda's own message is a page of stack traces. */
    private static String reason(Path binding, LinkageError failure) {
        try {
            System.load(binding.toString());
        } catch (UnsatisfiedLinkError e) {
            String said = String.valueOf(e.getMessage());
            boolean forbidden = said.contains("map segment") || said.contains("not permitted");
            return said + (forbidden ? "; nothing may be run from there: name another folder with XDG_CACHE_HOME" : "");
        }
        return String.valueOf(failure.getMessage()).lines().findFirst().orElse("no reason given");
    }
}
