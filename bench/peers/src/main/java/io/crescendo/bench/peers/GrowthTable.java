package io.crescendo.bench.peers;

import io.crescendo.bench.Machine;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.function.ToDoubleFunction;

/** What raising the batch costs in every engine, as a table in Markdown. */
final class GrowthTable {
    private final Arguments arguments;
    private final Machine machine;
    private final List<GrowthSample> samples;

    GrowthTable(Arguments arguments, Machine machine, List<GrowthSample> samples) {
        this.arguments = arguments;
        this.machine = machine;
        this.samples = samples;
    }

    /** The end of one stage and the beginning of the next. */
    private record Switch(GrowthSample.Stage from, GrowthSample.Stage to) {
        double before() {
            return from.steadyMillis();
        }

        double first() {
            return to.firstMillis();
        }

        double steady() {
            return to.steadyMillis();
        }

        double cost() {
            return first() - steady();
        }
    }

    private record Key(String engine, String network, int from, int to) {}

    String text() {
        StringBuilder text = new StringBuilder(String.format(
                Locale.ROOT,
                "%s, %d of %d processors, %s, %s; load at the start %s%n"
                        + "Batches that grow in one process, float32, SGD with momentum and weight decay; "
                        + "medians of %d round(s), ms%n%n",
                machine.processor(),
                arguments.threads(),
                machine.processors(),
                String.join(" ", machine.vectors()),
                machine.time(),
                machine.load(),
                arguments.rounds()));
        text.append("| network | batch | engine | update before | first update after | steady update after |"
                + " extra cost = first - steady | extra over update before | first over steady |"
                + " prepared in time |\n|---|---|---|---:|---:|---:|---:|---:|---:|---|\n");
        Map<Key, List<Switch>> switches = switches();
        for (Key key : switches.keySet().stream()
                .sorted(Comparator.comparing(Key::network)
                        .thenComparingInt(Key::from)
                        .thenComparingInt(k -> arguments.engines().indexOf(k.engine)))
                .toList()) {
            List<Switch> all = Objects.requireNonNull(switches.get(key));
            text.append(String.format(
                    Locale.ROOT,
                    "| %s | %d to %d | %s | %.1f | %.1f | %.1f | %.1f | %.2f | %.2f | %s |%n",
                    key.network,
                    key.from,
                    key.to,
                    key.engine,
                    median(all, Switch::before),
                    median(all, Switch::first),
                    median(all, Switch::steady),
                    median(all, Switch::cost),
                    median(all, s -> s.cost() / s.before()),
                    median(all, s -> s.first() / s.steady()),
                    prepared(key.engine, all)));
        }
        text.append('\n');
        samples.stream()
                .map(GrowthSample::description)
                .distinct()
                .forEach(d -> text.append("- ").append(d).append('\n'));
        return text.toString();
    }

    private static String prepared(String engine, List<Switch> all) {
        long prepared = all.stream().filter(s -> s.to.prepared()).count();
        return engine.startsWith(Arguments.CRESCENDO) ? prepared + " of " + all.size() : "-";
    }

    private Map<Key, List<Switch>> switches() {
        Map<Key, List<Switch>> switches = new LinkedHashMap<>();
        for (GrowthSample sample : samples) {
            List<GrowthSample.Stage> stages = sample.stages();
            for (int i = 1; i < stages.size(); i++) {
                Switch one = new Switch(stages.get(i - 1), stages.get(i));
                Key key = new Key(sample.engine(), sample.network(), one.from.batch(), one.to.batch());
                switches.computeIfAbsent(key, k -> new ArrayList<>()).add(one);
            }
        }
        return switches;
    }

    private static double median(List<Switch> all, ToDoubleFunction<Switch> of) {
        return Sample.median(all.stream().mapToDouble(of).toArray());
    }
}
