package io.crescendo.bench.suite;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What the suite is asked to do.
 *
 * @param parts in order
 * @param minutes in all, roughly
 * @param out results go here
 * @param force whether they replace those of an earlier run there
 * @param params values that replace those a benchmark lists
 * @param records earlier results
 */
record SuiteOptions(
        List<Part> parts, double minutes, Path out, boolean force, Map<String, List<String>> params, Path records) {
    static final String USAGE =
            "usage: bench/run --out DIR [--force] [--part PART,...] [--minutes 15] [--param NAME=VALUE[,VALUE...]]..."
                    + " [--records bench/records] [--prefix 'chrt -f 1']\nparts: " + Part.names();

    /**
     * Reads a command line.
     *
     * @throws IllegalArgumentException in one line that names the option, its value and what helps
     */
    static SuiteOptions parse(String... args) {
        List<Part> parts = new ArrayList<>(List.of(Part.values()));
        double minutes = 15;
        Path out = null;
        Map<String, List<String>> params = new LinkedHashMap<>();
        boolean force = false;
        Path records = Path.of("bench/records");
        for (Iterator<String> words = List.of(args).iterator(); words.hasNext(); ) {
            String option = words.next();
            if (option.equals("--force")) {
                force = true;
                continue;
            }
            if (!words.hasNext()) {
                throw new IllegalArgumentException("option '" + option + "' has no value; see bench/run --help");
            }
            String value = words.next();
            switch (option) {
                case "--part" ->
                    parts = Arrays.stream(value.split(",", -1)).map(Part::named).toList();
                case "--minutes" -> minutes = minutes(value);
                case "--out" -> out = Path.of(value);
                case "--records" -> records = existing(value);
                case "--param" -> addParam(params, value);
                default ->
                    throw new IllegalArgumentException(
                            "unknown option '" + option + "'; known are --out, --force, --part,"
                                    + " --minutes, --param, --records, --prefix, --list, --help");
            }
        }
        if (out == null) {
            throw new IllegalArgumentException(
                    "--out is missing: name a folder for the results, for example --out out/step");
        }
        return new SuiteOptions(List.copyOf(parts), minutes, out, force, params, records);
    }

    private static double minutes(String value) {
        double minutes;
        try {
            minutes = Double.parseDouble(value);
        } catch (NumberFormatException e) {
            minutes = Double.NaN;
        }
        if (!(minutes > 0 && minutes < 10_000)) {
            throw new IllegalArgumentException(
                    "--minutes " + value + ": expected a number above 0 and below 10,000, for example 15");
        }
        return minutes;
    }

    private static Path existing(String folder) {
        Path records = Path.of(folder);
        if (!Files.isDirectory(records)) {
            throw new IllegalArgumentException(
                    "--records " + folder + ": there is no such folder; name one that holds records, or leave it out");
        }
        return records;
    }

    private static void addParam(Map<String, List<String>> params, String text) {
        String[] pair = text.split("=", 2);
        if (pair.length < 2 || pair[1].isBlank()) {
            throw new IllegalArgumentException("--param " + text + ": expected NAME=VALUE, for example batch=32,128");
        }
        if (pair[1].contains("=")) {
            throw new IllegalArgumentException("--param " + text + ": commas separate values of one parameter; write"
                    + " --param " + text.replaceAll(",(?=[^,=]+=)", " --param "));
        }
        if (params.put(pair[0], Arrays.asList(pair[1].split(",", -1))) != null) {
            throw new IllegalArgumentException("--param " + text + ": " + pair[0]
                    + " is given twice; write its values behind one another, for example batch=32,128");
        }
    }
}
