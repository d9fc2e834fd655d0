package io.crescendo.cuda;

import java.nio.file.Path;
import java.util.List;

/** What the search for one library came to. */
sealed interface Finding {
    CudaLibrary library();

    /** One line for people. */
    String describe();

    /**
     * A library that is here.
     *
     * @param files what to load, in this order; the last is the library itself
     * @param origin why its directory was searched
     * @param version as far as the file names tell it, for example {@code 12.6.4.1} or only {@code 12}
     * @param cudaMajor the CUDA version it was looked for with
     */
    record Found(CudaLibrary library, List<Path> files, SearchPlaces.Origin origin, String version, int cudaMajor)
            implements Finding {
        public Found {
            files = List.copyOf(files);
        }

        /** The library itself. */
        Path file() {
            return files.get(files.size() - 1);
        }

        /** Whether JCuda's binding asks for this library under another name and is relinked. */
        boolean relinked() {
            return library.followsCuda() && cudaMajor != CudaInstallation.JCUDA_MAJOR;
        }

        @Override
        public String describe() {
            return version + ", " + file() + " (" + origin.title() + ")"
                    + (relinked()
                            ? ", lib" + library.binding() + " relinked from "
                                    + library.name(CudaInstallation.JCUDA_MAJOR)
                            : "");
        }
    }

    /**
     * A library that is not here.
     *
     * @param names what was looked for; any of them would do
     * @param rejected files that were there and why they cannot be used
     */
    record Missing(CudaLibrary library, List<String> names, List<String> rejected) implements Finding {
        public Missing {
            names = List.copyOf(names);
            rejected = List.copyOf(rejected);
        }

        @Override
        public String describe() {
            return "not found: " + String.join(" or ", names)
                    + (rejected.isEmpty() ? "" : "; passed over " + String.join("; ", rejected));
        }
    }
}
