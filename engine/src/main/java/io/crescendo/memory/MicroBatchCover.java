package io.crescendo.memory;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.Set;
import java.util.TreeSet;

/**
 * Covers the batches of a whole run by a small set of micro-batch sizes.
 *
 * <p>A schedule with a few batches has a program for each; a smooth one visits hundreds, and preparing each for a
 * handful of updates would cost more than it gains. A batch is the exact sum of its micro-batches, gradients included,
 * so 1,408 samples may as well run as 1,024 + 384. The set of sizes is chosen to make
 *
 * <pre>sizes · preparation + Σ over batches of updates · micro-batches · overhead</pre>
 *
 * small: it starts from one equal split per batch, then sizes are dropped, those that serve the fewest updates first,
 * as long as that lowers the sum. All is multiples of the granule but a batch's own rest, which ends its last
 * micro-batch.
 *
 * <pre>{@code
 * MicroBatchCover cover = MicroBatchCover.of(demands, 128, 2048, MicroBatchCosts.TYPICAL);
 * cover.sizes(1408);   // [1024, 384]
 * }</pre>
 */
public final class MicroBatchCover {
    /** As many sizes are simply prepared: the paper's schedules have four phases, each with one ragged end. */
    public static final int ALWAYS_PREPARED = 12;

    /** More candidates than this are thinned out before any are weighed against each other. */
    private static final int MOST_CANDIDATES = 256;

    private final Map<Integer, List<Integer>> byBatch;

    private MicroBatchCover(Map<Integer, List<Integer>> byBatch) {
        this.byBatch = byBatch;
    }

    /**
     * A batch and how often it occurs.
     *
     * @param batch samples per update
     * @param updates updates with this batch
     */
    public record Demand(int batch, long updates) {}

    /**
     * Chooses the sizes for a run.
     *
     * @param granule micro-batches are multiples of it, but for the last of a batch
     * @param most the largest micro-batch that fits; a multiple of the granule, or at least the largest batch
     */
    public static MicroBatchCover of(List<Demand> demands, int granule, int most, MicroBatchCosts costs) {
        Map<Integer, List<Integer>> cover = new LinkedHashMap<>();
        for (Demand demand : demands) {
            cover.put(
                    demand.batch,
                    MicroBatches.split(demand.batch, MicroBatches.equalShare(demand.batch, granule, most)));
        }
        if (distinct(cover).size() <= ALWAYS_PREPARED) {
            return new MicroBatchCover(cover);
        }
        NavigableSet<Integer> sizes = new TreeSet<>(distinct(cover));
        if (sizes.size() > MOST_CANDIDATES) {
            sizes = grid(granule, sizes.last());
        }
        cover = cover(demands, granule, most, sizes);
        double best = cost(demands, cover, costs);
        for (int size : rarestFirst(demands, cover)) {
            if (distinct(cover).size() <= ALWAYS_PREPARED) {
                break;
            }
            NavigableSet<Integer> fewer = new TreeSet<>(sizes);
            fewer.remove(size);
            Map<Integer, List<Integer>> candidate = cover(demands, granule, most, fewer);
            double cost = cost(demands, candidate, costs);
            if (cost <= best) {
                best = cost;
                cover = candidate;
                sizes = fewer;
            }
        }
        return new MicroBatchCover(cover);
    }

    /** The micro-batches of a batch that was among the demands, in running order. */
    public List<Integer> sizes(int batch) {
        List<Integer> sizes = byBatch.get(batch);
        if (sizes == null) {
            throw new IllegalArgumentException("batch " + batch + " was not among those to cover: " + byBatch.keySet());
        }
        return sizes;
    }

    /** Whether this batch was among the demands. */
    public boolean covers(int batch) {
        return byBatch.containsKey(batch);
    }

    /** Every size that some batch uses. */
    public Set<Integer> sizes() {
        return distinct(byBatch);
    }

    private static Set<Integer> distinct(Map<Integer, List<Integer>> cover) {
        Set<Integer> sizes = new HashSet<>();
        cover.values().forEach(sizes::addAll);
        return sizes;
    }

    /** Sizes in steps of a quarter octave. */
    private static NavigableSet<Integer> grid(int granule, int largest) {
        NavigableSet<Integer> sizes = new TreeSet<>();
        for (double size = granule; size <= largest; size *= Math.pow(2, 0.25)) {
            sizes.add((int) size / granule * granule);
        }
        sizes.add(largest / granule * granule);
        return sizes;
    }

    private static Map<Integer, List<Integer>> cover(
            List<Demand> demands, int granule, int most, NavigableSet<Integer> sizes) {
        Map<Integer, List<Integer>> cover = new LinkedHashMap<>();
        for (Demand demand : demands) {
            cover.put(demand.batch, cover(demand.batch, granule, most, sizes));
        }
        return cover;
    }

    /** Largest first; what is left over is a size of its own, and the last because it may hold the ragged rest. */
    private static List<Integer> cover(int batch, int granule, int most, NavigableSet<Integer> sizes) {
        if (sizes.contains(batch)) {
            return List.of(batch);
        }
        List<Integer> parts = new ArrayList<>();
        int left = batch;
        Integer size = sizes.floor(left);
        while (size != null && left > 0) {
            if (size == left || size % granule == 0) {
                parts.add(size);
                left -= size;
                size = sizes.floor(Math.min(left, size));
            } else {
                size = sizes.lower(size);
            }
        }
        if (left > 0) {
            parts.addAll(MicroBatches.split(left, MicroBatches.equalShare(left, granule, most)));
        }
        return List.copyOf(parts);
    }

    private static double cost(List<Demand> demands, Map<Integer, List<Integer>> cover, MicroBatchCosts costs) {
        double cost = distinct(cover).size() * costs.preparationSamples();
        for (Demand demand : demands) {
            cost += (double) demand.updates * parts(cover, demand).size() * costs.overheadSamples();
        }
        return cost;
    }

    private static List<Integer> rarestFirst(List<Demand> demands, Map<Integer, List<Integer>> cover) {
        Map<Integer, Long> updates = new HashMap<>();
        for (Demand demand : demands) {
            parts(cover, demand).stream().distinct().forEach(size -> updates.merge(size, demand.updates, Long::sum));
        }
        return updates.entrySet().stream()
                .sorted(Map.Entry.<Integer, Long>comparingByValue()
                        .thenComparing(Map.Entry.comparingByKey(Comparator.reverseOrder())))
                .map(Map.Entry::getKey)
                .toList();
    }

    private static List<Integer> parts(Map<Integer, List<Integer>> cover, Demand demand) {
        return cover.getOrDefault(demand.batch, List.of());
    }
}
