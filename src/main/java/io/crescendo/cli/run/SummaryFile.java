package io.crescendo.cli.run;

import io.crescendo.metrics.RunSummary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;

/** The file {@code summary.csv} of a comparison: one line per run, in full precision. */
public final class SummaryFile {
    /** The file's name in a comparison's folder. */
    public static final String NAME = "summary.csv";

    private static final String HEADER =
            "schedule,seed,epochs,updates,train_loss,test_loss,test_accuracy,images_per_second,seconds,peak_workspace_bytes";

    private SummaryFile() {}

    /** Replaces the file at once: whoever reads it sees the old or the new one, whole. */
    public static void write(Path folder, List<RunSummary> summaries) throws IOException {
        Path temporary = folder.resolve("." + NAME + ".new");
        Files.writeString(temporary, text(summaries));
        Files.move(
                temporary, folder.resolve(NAME), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    static String text(List<RunSummary> summaries) {
        StringBuilder text = new StringBuilder(HEADER).append('\n');
        for (RunSummary summary : summaries) {
            text.append(String.join(
                            ",",
                            summary.schedule(),
                            Long.toString(summary.seed()),
                            Double.toString(summary.epochs()),
                            Long.toString(summary.updates()),
                            Double.toString(summary.trainLoss()),
                            Double.toString(summary.testLoss()),
                            Double.toString(summary.testAccuracy()),
                            Double.toString(summary.imagesPerSecond()),
                            Double.toString(summary.seconds()),
                            Long.toString(summary.peakWorkspaceBytes())))
                    .append('\n');
        }
        return text.toString();
    }
}
