package io.crescendo.bench.gpu;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * One case: both engines are prepared, take turns in short rounds and are asked for their memory.
 *
 * <p>A batch whose activations fill the device has no room for both at once: above {@link Settings#together} one runs
 * after the other, Crescendo before PyTorch and again after it, so that a device that warms up or slows down meanwhile
 * favours neither.
 *
 * <p>PyTorch is compiled in the first of {@link Settings#modes} that gets ready in time. While it tries one, the time
 * that the next one needs is kept back.
 */
final class CaseRun {
    /** What a large network needs to get ready, at least: nothing to compile, or with few choices. */
    private static final double EAGER_SECONDS = 15;

    private static final double COMPILED_SECONDS = 35;

    /** Between two cases of one network the time that compiling takes differs by less. */
    private static final double MARGIN = 1.25;

    /** Rounds last a little longer than they are asked to. */
    private static final double ROUND_OVERHEAD = 1.5;

    /** How it is measured. */
    record Settings(int rounds, double seconds, double caseLimit, int together, List<String> modes) {
        /** What the rounds of both take. */
        double roundsSeconds() {
            return 2 * rounds * seconds * ROUND_OVERHEAD;
        }

        /** Without as much there is no point in beginning a case. */
        double leastSeconds() {
            return roundsSeconds() + 2 * EAGER_SECONDS;
        }
    }

    /**
     * Both engines on one case.
     *
     * @param mode of torch.compile, or eager: the first that PyTorch got ready in
     * @param ratio Crescendo's images per second over PyTorch's
     * @param memoryRatio Crescendo's device memory over PyTorch's: of the processes if the driver tells, otherwise what
     *     one has allocated over what the other has reserved
     * @param notes what was done otherwise than asked
     * @param failures what an engine died of
     */
    record Outcome(
            Case measured,
            @Nullable Measurement crescendo,
            @Nullable Measurement pytorch,
            @Nullable String mode,
            @Nullable Double ratio,
            @Nullable Double memoryRatio,
            List<String> notes,
            List<String> failures) {}

    private enum Side {
        CRESCENDO,
        PYTORCH
    }

    /** A process that is ready to measure. */
    private static final class Prepared implements AutoCloseable {
        final Child child;
        final JsonNode state;

        Prepared(Child child, JsonNode state) {
            this.child = child;
            this.state = state;
        }

        @Override
        public void close() {
            child.close();
        }
    }

    private final Engines engines;
    private final Case measured;
    private final Settings settings;
    private final Map<String, Double> prepareSeconds;
    private final Deadline deadline;
    private final List<String> notes = new ArrayList<>();
    private final List<String> failures = new ArrayList<>();
    private final Map<Side, List<JsonNode>> answers = new EnumMap<>(Side.class);
    private final Map<Side, Measurement> results = new EnumMap<>(Side.class);
    private @Nullable String mode;

    /**
     * @param prepareSeconds the longest that PyTorch has needed so far, by mode, infinite for one that never worked;
     *     added to
     */
    CaseRun(Engines engines, Case measured, Settings settings, Map<String, Double> prepareSeconds, Deadline deadline) {
        this.engines = engines;
        this.measured = measured;
        this.settings = settings;
        this.prepareSeconds = prepareSeconds;
        this.deadline = deadline;
    }

    Outcome run(boolean withPyTorch) {
        if (!withPyTorch || measured.batch() <= settings.together) {
            inTurn(withPyTorch);
        } else {
            notes.add("one after the other, for both at once may not fit: Crescendo, PyTorch, Crescendo again");
            int before = (settings.rounds + 1) / 2;
            alone(Side.CRESCENDO, before);
            alone(Side.PYTORCH, settings.rounds);
            Measurement first = results.get(Side.CRESCENDO);
            if (first == null || deadline.left() < first.prepareSeconds() + roundsSeconds()) {
                note("Crescendo is not measured again: it failed, or there is no time left");
            } else if (settings.rounds > before) {
                alone(Side.CRESCENDO, settings.rounds - before);
            }
        }
        Measurement ours = results.get(Side.CRESCENDO);
        Measurement theirs = results.get(Side.PYTORCH);
        @Nullable
        Double ratio = ours == null || theirs == null ? null : ours.imagesPerSecond() / theirs.imagesPerSecond();
        return new Outcome(measured, ours, theirs, mode, ratio, memoryRatio(ours, theirs), notes, failures);
    }

    /** Both live; each round another one goes first, so that none always finds the device cool, or warm. */
    private void inTurn(boolean withPyTorch) {
        Map<Side, Prepared> ready = new EnumMap<>(Side.class);
        try {
            // One after the other: both choose their algorithms by timing them.
            for (Side side : withPyTorch ? Side.values() : new Side[] {Side.CRESCENDO}) {
                Prepared prepared = prepare(side);
                if (prepared != null) {
                    ready.put(side, prepared);
                }
            }
            for (int round = 0; round < settings.rounds; round++) {
                List<Side> order = new ArrayList<>(ready.keySet());
                for (int i = 0; i < order.size(); i++) {
                    Side side = order.get((i + round) % order.size());
                    if (!round(side, Objects.requireNonNull(ready.get(side)))) {
                        Objects.requireNonNull(ready.remove(side)).close();
                    }
                }
            }
            ready.forEach(this::result);
        } finally {
            ready.values().forEach(Prepared::close);
        }
    }

    private void alone(Side side, int rounds) {
        try (Prepared prepared = prepare(side)) {
            if (prepared == null) {
                return;
            }
            for (int round = 0; round < rounds; round++) {
                if (!round(side, prepared)) {
                    return;
                }
            }
            result(side, prepared);
        }
    }

    /** Null, with a failure noted, if it does not get ready. */
    private @Nullable Prepared prepare(Side side) {
        return side == Side.PYTORCH ? preparePyTorch() : prepareCrescendo();
    }

    private @Nullable Prepared prepareCrescendo() {
        try {
            return ready(engines.crescendo(measured), Math.min(settings.caseLimit, deadline.left() - roundsSeconds()));
        } catch (IOException e) {
            failures.add(Engines.CRESCENDO + ": " + e.getMessage());
            return null;
        }
    }

    private @Nullable Prepared preparePyTorch() {
        for (int i = 0; i < settings.modes.size(); i++) {
            String candidate = settings.modes.get(i);
            int cheaper = settings.modes.size() - 1 - i;
            Double before = prepareSeconds.get(candidate);
            // What worked before will again; what never did must leave time for the next.
            double keptBack = before != null || cheaper == 0 ? 0 : needed(settings.modes.get(i + 1));
            double share = Math.min(settings.caseLimit, deadline.left() - roundsSeconds() - keptBack);
            double expected = before == null ? needed(candidate) : MARGIN * before;
            if (cheaper > 0 && share < expected) {
                note(String.format(
                        Locale.ROOT,
                        "PyTorch without %s: it failed before, or takes more than the %.0f s that are left for it",
                        candidate,
                        Math.max(0, share)));
                continue;
            }
            try {
                Prepared prepared = ready(engines.torch(measured, candidate), share);
                prepareSeconds.merge(
                        candidate, prepared.state.path("prepareSeconds").asDouble(), Math::max);
                mode = candidate;
                return prepared;
            } catch (IOException e) {
                if (cheaper == 0) {
                    failures.add(Engines.PYTORCH + ": " + e.getMessage());
                } else {
                    note("PyTorch without " + candidate + ": " + e.getMessage());
                    // What never worked is not waited for again.
                    prepareSeconds.putIfAbsent(candidate, Double.POSITIVE_INFINITY);
                }
            }
        }
        return null;
    }

    private static double needed(String mode) {
        return mode.equals("eager") ? EAGER_SECONDS : COMPILED_SECONDS;
    }

    private void note(String text) {
        notes.add(text);
        System.out.println(measured.text() + ": " + text);
    }

    private double roundsSeconds() {
        return settings.roundsSeconds();
    }

    /** Waits for a process to get ready; one that does not is ended. */
    private Prepared ready(Child child, double limit) throws IOException {
        try {
            JsonNode state = child.answer(Math.max(1, limit));
            System.out.printf(
                    Locale.ROOT,
                    "%s: %s is ready after %.0f s (%s)%n",
                    measured.text(),
                    child.name(),
                    state.path("prepareSeconds").asDouble(),
                    state.path("description").asText());
            return new Prepared(child, state);
        } catch (IOException e) {
            child.close();
            throw e;
        }
    }

    /** Whether it lives; an engine that fails is left out of the rest of the case. */
    private boolean round(Side side, Prepared prepared) {
        try {
            double limit = Math.min(30 + 10 * settings.seconds, Math.max(1, deadline.left()));
            answers.computeIfAbsent(side, key -> new ArrayList<>())
                    .add(prepared.child.ask("measure " + settings.seconds, limit));
            return true;
        } catch (IOException e) {
            failures.add(prepared.child.name() + ": " + e.getMessage());
            return false;
        }
    }

    private void result(Side side, Prepared prepared) {
        try {
            results.put(
                    side,
                    Measurement.of(
                            measured.batch(),
                            prepared.state,
                            answers.getOrDefault(side, List.of()),
                            prepared.child.ask("memory", 30),
                            processBytes(prepared.child.pid())));
        } catch (IOException e) {
            failures.add(prepared.child.name() + ": " + e.getMessage());
        }
    }

    static @Nullable Double memoryRatio(@Nullable Measurement ours, @Nullable Measurement theirs) {
        if (ours == null || theirs == null) {
            return null;
        }
        Long mine = ours.processBytes();
        Long others = theirs.processBytes();
        if (mine != null && others != null && others > 0) {
            return (double) mine / others;
        }
        return theirs.reservedBytes() > 0 ? (double) ours.allocatedBytes() / theirs.reservedBytes() : null;
    }

    /** What the driver counts for a process, context included; null where nvidia-smi is missing or does not see it. */
    static @Nullable Long processBytes(long pid) {
        try {
            Process process = new ProcessBuilder(
                            "nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")
                    .redirectErrorStream(true)
                    .start();
            List<String> lines = process.inputReader().lines().toList();
            process.waitFor(10, TimeUnit.SECONDS);
            for (String line : lines) {
                String[] columns = line.split(",", -1);
                if (columns.length == 2
                        && columns[0].strip().equals(String.valueOf(pid))
                        && columns[1].strip().matches("\\d+")) {
                    return Long.parseLong(columns[1].strip()) << 20;
                }
            }
        } catch (IOException e) {
            return null;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return null;
    }
}
