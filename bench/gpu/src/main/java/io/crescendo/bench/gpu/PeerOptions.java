package io.crescendo.bench.gpu;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What a comparison with PyTorch needs to start both sides. */
final class PeerOptions {
    @Option(names = "--device", defaultValue = "cuda", description = "What is measured.")
    private String device = "cuda";

    @Option(names = "--python", defaultValue = "python3", description = "A Python that has PyTorch.")
    private String python = "python3";

    @Option(names = "--peer", description = "torch_step.py; without it PyTorch is left out.")
    private @Nullable Path peer;

    String device() {
        return device;
    }

    Engines engines() {
        return new Engines(device, python, peer);
    }
}
