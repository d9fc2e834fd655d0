package io.crescendo.cuda;

import io.crescendo.backend.LibraryReport;
import java.util.List;

/** The CUDA libraries' part of {@code crescendo info}. */
public final class CudaLibraryReport implements LibraryReport {
    @Override
    public String title() {
        return "cuda libraries (the CUDA backend that will use them is not part of this version yet)";
    }

    @Override
    public List<Entry> entries() {
        return CudaInstallation.search(Machine.here()).report();
    }
}
