package io.crescendo.bench.gpu;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.Precision;
import io.crescendo.bench.TrainingStep;
import io.crescendo.nn.Network;
import picocli.CommandLine.Option;

/** What Crescendo's side of every measurement is told, as {@link Engines} tells it. */
final class StepOptions {
    @Option(names = "--network", defaultValue = "wide-resnet-16-4", description = "Name of the model.")
    private String network = "wide-resnet-16-4";

    @Option(names = "--precision", defaultValue = "fp32", description = "fp32, tf32, bf16.")
    private Precision precision = Precision.FP32;

    @Option(names = "--device", defaultValue = "cuda", description = "What is measured.")
    private String device = "cuda";

    Network network() {
        return TrainingStep.network(network);
    }

    Precision precision() {
        return precision;
    }

    Backend open() {
        return Backends.open(device, BackendOptions.DEFAULT.withPrecision(precision));
    }
}
