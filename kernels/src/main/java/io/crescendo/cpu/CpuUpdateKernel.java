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
 * A parameter update in one pass over the packs.
 *
 * <p>IMPLEMENTATION NOTES. The compiler turns loops over Java arrays into vector instructions, but not loops over
 * several native addresses, which might overlap. So a chunk that fits into the first-level cache is copied into arrays,
 * updated there and copied back: memory is read and written once, and the copies in the cache cost less than scalar
 * arithmetic would.
 */
final class CpuUpdateKernel implements UpdateKernel {
    /** Floats per chunk; four arrays of them fit into a first-level cache of 32 KiB. */
    private static final int CHUNK = 2048;

    private final Arithmetic arithmetic;
    private final List<Run> runs;
    private final FloatBuffer weights;
    private final FloatBuffer gradients;
    private final List<CpuDeviceMemory> state;
    private final FloatBuffer[] stateViews;
    private final float[] w = new float[CHUNK];
    private final float[] g = new float[CHUNK];
    private final float[] a = new float[CHUNK];
    private final float[] b = new float[CHUNK];
    private final float[] zeros = new float[CHUNK];

    private CpuUpdateKernel(Arithmetic arithmetic, List<Run> runs, ModelMemory model, List<CpuDeviceMemory> state) {
        this.arithmetic = arithmetic;
        this.runs = runs;
        this.state = state;
        this.weights = view(model.weights());
        this.gradients = view(model.gradients());
        this.stateViews = state.stream().map(CpuUpdateKernel::view).toArray(FloatBuffer[]::new);
    }

    private static FloatBuffer view(DeviceMemory memory) {
        return ((CpuDeviceMemory) memory).floats(0, memory.elements());
    }

    static CpuUpdateKernel prepare(
            CpuBackend backend,
            UpdateRule rule,
            ModelMemory model,
            ParameterPack parameters,
            Predicate<Parameter> decayed) {
        List<CpuDeviceMemory> state = new ArrayList<>();
        for (int i = 0; i < rule.stateSlots(); i++) {
            state.add((CpuDeviceMemory) backend.allocate(parameters.elements()));
        }
        return new CpuUpdateKernel(Arithmetic.of(rule), Run.of(parameters, decayed), model, state);
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
        arithmetic.set(scalars);
        for (int i = 0; i < runs.size(); i++) {
            Run run = runs.get(i);
            float decay = run.decayed ? (float) scalars.weightDecay() : 0;
            for (int from = run.from; from < run.to; from += CHUNK) {
                chunk(from, Math.min(CHUNK, run.to - from), decay);
            }
        }
    }

    private void chunk(int from, int count, float decay) {
        weights.get(from, w, 0, count);
        gradients.get(from, g, 0, count);
        if (stateViews.length > 0) {
            stateViews[0].get(from, a, 0, count);
        }
        if (stateViews.length > 1) {
            stateViews[1].get(from, b, 0, count);
        }
        arithmetic.update(w, g, a, b, count, decay);
        weights.put(from, w, 0, count);
        gradients.put(from, zeros, 0, count);
        if (stateViews.length > 0) {
            stateViews[0].put(from, a, 0, count);
        }
        if (stateViews.length > 1) {
            stateViews[1].put(from, b, 0, count);
        }
    }

    @Override
    public List<DeviceMemory> state() {
        return List.copyOf(state);
    }

    @Override
    public void close() {
        state.forEach(CpuDeviceMemory::close);
    }
}
