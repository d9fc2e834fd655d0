package io.crescendo.cli.commands;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.backend.DeviceMemoryException;
import io.crescendo.cli.UserError;
import io.crescendo.cli.config.RunConfig;
import io.crescendo.cli.run.Experiment;
import io.crescendo.cli.run.ProfileTable;
import io.crescendo.data.Batch;
import io.crescendo.data.ImageShape;
import io.crescendo.models.data.DataSearch;
import io.crescendo.nn.Network;
import io.crescendo.train.StepProfile;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Shows where the time of a training step goes. */
@Command(
        name = "profile",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = "Times a training step operation by operation, on noise; needs no data set.",
        footer = {
            "",
            "Examples:",
            "  crescendo profile",
            "  crescendo profile --preset cifar10-figure1 --batch 32",
            "  crescendo profile --preset cifar10-figure1 --batch 1024 --device cuda --precision bf16"
        })
public final class ProfileCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final ExperimentOptions experiment = new ExperimentOptions();

    @Option(
            names = "--batch",
            paramLabel = "SAMPLES",
            description = "Samples per step, in one piece (default: the experiment's first batch).")
    private @Nullable Integer batch;

    @Option(
            names = "--seconds",
            paramLabel = "S",
            defaultValue = "5",
            description = "How long to measure, after warming up (default: ${DEFAULT-VALUE}).")
    private double seconds;

    @Mixin
    private final DeviceOptions device = new DeviceOptions();

    @Option(names = "--data", paramLabel = "DIR", description = "Where data sets lie, if images' sizes depend on it.")
    private @Nullable Path data;

    @Override
    public Integer call() {
        RunConfig run = experiment.source().load();
        long wanted = batch != null ? batch : run.batch();
        if (wanted < 1) {
            throw UserError.usage("--batch " + wanted + ": must be at least 1 sample");
        }
        if (!(seconds > 0 && seconds < Double.POSITIVE_INFINITY)) {
            throw UserError.usage("--seconds " + seconds + ": must be positive");
        }
        Network network = Experiment.network(run, DataSearch.standard(data));
        int samples = inOnePiece(wanted, network);
        BackendOptions options = device.backend();
        PrintWriter out = Commands.out(spec);
        device.notes().forEach(out::println);
        try (Backend backend = Backends.open(device.device(), options)) {
            out.println(network.name() + ", batch " + samples + ", on " + backend.description());
            out.flush();
            StepProfile profile = StepProfile.measure(
                    backend, network, samples, run.ghostBatch(), Experiment.optimizer(run), seconds);
            out.println();
            out.println(ProfileTable.text(profile));
        } catch (DeviceMemoryException e) { // nothing splits the batch here
            throw e.isOfPack() ? e : e.withRemedy("; ask for fewer samples with --batch");
        }
        out.flush();
        return 0;
    }

    /** As many samples as the host can hand over at once. */
    private int inOnePiece(long samples, Network network) {
        ImageShape images = new ImageShape(network.channels(), network.height(), network.width());
        int most = Batch.mostSamples(images);
        if (samples > most) {
            throw UserError.usage((batch != null ? "--batch " : "the experiment's batch of ") + samples
                    + ": a step runs in one piece here, which holds less than 2 GiB of images, " + most + " of "
                    + network.channels() + "x" + network.height() + "x" + network.width() + "; "
                    + (batch != null ? "ask for fewer" : "ask for fewer with --batch"));
        }
        return (int) samples;
    }
}
