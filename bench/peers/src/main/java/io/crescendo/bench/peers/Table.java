package io.crescendo.bench.peers;

import io.crescendo.bench.Machine;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;

/** Medians over the rounds, ratios and memory, as a table in Markdown. */
final class Table {
    private final Arguments arguments;
    private final Machine machine;
    private final Ceilings ceilings;
    private final List<Sample> samples;

    Table(Arguments arguments, Machine machine, Ceilings ceilings, List<Sample> samples) {
        this.arguments = arguments;
        this.machine = machine;
        this.ceilings = ceilings;
        this.samples = samples;
    }

    String text() {
        StringBuilder text = new StringBuilder();
        text.append(String.format(
                Locale.ROOT,
                "%s, %d of %d processors, %s, %s; load at the start %s%n"
                        + "Ceilings: float32 matrix product %.0f GFLOP/s (oneDNN %.0f, PyTorch %.0f), memory copy %.1f GB/s%n"
                        + "One training step, float32, SGD with momentum and weight decay; medians of %d round(s)%n%n",
                machine.processor(),
                arguments.threads(),
                machine.processors(),
                String.join(" ", machine.vectors()),
                machine.time(),
                machine.load(),
                ceilings.productGigaflops(),
                ceilings.oneDnnProductGigaflops(),
                ceilings.torchProductGigaflops(),
                ceilings.copyGigabytesPerSecond(),
                arguments.rounds()));
        section(text, "images/s", 0, this::imagesPerSecond);
        section(text, "% of the matrix product's ceiling", 0, this::shareOfCeiling);
        section(text, "peak resident MB, whole process", 0, this::residentMegabytes);
        section(text, "MB of it planned ahead, what dies within a step", 0, this::plannedMegabytes);
        section(text, "Crescendo's images/s over theirs", 2, this::ratio);
        section(text, "Crescendo's peak resident memory over theirs", 2, this::memoryRatio);
        best(text);
        samples.stream()
                .map(Sample::description)
                .distinct()
                .forEach(d -> text.append("- ").append(d).append('\n'));
        return text.toString();
    }

    private interface Cell {
        OptionalDouble at(String engine, String each);
    }

    private void section(StringBuilder text, String title, int digits, Cell cell) {
        head(text, title);
        for (String engine : arguments.engines()) {
            row(text, engine, digits, each -> cell.at(engine, each));
        }
        text.append('\n');
    }

    private void head(StringBuilder text, String title) {
        text.append("| ").append(title).append(" |");
        arguments.cases().forEach(each -> text.append(' ').append(each).append(" |"));
        text.append("\n|---|").append("---:|".repeat(arguments.cases().size())).append('\n');
    }

    private void row(StringBuilder text, String name, int digits, Function<String, OptionalDouble> cell) {
        text.append("| ").append(name).append(" |");
        for (String each : arguments.cases()) {
            OptionalDouble value = cell.apply(each);
            text.append(' ')
                    .append(
                            value.isPresent()
                                    ? String.format(Locale.ROOT, "%." + digits + "f", value.getAsDouble())
                                    : "-")
                    .append(" |");
        }
        text.append('\n');
    }

    private static OptionalDouble extreme(List<String> engines, String each, Cell cell, boolean largest) {
        DoubleStream values = engines.stream()
                .map(engine -> cell.at(engine, each))
                .filter(OptionalDouble::isPresent)
                .mapToDouble(OptionalDouble::getAsDouble);
        return largest ? values.max() : values.min();
    }

    /** What counts: not this or that peer, but the best of them in each column. */
    private void best(StringBuilder text) {
        List<String> peers = arguments.engines().stream()
                .filter(engine -> !engine.startsWith("crescendo"))
                .toList();
        if (peers.isEmpty()) {
            return;
        }
        head(text, "Crescendo over the best peer");
        row(text, "images/s", 2, each -> extreme(peers, each, this::ratio, false));
        row(text, "peak resident memory", 2, each -> extreme(peers, each, this::memoryRatio, true));
        text.append('\n');
    }

    private List<Sample> of(String engine, String each) {
        return samples.stream()
                .filter(s -> s.engine().equals(engine) && (s.network() + ":" + s.batch()).equals(each))
                .collect(Collectors.toList());
    }

    private OptionalDouble imagesPerSecond(String engine, String each) {
        return median(
                of(engine, each).stream().mapToDouble(Sample::imagesPerSecond).toArray());
    }

    private OptionalDouble shareOfCeiling(String engine, String each) {
        return median(of(engine, each).stream()
                .mapToDouble(s -> 100 * s.imagesPerSecond() * s.flopsPerImage() / 1e9 / ceilings.productGigaflops())
                .toArray());
    }

    private OptionalDouble residentMegabytes(String engine, String each) {
        return median(of(engine, each).stream()
                .mapToDouble(s -> s.peakResidentBytes() / 1e6)
                .toArray());
    }

    private OptionalDouble plannedMegabytes(String engine, String each) {
        return median(of(engine, each).stream()
                .mapToDouble(s -> s.plannedBytes() / 1e6)
                .filter(megabytes -> megabytes > 0)
                .toArray());
    }

    private OptionalDouble ratio(String engine, String each) {
        return quotient(ours(each, this::imagesPerSecond), imagesPerSecond(engine, each));
    }

    private OptionalDouble memoryRatio(String engine, String each) {
        return quotient(ours(each, this::residentMegabytes), residentMegabytes(engine, each));
    }

    private OptionalDouble ours(String each, Cell cell) {
        return arguments.engines().stream()
                .filter(engine -> engine.startsWith("crescendo"))
                .findFirst()
                .map(engine -> cell.at(engine, each))
                .orElse(OptionalDouble.empty());
    }

    private static OptionalDouble quotient(OptionalDouble over, OptionalDouble under) {
        return over.isPresent() && under.isPresent()
                ? OptionalDouble.of(over.getAsDouble() / under.getAsDouble())
                : OptionalDouble.empty();
    }

    private static OptionalDouble median(double... values) {
        return values.length == 0 ? OptionalDouble.empty() : OptionalDouble.of(Sample.median(values));
    }
}
