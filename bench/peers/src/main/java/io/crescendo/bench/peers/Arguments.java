package io.crescendo.bench.peers;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a comparison is asked to do.
 *
 * @param folder results go here
 * @param rounds how often every sample is taken
 * @param seconds timed part of a sample
 * @param threads of every engine
 * @param engines in the order of the table
 * @param cases network and batch of each column, as {@code network:batch}
 * @param growth instead of cases: batches that grow in one process, as {@code network:batch:batch...}
 * @param limitSeconds after which a sample is given up, so that a slow engine stalls nothing
 * @param slowWhereItFits whether {@code deeplearning4j} is left out where it was not seen to fit
 * @param prefix a command in front of every sample's own, for example {@code chrt -f 1} on a machine that others use
 */
public record Arguments(
        Path folder,
        int rounds,
        double seconds,
        int threads,
        List<String> engines,
        List<String> cases,
        List<String> growth,
        int limitSeconds,
        boolean slowWhereItFits,
        List<String> prefix) {
    /** What our own engines' names begin with. */
    static final String CRESCENDO = "crescendo:";

    /** Ten to twenty times slower than the others, and with every activation kept. */
    private static final String SLOW = "deeplearning4j";

    private static final List<String> PEERS = List.of("pytorch", "pytorch-tuned", "tensorflow", SLOW);

    static final String USAGE = "usage: bench/peers/run FOLDER [--rounds 3] [--seconds 3] [--threads 2]"
            + " [--engines crescendo:cpu,pytorch,pytorch-tuned,tensorflow,deeplearning4j]"
            + " [--cases wide-resnet-16-4:32,fashion-cnn:128,...] [--limit 180] [--prefix 'chrt -f 1']\n"
            + "   or: bench/peers/run FOLDER --growth 32:160:800,wide-resnet-16-4:8:40:200 [--rounds 3] [--threads 2]"
            + " [--engines crescendo:cpu,crescendo:cpu-unannounced,pytorch,pytorch-tuned,tensorflow] ...";

    /** Reads the command line. */
    public static Arguments parse(String... args) {
        if (args.length % 2 == 0) {
            throw new IllegalArgumentException(USAGE);
        }
        int rounds = 3;
        double seconds = 3;
        int threads = 2;
        @Nullable List<String> engines = null;
        List<String> cases = new ArrayList<>();
        for (int batch : new int[] {8, 32, 128}) {
            cases.add("wide-resnet-16-4:" + batch);
        }
        for (int batch : new int[] {32, 128, 512, 2048}) {
            cases.add("fashion-cnn:" + batch);
        }
        List<String> growth = List.of();
        int limitSeconds = 0;
        List<String> prefix = List.of();
        for (int i = 1; i < args.length; i += 2) {
            String value = args[i + 1];
            switch (args[i]) {
                case "--rounds" -> rounds = Integer.parseInt(value);
                case "--seconds" -> seconds = Double.parseDouble(value);
                case "--threads" -> threads = Integer.parseInt(value);
                case "--engines" -> engines = engines(value);
                case "--cases" -> cases = list(value, ",");
                case "--growth" -> growth = growth(value);
                case "--limit" -> limitSeconds = Integer.parseInt(value);
                case "--prefix" -> prefix = list(value, " ");
                default -> throw new IllegalArgumentException("unknown option '" + args[i] + "'; " + USAGE);
            }
        }
        if (limitSeconds == 0) {
            limitSeconds = growth.isEmpty() ? 180 : 900;
        }
        if (rounds < 1 || !(seconds > 0) || threads < 1 || limitSeconds < 1) {
            throw new IllegalArgumentException("rounds, seconds, threads and limit must be positive, but are " + rounds
                    + ", " + seconds + ", " + threads + ", " + limitSeconds);
        }
        boolean chosen = engines != null;
        if (engines == null) {
            engines = growth.isEmpty()
                    ? List.of("crescendo:cpu", "pytorch", "pytorch-tuned", "tensorflow", SLOW)
                    : List.of(
                            "crescendo:cpu",
                            "crescendo:cpu" + CrescendoGrowth.UNANNOUNCED,
                            "pytorch",
                            "pytorch-tuned",
                            "tensorflow");
        }
        if (!growth.isEmpty() && engines.contains(SLOW)) {
            throw new IllegalArgumentException("--growth: " + SLOW + " is not translated for batches that change");
        }
        return new Arguments(
                Path.of(args[0]), rounds, seconds, threads, engines, cases, growth, limitSeconds, !chosen, prefix);
    }

    /** Known engines only: a misspelt one would be missed after minutes, as an empty row of the table. */
    private static List<String> engines(String value) {
        List<String> engines = list(value, ",");
        for (String engine : engines) {
            if (!engine.startsWith(CRESCENDO) && !PEERS.contains(engine)) {
                throw new IllegalArgumentException("unknown engine '" + engine + "'; known are crescendo:DEVICE"
                        + " (for example crescendo:cpu) and " + String.join(", ", PEERS));
            }
        }
        return engines;
    }

    /** Ladders of at least two rising batches; without a network, the small one's. */
    private static List<String> growth(String value) {
        List<String> ladders = list(value, ",").stream()
                .map(ladder -> ladder.matches("\\d+(:\\d+)+") ? "fashion-cnn:" + ladder : ladder)
                .toList();
        for (String ladder : ladders) {
            if (!ladder.matches("[^:]+(:\\d+){2,}") || !rises(batches(ladder))) {
                throw new IllegalArgumentException(
                        "--growth " + ladder + ": expected rising batches, for example wide-resnet-16-4:8:40:200");
            }
        }
        return ladders;
    }

    private static boolean rises(String batches) {
        List<Integer> sizes =
                Arrays.stream(batches.split(":", -1)).map(Integer::valueOf).toList();
        return sizes.get(0) > 0 && sizes.stream().sorted().distinct().toList().equals(sizes);
    }

    /** The network of a case or ladder. */
    static String network(String each) {
        return each.substring(0, each.indexOf(':'));
    }

    /** The batch of a case, or the batches of a ladder. */
    static String batches(String each) {
        return each.substring(each.indexOf(':') + 1);
    }

    /** Whether an engine is measured on a case. */
    boolean measures(String engine, String each) {
        int largest = network(each).startsWith("fashion") ? 512 : 32;
        return !engine.equals(SLOW) || !slowWhereItFits || Integer.parseInt(batches(each)) <= largest;
    }

    private static List<String> list(String value, String separator) {
        return Arrays.stream(value.split(separator)).filter(s -> !s.isBlank()).toList();
    }
}
