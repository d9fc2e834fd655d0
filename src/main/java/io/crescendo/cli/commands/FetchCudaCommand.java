package io.crescendo.cli.commands;

import io.crescendo.backend.LibraryDownload;
import io.crescendo.cli.UserError;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.URI;
import java.nio.file.Path;
import java.util.Locale;
import java.util.ServiceLoader;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Brings CUDA's libraries to a machine that has only the driver. */
@Command(
        name = "fetch-cuda",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Downloads CUDA's libraries (2 GB) for machines that have only NVIDIA's driver.",
            "They go to $XDG_CACHE_HOME/crescendo/cuda, or ~/.cache/crescendo/cuda, where --device cuda finds them;"
                    + " 4 GB must be free there. An interrupted download goes on where it ended."
        },
        footer = {
            "",
            "Examples:",
            "  crescendo fetch-cuda",
            "  crescendo fetch-cuda --repository https://maven.example.org/central/"
        })
public final class FetchCudaCommand implements Callable<Integer> {
    private static final String NAME = "cuda";

    /** Steps of progress that are worth a line. */
    private static final int PERCENT = 5;

    @Spec
    private @Nullable CommandSpec spec;

    @Option(names = "--repository", paramLabel = "URL", description = "A mirror of Maven Central.")
    private @Nullable URI repository;

    @Override
    public Integer call() {
        PrintWriter out = Commands.out(spec);
        LibraryDownload download = ServiceLoader.load(LibraryDownload.class).stream()
                .map(ServiceLoader.Provider::get)
                .filter(each -> each.name().equals(NAME))
                .findFirst()
                .orElseThrow(() -> UserError.failure("the CUDA backend is not part of this program", null));
        out.println(download.description());
        out.flush();
        try {
            Path place = download.fetch(from(download), new Progress(out));
            out.println("libraries are in " + place + "; 'crescendo info' says what they are good for");
            out.flush();
            return 0;
        } catch (IOException e) {
            throw UserError.failure(e.getMessage() == null ? e.toString() : e.getMessage(), e);
        }
    }

    private URI from(LibraryDownload download) {
        URI chosen = repository;
        if (chosen == null) {
            return download.repository();
        }
        if (!chosen.isAbsolute()) {
            throw UserError.usage("--repository " + chosen + ": must be an address, such as " + download.repository());
        }
        return chosen.toString().endsWith("/") ? chosen : URI.create(chosen + "/");
    }

    /** A line at every twentieth of a step: readable in a log as well. */
    private static final class Progress implements LibraryDownload.Progress {
        private final PrintWriter out;
        private String step = "";
        private long percent;

        Progress(PrintWriter out) {
            this.out = out;
        }

        @Override
        public void at(String newStep, long doneBytes, long totalBytes) {
            long now = 100 * doneBytes / Math.max(1, totalBytes) / PERCENT * PERCENT;
            if (!newStep.equals(step) || now > percent) {
                step = newStep;
                percent = now;
                out.printf(
                        Locale.ROOT,
                        "%-12s %3d %%  %,d of %,d MB%n",
                        step,
                        now,
                        doneBytes / 1_000_000,
                        totalBytes / 1_000_000);
                out.flush();
            }
        }
    }
}
