package io.crescendo.cpu;

import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;

/**
 * A parameter update in one pass over the packs, behind one over the gradients that finds out whether they are finite.
 *
 * <p>IMPLEMENTATION NOTES. The compiler turns loops over Java arrays into vector instructions, but not loops over
 * several native addresses, which might overlap. So a chunk is copied into arrays, updated there and copied back:
 * memory is read and written once, and the copies in the cache cost less than scalar arithmetic would.
 *
 * <p>Chunks are short: a processor looks some hundred instructions ahead, so it fetches the next chunk's lines from
 * memory while it still computes on this one only if all of a chunk is no more instructions than that. Where chunks of
 * 2,048 floats moved 32 GB/s, those of 128 to 256 moved 50 to 70.
 */
final class CpuUpdateKernel implements UpdateKernel, Workers.Task {
    /** Floats per chunk: ten cache lines of each pack. */
    private static final int CHUNK = 160;

    /** Floats between one array and the next, so that no two threads' arrays share a cache line or a pair of them. */
    private static final int GAP = 32;

    /** Below this many parameters waking another thread takes longer than the update. */
    private static final int WORTH_SHARING = 1 << 17;

    private final Arithmetic arithmetic;
    private final List<Run> runs;
    private final UpdatePacks packs;
    private final Workers workers;
    private final Arrays[] arraysByPart;
    private final float[] zeros = new float[CHUNK];
    private final int elements;
    private float decay;

    /** One thread's copies of a chunk: weights, gradients, state. */
    private static final class Arrays {
        final float[] w = new float[CHUNK + GAP];
        final float[] g = new float[CHUNK + GAP];
        final float[] a = new float[CHUNK + GAP];
        final float[] b = new float[CHUNK + GAP];
    }

    private CpuUpdateKernel(CpuBackend backend, Arithmetic arithmetic, List<Run> runs, UpdatePacks packs) {
        this.workers = backend.workers();
        this.arraysByPart = new Arrays[workers.count()];
        for (int i = 0; i < arraysByPart.length; i++) {
            arraysByPart[i] = new Arrays();
        }
        this.elements = packs.weights.limit();
        this.arithmetic = arithmetic;
        this.runs = runs;
        this.packs = packs;
    }

    static CpuUpdateKernel prepare(
            CpuBackend backend,
            UpdateRule rule,
            ModelMemory model,
            ParameterPack parameters,
            Predicate<Parameter> decayed) {
        Arithmetic arithmetic = Arithmetic.of(rule);
        return new CpuUpdateKernel(
                backend, arithmetic, Run.of(parameters, decayed), new UpdatePacks(backend, rule, model));
    }

    /** Neighbouring parameters that are treated alike, alignment gaps between them included: those are all zero. */
    private record Run(int from, int to, boolean decayed) {
        static List<Run> of(ParameterPack parameters, Predicate<Parameter> decayed) {
            List<Run> runs = new ArrayList<>();
            List<Parameter> all = parameters.parameters();
            for (int i = 0; i < all.size(); i++) {
                boolean decays = decayed.test(all.get(i));
                int from = Math.toIntExact(all.get(i).offset());
                int to = Math.toIntExact(i + 1 < all.size() ? all.get(i + 1).offset() : parameters.elements());
                Run last = runs.isEmpty() ? null : runs.get(runs.size() - 1);
                if (last != null && last.decayed == decays) {
                    runs.set(runs.size() - 1, new Run(last.from, to, decays));
                } else {
                    runs.add(new Run(from, to, decays));
                }
            }
            return List.copyOf(runs);
        }
    }

    @Override
    public void apply(UpdateScalars scalars) {
        boolean shared = elements >= WORTH_SHARING;
        UpdateScalars admitted = packs.admitted(scalars, shared);
        if (admitted == null) {
            return;
        }
        arithmetic.set(admitted);
        decay = (float) scalars.weightDecay();
        if (shared) {
            workers.run(this);
        } else {
            run(0, 1);
        }
    }

    /** Updates one of several equal shares of the pack; cut at cache lines, so that no two threads write to one. */
    @Override
    public void run(int part, int parts) {
        int lines = (elements + ParameterPack.ALIGNMENT - 1) / ParameterPack.ALIGNMENT;
        int from = (int) ((long) lines * part / parts) * ParameterPack.ALIGNMENT;
        int to = Math.min(elements, (int) ((long) lines * (part + 1) / parts) * ParameterPack.ALIGNMENT);
        for (int i = 0; i < runs.size(); i++) {
            Run run = runs.get(i);
            int end = Math.min(to, run.to);
            for (int at = Math.max(from, run.from); at < end; at += CHUNK) {
                chunk(arraysByPart[part], at, Math.min(CHUNK, end - at), run.decayed ? decay : 0);
            }
        }
    }

    private void chunk(Arrays arrays, int from, int count, float chunkDecay) {
        FloatBuffer[] state = packs.state;
        packs.weights.get(from, arrays.w, 0, count);
        packs.gradients.get(from, arrays.g, 0, count);
        if (state.length > 0) {
            state[0].get(from, arrays.a, 0, count);
        }
        if (state.length > 1) {
            state[1].get(from, arrays.b, 0, count);
        }
        arithmetic.update(arrays.w, arrays.g, arrays.a, arrays.b, count, chunkDecay);
        packs.weights.put(from, arrays.w, 0, count);
        packs.gradients.put(from, zeros, 0, count);
        if (state.length > 0) {
            state[0].put(from, arrays.a, 0, count);
        }
        if (state.length > 1) {
            state[1].put(from, arrays.b, 0, count);
        }
    }

    @Override
    public List<DeviceMemory> state() {
        return packs.memories();
    }

    @Override
    public void close() {
        packs.close();
    }
}
