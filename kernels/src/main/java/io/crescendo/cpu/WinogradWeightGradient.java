package io.crescendo.cpu;

import java.util.List;

/**
 * A run of the weight gradient, chunk after chunk: all threads fill the points, share out the products, and add what
 * came out.
 */
final class WinogradWeightGradient implements Step {
    private final CpuBackend backend;
    private final WinogradStage stage;
    private final int rows;
    private final int chunk;
    private final WinogradTiles in;
    private final WinogradTiles out;
    private final Binding.Floats image;
    private final Binding.Floats gradient;
    private final Binding.Floats patches;
    private final Binding.Floats gradients;
    private final List<Step> products;
    private final Workers.Task add;
    private final Workers.Task fill = this::fill;
    private final Workers.Task multiply = this::multiply;
    private Shard shard = new Shard();
    private int from;
    private int to;

    WinogradWeightGradient(
            CpuBackend backend,
            WinogradStage stage,
            int rows,
            int chunk,
            WinogradTiles in,
            WinogradTiles out,
            Binding.Floats image,
            Binding.Floats gradient,
            Binding.Floats patches,
            Binding.Floats gradients,
            List<Step> products,
            Workers.Task add) {
        this.backend = backend;
        this.stage = stage;
        this.rows = rows;
        this.chunk = chunk;
        this.in = in;
        this.out = out;
        this.image = image;
        this.gradient = gradient;
        this.patches = patches;
        this.gradients = gradients;
        this.products = products;
        this.add = add;
    }

    @Override
    public void run(Shard current) {
        shard = current;
        for (from = 0; from < rows; from = to) {
            to = Math.min(rows, from + chunk);
            backend.workers().run(fill);
            if (to - from < chunk) {
                // The products sum over all tiles of a chunk.
                WinogradStage.Arrays arrays = stage.threads().get(0);
                in.clearFrom(to - from, patches.buffer(), arrays);
                out.clearFrom(to - from, gradients.buffer(), arrays);
            }
            backend.workers().run(multiply);
            backend.workers().run(add);
        }
        backend.useThreads();
    }

    private void fill(int part, int parts) {
        int first = from + WinogradConvolutions.share(to - from, part, parts);
        int end = from + WinogradConvolutions.share(to - from, part + 1, parts);
        WinogradStage.Arrays arrays = stage.threads().get(part);
        in.patches(image.buffer(), patches.buffer(), arrays, from, first, end);
        out.gradientTiles(gradient.buffer(), gradients.buffer(), arrays, from, first, end);
    }

    private void multiply(int part, int parts) {
        OpenMp.omp_set_num_threads(1);
        for (int i = WinogradConvolutions.share(WinogradConvolutions.POINTS, part, parts);
                i < WinogradConvolutions.share(WinogradConvolutions.POINTS, part + 1, parts);
                i++) {
            products.get(i).run(shard);
        }
    }
}
