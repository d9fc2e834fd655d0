package io.crescendo.bench.peers;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What a comparison is asked to do.
 *
 * @param folder results go here
 * @param rounds how often every sample is taken
 * @param seconds timed part of a sample
 * @param threads of every engine
 * @param engines in the order of the table
 * @param cases network and batch of each column, as {@code network:batch}
 * @param prefix a command in front of every sample's own, for example {@code chrt -f 1} on a machine that others use
 */
public record Arguments(
        Path folder,
        int rounds,
        double seconds,
        int threads,
        List<String> engines,
        List<String> cases,
        List<String> prefix) {
    private static final List<String> PEERS = List.of("pytorch", "pytorch-tuned", "tensorflow", "deeplearning4j");

    static final String USAGE = "usage: bench/peers/run FOLDER [--rounds 3] [--seconds 3] [--threads 2]"
            + " [--engines crescendo:cpu,pytorch,pytorch-tuned,tensorflow,deeplearning4j]"
            + " [--cases wide-resnet-16-4:32,fashion-cnn:128,...] [--prefix 'chrt -f 1']";

    /** Reads the command line. */
    public static Arguments parse(String... args) {
        if (args.length % 2 == 0) {
            throw new IllegalArgumentException(USAGE);
        }
        int rounds = 3;
        double seconds = 3;
        int threads = 2;
        List<String> engines = List.of("crescendo:cpu", "pytorch", "pytorch-tuned", "tensorflow");
        List<String> cases = new ArrayList<>();
        for (int batch : new int[] {8, 32, 128}) {
            cases.add("wide-resnet-16-4:" + batch);
        }
        for (int batch : new int[] {32, 128, 512, 2048}) {
            cases.add("fashion-cnn:" + batch);
        }
        List<String> prefix = List.of();
        for (int i = 1; i < args.length; i += 2) {
            String value = args[i + 1];
            switch (args[i]) {
                case "--rounds" -> rounds = Integer.parseInt(value);
                case "--seconds" -> seconds = Double.parseDouble(value);
                case "--threads" -> threads = Integer.parseInt(value);
                case "--engines" -> engines = engines(value);
                case "--cases" -> cases = list(value, ",");
                case "--prefix" -> prefix = list(value, " ");
                default -> throw new IllegalArgumentException("unknown option '" + args[i] + "'; " + USAGE);
            }
        }
        if (rounds < 1 || !(seconds > 0) || threads < 1) {
            throw new IllegalArgumentException("rounds, seconds and threads must be positive, but are " + rounds + ", "
                    + seconds + ", " + threads);
        }
        return new Arguments(Path.of(args[0]), rounds, seconds, threads, engines, cases, prefix);
    }

    /** Known engines only: a misspelt one would be missed after minutes, as an empty row of the table. */
    private static List<String> engines(String value) {
        List<String> engines = list(value, ",");
        for (String engine : engines) {
            if (!engine.startsWith("crescendo:") && !PEERS.contains(engine)) {
                throw new IllegalArgumentException("unknown engine '" + engine + "'; known are crescendo:DEVICE"
                        + " (for example crescendo:cpu) and " + String.join(", ", PEERS));
            }
        }
        return engines;
    }

    private static List<String> list(String value, String separator) {
        return Arrays.stream(value.split(separator)).filter(s -> !s.isBlank()).toList();
    }
}
