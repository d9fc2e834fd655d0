package io.crescendo.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.backend.BackendProvider;
import io.crescendo.backend.Backends;
import io.crescendo.bench.suite.Grid;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.BenchmarkList;
import org.openjdk.jmh.runner.BenchmarkListEntry;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.format.OutputFormatFactory;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.VerboseMode;

class EveryBenchmarkTest {
    static Stream<String> benchmarks() {
        return BenchmarkList.defaultList()
                .getAll(OutputFormatFactory.createFormatInstance(System.out, VerboseMode.SILENT), List.of())
                .stream()
                .map(BenchmarkListEntry::getUsername)
                .distinct()
                .sorted();
    }

    /** One invocation in this JVM: what the benchmark asserts must hold and nothing may be thrown. */
    @ParameterizedTest
    @MethodSource("benchmarks")
    void runs(String benchmark) throws ClassNotFoundException, RunnerException {
        Map<String, String> first = firstValues(Class.forName(benchmark.substring(0, benchmark.lastIndexOf('.'))));
        requireDevice(first.get("device"));
        OptionsBuilder options = new OptionsBuilder();
        options.include("^" + Pattern.quote(benchmark) + "$")
                .mode(Mode.SingleShotTime)
                .forks(0)
                .warmupIterations(0)
                .measurementIterations(1)
                .verbosity(VerboseMode.SILENT)
                .shouldFailOnError(true);
        first.forEach((name, value) -> options.param(name, value));
        Collection<RunResult> results = new Runner(options.build()).run();
        assertEquals(1, results.size());
        RunResult result = results.iterator().next();
        assertTrue(result.getPrimaryResult().getScore() > 0, benchmark);
    }

    @Test
    void theListIsComplete() {
        List<String> names = benchmarks().toList();
        for (Class<?> known : List.of(
                TrainingStepBenchmark.class,
                UpdateBenchmark.class,
                GradientReductionBenchmark.class,
                GhostBatchNormBenchmark.class,
                PlanningBenchmark.class,
                BatchGrowthBenchmark.class,
                CopyBenchmark.class,
                ProductBenchmark.class,
                DataBenchmark.class,
                KernelBenchmark.class,
                NormKernelBenchmark.class)) {
            assertFalse(
                    names.stream().noneMatch(name -> name.startsWith(known.getName() + ".")),
                    known.getName() + " is not among " + names);
        }
    }

    private static void requireDevice(@Nullable String device) {
        if (device == null) {
            return;
        }
        List<String> reasons = new ArrayList<>();
        for (BackendProvider provider : Backends.providers()) {
            if (device.split(":", 2)[0].equals(provider.name())) {
                BackendProvider.Availability here = provider.availability();
                if (here.available()) {
                    return;
                }
                reasons.add(here.detail());
            }
        }
        Assumptions.abort("no device '" + device + "' here: " + reasons);
    }

    private static Map<String, String> firstValues(Class<?> benchmark) {
        Map<String, String> first = new LinkedHashMap<>();
        Grid.values(benchmark).forEach((name, values) -> first.put(name, values.get(0)));
        return first;
    }
}
