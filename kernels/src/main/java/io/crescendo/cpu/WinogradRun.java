package io.crescendo.cpu;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * A run of a convolution, or of its input's gradient, in one of two orders.
 *
 * <p>By tiles, each thread takes its own tiles all the way, some at a time, and all the filters' points are made
 * before. By outputs, the tiles' points are made before, and each thread takes a few outputs at a time all the way,
 * their filters too. What is made before is read by each thread as often as it takes something, so it had better be
 * small.
 */
record WinogradRun(
        CpuBackend backend,
        WinogradStage stage,
        WinogradTiles in,
        WinogradTiles out,
        WinogradFilters transforms,
        Binding.Floats weights,
        List<Binding.Floats> filters,
        Binding.Floats image,
        List<Binding.Floats> patches,
        List<Step> products,
        List<Binding.Floats> sums,
        Binding.@Nullable Floats addend,
        boolean relu,
        Binding.Floats result) {
    private static final Shard NONE = new Shard(); // a primitive does not look at it

    /** So many rows of tiles at a time. */
    Step byTiles(int rows, int chunk) {
        Workers.Task tiles = (part, parts) -> {
            OpenMp.omp_set_num_threads(1);
            WinogradStage.Arrays arrays = stage.threads().get(part);
            FloatBuffer points = patches.get(part).buffer();
            int end = WinogradConvolutions.share(rows, part + 1, parts);
            for (int from = WinogradConvolutions.share(rows, part, parts); from < end; from += chunk) {
                int to = Math.min(end, from + chunk);
                in.patches(image.buffer(), points, arrays, from, from, to);
                products.get(part).run(NONE); // what lies at points beyond the last tile goes nowhere
                outputs(part, 0, from, to);
            }
        };
        return step(transforms.toPoints(weights, filters.get(0), stage), tiles);
    }

    /** All rows of tiles at a time. */
    Step byOutputs(int rows) {
        List<IntConsumer> toPoints = new ArrayList<>();
        IntStream.range(0, filters.size())
                .forEach(part -> toPoints.add(transforms.toPoints(
                        weights, filters.get(part), stage.threads().get(part))));
        Workers.Task tiles = (part, parts) -> in.patches(
                image.buffer(),
                patches.get(0).buffer(),
                stage.threads().get(part),
                0,
                WinogradConvolutions.share(rows, part, parts),
                WinogradConvolutions.share(rows, part + 1, parts));
        Workers.Task outputs = (part, parts) -> {
            OpenMp.omp_set_num_threads(1);
            int end = WinogradConvolutions.share(transforms.pieces(), part + 1, parts);
            for (int piece = WinogradConvolutions.share(transforms.pieces(), part, parts); piece < end; piece++) {
                toPoints.get(part).accept(piece);
                products.get(part).run(NONE);
                outputs(part, transforms.firstBlock(piece), 0, rows);
            }
        };
        return step(tiles, outputs);
    }

    private void outputs(int part, int firstBlock, int from, int to) {
        out.outputs(
                firstBlock,
                sums.get(part).buffer(),
                addend == null ? null : addend.buffer(),
                relu,
                result.buffer(),
                stage.threads().get(part),
                from,
                from,
                to);
    }

    private Step step(Workers.Task before, Workers.Task then) {
        return shard -> {
            backend.workers().run(before);
            backend.workers().run(then);
            backend.useThreads();
        };
    }
}
