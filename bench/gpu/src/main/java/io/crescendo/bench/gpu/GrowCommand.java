package io.crescendo.bench.gpu;

import io.crescendo.backend.Backend;
import io.crescendo.bench.GrowingStep;
import io.crescendo.nn.Network;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * Crescendo's side of {@code growth}: updates at batches that change in one process, timed one by one on request, by
 * the commands that {@code bench/peers/torch_step.py} understands.
 *
 * <p>Batches that were announced are waited for, as a phase of training is longer than preparing the next: updates at
 * the batch before go on meanwhile, and how long that took is part of the answer.
 */
@Command(name = "grow", description = "Updates at batches that change, timed on request.")
final class GrowCommand implements Callable<Integer> {
    private static final int WARM_UP = 12;

    @Mixin
    private StepOptions options = new StepOptions();

    @Option(names = "--batch", defaultValue = "128", description = "The first.")
    private int batch;

    @Option(names = "--to", split = ",", required = true, description = "Those to come.")
    private List<Integer> coming = List.of();

    @Option(names = "--announced", description = "Say ahead what comes.")
    private boolean announced;

    @Option(names = "--ghost-batch", defaultValue = "128", description = "Samples per batch-norm statistic.")
    private int ghostBatch;

    @Override
    public Integer call() throws IOException {
        Network network = options.network();
        long start = System.nanoTime();
        int largest = Math.max(batch, Collections.max(coming));
        try (Backend backend = options.open();
                GrowingStep growing = new GrowingStep(backend, network, ghostBatch, largest)) {
            if (announced) {
                List<Integer> ladder = new ArrayList<>(List.of(batch));
                ladder.addAll(coming);
                growing.announce(ladder);
            }
            for (int i = 0; i < WARM_UP; i++) {
                growing.update(batch, batch);
            }
            StepCommand.answer(Map.of(
                    "ready",
                    true,
                    "prepareSeconds",
                    (System.nanoTime() - start) * 1e-9,
                    "description",
                    backend.description() + ", ghost batch " + ghostBatch + (announced ? ", " : ", not ")
                            + "announced"));
            int present = batch;
            BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = commands.readLine(); line != null; line = commands.readLine()) {
                String[] words = line.strip().split(" ", -1);
                switch (words[0]) {
                    case "grow" -> {
                        int next = Integer.parseInt(words[1]);
                        StepCommand.answer(grow(growing, present, next, Integer.parseInt(words[2])));
                        present = next;
                    }
                    case "quit" -> {
                        return 0;
                    }
                    default -> throw new IllegalArgumentException("unknown command '" + line + "'");
                }
            }
        }
        return 0;
    }

    private Map<String, Object> grow(GrowingStep growing, int present, int next, int updates) {
        Map<String, Object> answer = new HashMap<>(Map.of("batch", next));
        if (announced && next != present) {
            long start = System.nanoTime();
            while (!growing.isPrepared(next)) {
                growing.update(present, present);
            }
            growing.update(present, next);
            answer.put("waitedSeconds", (System.nanoTime() - start) * 1e-9);
        }
        List<Double> millis = new ArrayList<>();
        double first = 0;
        double last = 0;
        for (int i = 0; i < updates; i++) {
            long start = System.nanoTime();
            last = growing.update(next, next);
            millis.add((System.nanoTime() - start) * 1e-6);
            first = i == 0 ? last : first;
        }
        if (!(last < first)) {
            throw new IllegalStateException(
                    "updates at batch " + next + " must lower the loss, but it went from " + first + " to " + last);
        }
        answer.put("millis", millis);
        answer.put("microBatches", growing.microBatches(next));
        return answer;
    }
}
