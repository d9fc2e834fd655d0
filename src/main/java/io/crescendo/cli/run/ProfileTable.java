package io.crescendo.cli.run;

import io.crescendo.autograd.Op;
import io.crescendo.train.StepProfile;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/** A step's time by kinds of operations, and the operations that take longest. */
public final class ProfileTable {
    private static final int LONGEST = 10;

    private ProfileTable() {}

    /** Several lines; no line break at the end. */
    public static String text(StepProfile profile) {
        double sum = profile.sumSeconds();
        List<List<String>> kinds = new ArrayList<>();
        kinds.add(List.of("operation", "count", "ms", "share", "GFLOP/s"));
        for (StepProfile.Kind kind : profile.kinds()) {
            kinds.add(line(kind.name(), String.valueOf(kind.count()), kind.seconds(), sum, kind.flops()));
        }
        kinds.add(line("update", "1", profile.updateSeconds(), sum, 0));
        List<List<String>> longest = new ArrayList<>();
        longest.add(List.of("longest operations", "ms", "share"));
        IntStream.range(0, profile.operationSeconds().size())
                .boxed()
                .sorted(Comparator.comparingDouble(profile.operationSeconds()::get)
                        .reversed())
                .limit(LONGEST)
                .forEach(op -> longest.add(List.of(
                        named(profile.program().ops().get(op)),
                        millis(profile.operationSeconds().get(op)),
                        percent(profile.operationSeconds().get(op), sum))));
        return String.format(
                Locale.ROOT,
                "a step takes %s ms, %,.0f images/s; its operations one by one %s ms%n%n%s%n%n%s",
                millis(profile.stepSeconds()),
                profile.imagesPerSecond(),
                millis(sum),
                Columns.text(kinds),
                Columns.text(longest));
    }

    private static List<String> line(String name, String count, double seconds, double sum, double flops) {
        return List.of(
                name,
                count,
                millis(seconds),
                percent(seconds, sum),
                flops == 0 ? "-" : String.format(Locale.ROOT, "%,.0f", flops / seconds * 1e-9));
    }

    /** {@code Conv2d group1.block1.conv1 (32, 64, 32, 32)}: what it is and what it makes. */
    private static String named(Op op) {
        return op.name()
                + op.outputs().stream()
                        .findFirst()
                        .map(output -> " " + output.name() + " " + output.shape())
                        .orElse("");
    }

    private static String millis(double seconds) {
        return String.format(Locale.ROOT, "%,.3f", 1e3 * seconds);
    }

    private static String percent(double part, double whole) {
        return String.format(Locale.ROOT, "%.1f %%", 100 * part / whole);
    }
}
