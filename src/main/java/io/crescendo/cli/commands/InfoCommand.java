package io.crescendo.cli.commands;

import io.crescendo.backend.BackendProvider;
import io.crescendo.backend.Backends;
import io.crescendo.backend.LibraryReport;
import io.crescendo.cli.Version;
import io.crescendo.cli.config.ConfigSource;
import io.crescendo.cli.config.Presets;
import io.crescendo.data.DataException;
import io.crescendo.models.data.DataSearch;
import io.crescendo.models.data.DataSplit;
import io.crescendo.models.data.Datasets;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.ServiceLoader;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Says what is here: versions, devices, data sets and presets. */
@Command(
        name = "info",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = "Shows versions, devices, data sets and presets that are here.",
        footer = {"", "Examples:", "  crescendo info", "  crescendo info --data ~/datasets"})
public final class InfoCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Option(names = "--data", paramLabel = "DIR", description = "Where data sets lie.")
    private @Nullable Path data;

    @Override
    public Integer call() {
        PrintWriter out = Commands.out(spec);
        Runtime machine = Runtime.getRuntime();
        out.println("crescendo " + Version.number());
        out.println("java      " + System.getProperty("java.version") + " (" + System.getProperty("java.vendor") + ")");
        out.println("system    " + System.getProperty("os.name") + " " + System.getProperty("os.version") + " on "
                + System.getProperty("os.arch"));
        out.printf(
                Locale.ROOT,
                "machine   %d processors, %.1f GiB for Java's heap%n",
                machine.availableProcessors(),
                machine.maxMemory() / (double) (1 << 30));
        out.println();
        out.println("devices (--device auto takes the first that is available)");
        for (BackendProvider provider : Backends.providers()) {
            BackendProvider.Availability availability = provider.availability();
            entry(
                    out,
                    provider.name(),
                    (availability.available() ? "available: " : "not available: ")
                            + availability.summary()
                            + (provider.preference() < 0 ? " (only when named)" : ""));
        }
        for (LibraryReport report : ServiceLoader.load(LibraryReport.class)) {
            out.println();
            out.println(report.title());
            report.entries().forEach(entry -> entry(out, entry.name(), entry.detail()));
        }
        out.println();
        out.println("data sets");
        for (String name : Datasets.names()) {
            entry(out, name, dataSet(name));
        }
        out.println();
        out.println("presets");
        for (String name : Presets.names()) {
            @Nullable String description = ConfigSource.of(name, null).load().description();
            out.println(String.format(Locale.ROOT, "  %-30s  %s", name, description == null ? "" : description));
        }
        out.flush();
        return 0;
    }

    private String dataSet(String name) {
        try {
            @Nullable String place = Datasets.whereabouts(name, DataSearch.standard(data));
            if (place == null) {
                return "not here; training with it says how to get it";
            }
            DataSplit split = Datasets.load(name, DataSearch.standard(data));
            return String.format(
                    Locale.ROOT,
                    "%s: %,d training and %,d test images of %dx%dx%d, %d classes",
                    place,
                    split.training().size(),
                    split.test().size(),
                    split.training().shape().channels(),
                    split.training().shape().height(),
                    split.training().shape().width(),
                    split.training().classes());
        } catch (DataException e) {
            return "not usable: " + e.getMessage();
        }
    }

    private static void entry(PrintWriter out, String name, String detail) {
        String indented = detail.strip().replace("\n", "\n" + " ".repeat(18));
        out.println(String.format(Locale.ROOT, "  %-16s%s", name, indented));
    }
}
