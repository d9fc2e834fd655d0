package io.crescendo.bench.gpu;

import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Judges JUnit's reports: on a GPU, tests that all skip have shown nothing. */
@Command(name = "tests", description = "Judges the reports that the tests left.")
final class TestsCommand implements Callable<Integer> {
    @Option(names = "--folder", required = true, description = "Where the reports lie.")
    private Path folder = Path.of(".");

    @Option(names = "--device", defaultValue = "cuda", description = "What they ran on; on a CPU they may all skip.")
    private String device = "cuda";

    @Override
    public Integer call() throws IOException {
        TestReports reports = TestReports.in(folder);
        System.out.println(reports.text());
        if (device.equals("cuda") && reports.ran() == 0) {
            System.out.println("not one test ran on the device");
            return 1;
        }
        return reports.failed() == 0 ? 0 : 1;
    }
}
