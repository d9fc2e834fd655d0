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
import java.util.stream.Stream;

/**
 * Covers the batches of a whole run by a small set of micro-batch sizes.
 *
 * <p>A schedule with a few batches has a program for each; a smooth one visits hundreds, and preparing each for a
 * handful of updates would cost more than it gains. A batch is the exact sum of its micro-batches, gradients included,
 * so 1,408 samples may as well run as 1,024 + 384. The set of sizes is chosen to make
 *
 * <pre>sizes · preparation + Σ over batches of updates · micro-batches · overhead</pre>
 *
 * small, and is the cheapest of three. The first is one equal split per batch. The second drops of its sizes those that
 * serve the fewest updates, as long as that lowers the sum. The third begins with granules times powers of two, which
 * leave each batch a rest below one granule, and adds sizes of the first that lower the sum: where batches are no
 * multiples of the granule, dropping finds little to share.
 *
 * <p>All micro-batches but a batch's last are multiples of the granule, so batches that leave different rests cannot
 * have all sizes in common, and no set is smaller than the number of rests.
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
        Map<Integer, List<Integer>> equal = new LinkedHashMap<>();
        for (Demand demand : demands) {
            equal.put(
                    demand.batch,
                    MicroBatches.split(demand.batch, MicroBatches.equalShare(demand.batch, granule, most)));
        }
        NavigableSet<Integer> sizes = new TreeSet<>(distinct(equal));
        if (sizes.size() <= ALWAYS_PREPARED) {
            return new MicroBatchCover(equal);
        }
        int largest = sizes.last();
        if (sizes.size() > MOST_CANDIDATES) {
            sizes = octaves(granule, largest, 4);
            if (largest >= granule) {
                sizes.add(largest / granule * granule);
            }
        }
        Search search = new Search(demands, granule, most, costs);
        Choice fewer = search.dropRare(search.choice(sizes));
        Choice more = search.dropRare(search.addSaving(search.choice(octaves(granule, largest, 1)), sizes));
        return new MicroBatchCover(Stream.of(search.choice(sizes, equal), fewer, more)
                .min(Comparator.comparingDouble(Choice::cost))
                .orElseThrow()
                .cover);
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

    /** Multiples of the granule, so many in an octave. */
    private static NavigableSet<Integer> octaves(int granule, int largest, int perOctave) {
        NavigableSet<Integer> sizes = new TreeSet<>();
        int granules = 1;
        for (int step = 1; granules <= largest / granule; step++) {
            sizes.add(granules * granule);
            granules = (int) Math.pow(2, (double) step / perOctave);
        }
        return sizes;
    }

    /**
     * What a set of sizes makes of the batches.
     *
     * @param sizes that batches may be put together from; rests come on top
     * @param cover the micro-batches of each batch
     * @param cost by the sum that is to be small
     */
    private record Choice(NavigableSet<Integer> sizes, Map<Integer, List<Integer>> cover, double cost) {
        boolean isSmall() {
            return distinct(cover).size() <= ALWAYS_PREPARED;
        }
    }

    /** The arguments of {@link #of}. */
    private record Search(List<Demand> demands, int granule, int most, MicroBatchCosts costs) {
        Choice choice(NavigableSet<Integer> sizes) {
            Map<Integer, List<Integer>> cover = new LinkedHashMap<>();
            demands.forEach(demand -> cover.put(demand.batch, parts(demand.batch, sizes)));
            return choice(sizes, cover);
        }

        Choice choice(NavigableSet<Integer> sizes, Map<Integer, List<Integer>> cover) {
            double cost = distinct(cover).size() * costs.preparationSamples();
            for (Demand demand : demands) {
                cost += (double) demand.updates
                        * cover.getOrDefault(demand.batch, List.of()).size()
                        * costs.overheadSamples();
            }
            return new Choice(sizes, cover, cost);
        }

        Choice dropRare(Choice choice) {
            Choice best = choice;
            for (int size : rarestFirst(choice)) {
                if (best.isSmall()) {
                    break;
                }
                NavigableSet<Integer> fewer = new TreeSet<>(best.sizes);
                fewer.remove(size);
                Choice candidate = choice(fewer);
                best = candidate.cost <= best.cost ? candidate : best;
            }
            return best;
        }

        Choice addSaving(Choice choice, NavigableSet<Integer> candidates) {
            Choice best = choice;
            for (int size : candidates.descendingSet()) {
                NavigableSet<Integer> more = new TreeSet<>(best.sizes);
                more.add(size);
                Choice candidate = choice(more);
                best = candidate.cost < best.cost ? candidate : best;
            }
            return best;
        }

        /** Largest first; what is left over is a size of its own, and the last because it may hold the ragged rest. */
        private List<Integer> parts(int batch, NavigableSet<Integer> sizes) {
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

        private List<Integer> rarestFirst(Choice choice) {
            Map<Integer, Long> updates = new HashMap<>();
            for (Demand demand : demands) {
                choice.cover.getOrDefault(demand.batch, List.of()).stream()
                        .distinct()
                        .filter(choice.sizes::contains)
                        .forEach(size -> updates.merge(size, demand.updates, Long::sum));
            }
            return updates.entrySet().stream()
                    .sorted(Map.Entry.<Integer, Long>comparingByValue()
                            .thenComparing(Map.Entry.comparingByKey(Comparator.reverseOrder())))
                    .map(Map.Entry::getKey)
                    .toList();
        }
    }
}
