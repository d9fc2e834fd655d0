package io.crescendo.cuda;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.BackendProvider;
import java.util.List;
import java.util.Optional;

/** Opens an NVIDIA GPU as {@code --device cuda}. */
public final class CudaBackendProvider implements BackendProvider {
    /** Before the processor. */
    private static final int PREFERENCE = 10;

    @Override
    public String name() {
        return "cuda";
    }

    @Override
    public int preference() {
        return PREFERENCE;
    }

    @Override
    public Availability availability() {
        return availability(Machine.here());
    }

    /** The first line of the detail says what is missing; the others what was searched and what helps. */
    static Availability availability(Machine machine) {
        CudaInstallation installation = CudaInstallation.search(machine);
        if (!installation.usable()) {
            return new Availability(false, summary(installation).replace('\n', ' ') + "\n" + installation.explain());
        }
        try {
            List<DeviceProperties> devices = CudaDriver.devices(installation);
            if (devices.isEmpty()) {
                return new Availability(false, "the driver has no device; is CUDA_VISIBLE_DEVICES empty?");
            }
            DeviceProperties device = devices.get(CudaDevice.NUMBER);
            String description = device.name() + ", " + device.describe();
            if (device.tooOld()) {
                return new Availability(false, description);
            }
            CudaLibraryLoader.load(installation);
            CudaDevice.tryToOpen(device);
            return new Availability(true, description);
        } catch (CudaException | CudaLibraryException e) {
            return new Availability(false, e.getMessage() + "\n" + installation.explain());
        }
    }

    /** Without a driver nothing else matters: there is no GPU, or none that could be used. */
    private static String summary(CudaInstallation installation) {
        return installation.missing().stream()
                .filter(missing -> missing.library() == CudaLibrary.DRIVER)
                .map(missing -> missing.library().title() + " " + missing.describe())
                .findFirst()
                .orElseGet(() -> String.join("; ", installation.problems()));
    }

    @Override
    public Optional<Backend> forecast(BackendOptions options) {
        return Optional.of(new CudaForecast(options));
    }

    @Override
    public Backend open(BackendOptions options) {
        return new CudaBackend(options);
    }
}
