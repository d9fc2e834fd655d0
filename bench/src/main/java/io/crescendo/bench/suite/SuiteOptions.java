package io.crescendo.bench.suite;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What the suite is asked to do.
 *
 * @param parts in order
 * @param minutes in all, roughly
 * @param out results go here
 * @param params values that replace those a benchmark lists
 * @param records earlier results
 */
record SuiteOptions(List<Part> parts, double minutes, Path out, Map<String, List<String>> params, Path records) {
    static final String USAGE =
            "usage: bench/run --out DIR [--part PART,...] [--minutes 15] [--param NAME=VALUE,...]..."
                    + " [--records bench/records] [--prefix 'chrt -f 1']\nparts: " + Part.names();

    static SuiteOptions parse(String... args) {
        List<Part> parts = new ArrayList<>(List.of(Part.values()));
        double minutes = 15;
        Path out = null;
        Map<String, List<String>> params = new LinkedHashMap<>();
        Path records = Path.of("bench/records");
        for (int i = 0; i < args.length; i += 2) {
            if (i + 1 == args.length) {
                throw new IllegalArgumentException("option '" + args[i] + "' has no value\n" + USAGE);
            }
            String value = args[i + 1];
            switch (args[i]) {
                case "--part" ->
                    parts = Arrays.stream(value.split(",", -1)).map(Part::named).toList();
                case "--minutes" -> minutes = Double.parseDouble(value);
                case "--out" -> out = Path.of(value);
                case "--records" -> records = Path.of(value);
                case "--param" -> {
                    String[] pair = value.split("=", 2);
                    if (pair.length < 2 || pair[1].isBlank()) {
                        throw new IllegalArgumentException(
                                "--param " + value + ": expected NAME=VALUE, for example batch=32,128");
                    }
                    params.put(pair[0], Arrays.asList(pair[1].split(",", -1)));
                }
                default -> throw new IllegalArgumentException("unknown option '" + args[i] + "'\n" + USAGE);
            }
        }
        if (out == null) {
            throw new IllegalArgumentException("--out is missing: where shall the results go?\n" + USAGE);
        }
        if (!(minutes > 0 && minutes < 10_000)) {
            throw new IllegalArgumentException("--minutes must be positive, but is " + minutes);
        }
        return new SuiteOptions(List.copyOf(parts), minutes, out, params, records);
    }
}
