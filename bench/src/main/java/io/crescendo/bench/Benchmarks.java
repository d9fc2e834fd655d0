package io.crescendo.bench;

import java.io.IOException;
import java.util.Arrays;
import org.openjdk.jmh.Main;

/** What {@code java -jar bench/target/benchmarks.jar} starts: JMH with all its options, and {@link Gauges}. */
public final class Benchmarks {
    private Benchmarks() {}

    /** JMH's options. */
    public static void main(String[] args) throws IOException {
        Main.main(withGauges(args));
    }

    static String[] withGauges(String... args) {
        String[] all = Arrays.copyOf(args, args.length + 2);
        all[args.length] = "-prof";
        all[args.length + 1] = Gauges.class.getName();
        return all;
    }
}
