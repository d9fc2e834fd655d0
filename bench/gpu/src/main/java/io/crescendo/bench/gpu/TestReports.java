package io.crescendo.bench.gpu;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * What JUnit's XML reports below a folder add up to.
 *
 * @param tests found
 * @param failed failures and errors
 * @param skipped of the tests found
 */
record TestReports(int tests, int failed, int skipped) {
    private static final Pattern SUITE = Pattern.compile("<testsuite [^>]*>");

    /** Reads every report; a folder that is not there has none. */
    static TestReports in(Path folder) throws IOException {
        int tests = 0;
        int failed = 0;
        int skipped = 0;
        if (Files.isDirectory(folder)) {
            List<Path> files;
            try (Stream<Path> all = Files.walk(folder)) {
                files = all.filter(file -> file.toString().endsWith(".xml")).toList();
            }
            for (Path file : files) {
                Matcher suite = SUITE.matcher(Files.readString(file));
                if (suite.find()) {
                    tests += number(suite.group(), "tests");
                    failed += number(suite.group(), "failures") + number(suite.group(), "errors");
                    skipped += number(suite.group(), "skipped");
                }
            }
        }
        return new TestReports(tests, failed, skipped);
    }

    int ran() {
        return tests - skipped;
    }

    String text() {
        return tests + " tests, " + failed + " failed, " + skipped + " skipped";
    }

    private static int number(String element, String attribute) {
        Matcher matcher = Pattern.compile(" " + attribute + "=\"(\\d+)\"").matcher(element);
        return matcher.find() ? Integer.parseInt(matcher.group(1)) : 0;
    }
}
