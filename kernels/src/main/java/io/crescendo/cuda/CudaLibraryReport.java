package io.crescendo.cuda;

import io.crescendo.backend.LibraryReport;
import io.crescendo.cuda.Finding.Found;
import java.util.ArrayList;
import java.util.List;

/** The CUDA libraries' part of {@code crescendo info}, and the devices if there is a driver to ask. */
public final class CudaLibraryReport implements LibraryReport {
    @Override
    public String title() {
        return "cuda libraries and devices (what --device cuda computes with)";
    }

    @Override
    public List<Entry> entries() {
        return entries(Machine.here());
    }

    static List<Entry> entries(Machine machine) {
        CudaInstallation installation = CudaInstallation.search(machine);
        List<Entry> entries = new ArrayList<>(installation.report());
        boolean driver =
                installation.found().stream().map(Found::library).anyMatch(library -> library == CudaLibrary.DRIVER);
        if (driver && machine.supported()) {
            entries.addAll(devices(installation));
        }
        return entries;
    }

    private static List<Entry> devices(CudaInstallation installation) {
        List<Entry> entries = new ArrayList<>();
        try {
            for (DeviceProperties device : CudaDriver.devices(installation)) {
                entries.add(new Entry("device " + entries.size(), device.name() + ", " + device.describe()));
            }
        } catch (CudaException | CudaLibraryException e) {
            return List.of(new Entry("devices", String.valueOf(e.getMessage())));
        }
        return entries.isEmpty() ? List.of(new Entry("devices", "the driver has none")) : entries;
    }
}
