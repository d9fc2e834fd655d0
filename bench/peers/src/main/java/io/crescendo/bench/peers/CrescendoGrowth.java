package io.crescendo.bench.peers;

import io.crescendo.backend.Backend;
import io.crescendo.backend.BackendOptions;
import io.crescendo.backend.Backends;
import io.crescendo.bench.GrowingStep;
import java.util.List;

/**
 * Our own training with a growing batch.
 *
 * <p>Unlike the other engines' batches, ours are not tensors made beforehand: each is gathered and normalised by the
 * stream, in the background where its size is prepared, as in a training run.
 */
final class CrescendoGrowth implements GrowingEngine {
    /** Batches are not announced, so that each is prepared when it is asked for. */
    static final String UNANNOUNCED = "-unannounced";

    private final Backend backend;
    private final GrowingStep growing;
    private final boolean announced;

    /**
     * Opens the device.
     *
     * @param device its name, with {@value #UNANNOUNCED} at the end or without
     * @param ladder the batches to come, announced as a training plan's are
     */
    CrescendoGrowth(Task task, String device, int threads, List<Integer> ladder) {
        announced = !device.endsWith(UNANNOUNCED);
        backend = Backends.open(device.replace(UNANNOUNCED, ""), new BackendOptions(threads));
        int largest = ladder.get(ladder.size() - 1);
        // One statistic over the whole batch, as in the peers.
        growing = new GrowingStep(backend, task.network(), largest, largest);
        if (announced) {
            growing.announce(ladder);
        }
    }

    /** Whether {@link #step(int, int)} need not wait for this batch. */
    boolean isPrepared(int batch) {
        return growing.isPrepared(batch);
    }

    @Override
    public double step(int batch, int next) {
        return growing.update(batch, next);
    }

    @Override
    public String description() {
        return "Crescendo, " + backend.description() + (announced ? ", batches announced" : ", batches not announced");
    }

    @Override
    public void close() {
        growing.close();
        backend.close();
    }
}
