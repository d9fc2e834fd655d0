package io.crescendo.cpu;

import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.ModelMemory;
import io.crescendo.backend.UpdateKernel;
import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.UpdateScalars;
import io.crescendo.tensor.Parameter;
import io.crescendo.tensor.ParameterPack;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;

/**
 * LARS and LAMB: one pass over the packs for the norms of every tensor, one for the step.
 *
 * <p>IMPLEMENTATION NOTES. Tensors are cut into pieces of one cache-sized chunk. Each piece leaves its sums of squares
 * in a place of its own and they are added in the order of the pieces, so the result does not depend on the number of
 * threads. LAMB's first pass writes the moments; the second computes the direction from them once more, which costs
 * less than keeping it.
 */
final class CpuLayerwiseUpdate implements UpdateKernel, Workers.Task {
    private static final int CHUNK = 2048;

    private final Workers workers;
    private final UpdatePacks packs;
    private final List<Piece> pieces;
    private final Tensors tensors;
    private final Rule rule;
    private final Chunk[] chunkByPart;
    private final float[] zeros = new float[CHUNK];
    /** For each piece the squares of its weights, then of what they are compared with. */
    private final double[] squares;

    private UpdateScalars scalars = new UpdateScalars(0, 0, 1, 0, 1);
    private boolean stepping;

    private CpuLayerwiseUpdate(CpuBackend backend, Rule rule, UpdatePacks packs, List<Piece> pieces, Tensors tensors) {
        this.workers = backend.workers();
        this.rule = rule;
        this.packs = packs;
        this.pieces = pieces;
        this.tensors = tensors;
        this.squares = new double[2 * pieces.size()];
        this.chunkByPart = new Chunk[workers.count()];
        Arrays.setAll(chunkByPart, part -> new Chunk());
    }

    /**
     * Prepares the update.
     *
     * @param rule {@link UpdateRule.Lars} or {@link UpdateRule.Lamb}
     */
    static CpuLayerwiseUpdate prepare(
            CpuBackend backend,
            UpdateRule rule,
            ModelMemory model,
            ParameterPack parameters,
            Predicate<Parameter> decayed) {
        Rule arithmetic = Rule.of(rule);
        List<Piece> pieces = new ArrayList<>();
        Tensors tensors = new Tensors(parameters.parameters().size());
        for (int tensor = 0; tensor < tensors.adapts.length; tensor++) {
            Parameter parameter = parameters.parameters().get(tensor);
            tensors.adapts[tensor] = decayed.test(parameter);
            int end = Math.toIntExact(parameter.end());
            for (int from = (int) parameter.offset(); from < end; from += CHUNK) {
                pieces.add(new Piece(from, Math.min(CHUNK, end - from), tensor));
            }
        }
        return new CpuLayerwiseUpdate(
                backend, arithmetic, new UpdatePacks(backend, rule, model), List.copyOf(pieces), tensors);
    }

    /** Part of one tensor. */
    private record Piece(int from, int count, int tensor) {}

    /** Per tensor: whether it decays and adapts; the norms of this update; the local rate that follows. */
    private static final class Tensors {
        final boolean[] adapts;
        final double[] weightSquares;
        final double[] otherSquares;
        final float[] localRate;

        Tensors(int count) {
            adapts = new boolean[count];
            weightSquares = new double[count];
            otherSquares = new double[count];
            localRate = new float[count];
        }
    }

    /** One thread's copies of a piece: weights, gradients or directions, state. */
    private static final class Chunk {
        final float[] w = new float[CHUNK];
        final float[] g = new float[CHUNK];
        final float[] a = new float[CHUNK];
        final float[] b = new float[CHUNK];
    }

    @Override
    public void apply(UpdateScalars newScalars) {
        UpdateScalars admitted = packs.admitted(newScalars, true);
        if (admitted == null) {
            return;
        }
        scalars = admitted;
        rule.set(scalars);
        stepping = false;
        workers.run(this);
        Arrays.fill(tensors.weightSquares, 0);
        Arrays.fill(tensors.otherSquares, 0);
        for (int i = 0; i < pieces.size(); i++) {
            int tensor = pieces.get(i).tensor;
            tensors.weightSquares[tensor] += squares[2 * i];
            tensors.otherSquares[tensor] += squares[2 * i + 1];
        }
        for (int i = 0; i < tensors.localRate.length; i++) {
            tensors.localRate[i] = tensors.adapts[i]
                    ? rule.localRate(Math.sqrt(tensors.weightSquares[i]), Math.sqrt(tensors.otherSquares[i]))
                    : 1;
        }
        stepping = true;
        workers.run(this);
    }

    @Override
    public void run(int part, int parts) {
        int first = (int) ((long) pieces.size() * part / parts);
        int end = (int) ((long) pieces.size() * (part + 1) / parts);
        Chunk chunk = chunkByPart[part];
        for (int i = first; i < end; i++) {
            Piece piece = pieces.get(i);
            float decay = tensors.adapts[piece.tensor] ? (float) scalars.weightDecay() : 0;
            packs.weights.get(piece.from, chunk.w, 0, piece.count);
            for (int slot = 0; slot < packs.state.length; slot++) {
                packs.state[slot].get(piece.from, slot == 0 ? chunk.a : chunk.b, 0, piece.count);
            }
            packs.gradients.get(piece.from, chunk.g, 0, piece.count);
            if (stepping) {
                rule.step(chunk, piece.count, decay, tensors.localRate[piece.tensor]);
                packs.weights.put(piece.from, chunk.w, 0, piece.count);
                packs.gradients.put(piece.from, zeros, 0, piece.count);
            } else {
                rule.compare(chunk, piece.count, decay);
                squares[2 * i] = sumOfSquares(chunk.w, piece.count);
                squares[2 * i + 1] = sumOfSquares(chunk.g, piece.count);
            }
            if (stepping == rule.stepWritesState()) {
                for (int slot = 0; slot < packs.state.length; slot++) {
                    packs.state[slot].put(piece.from, slot == 0 ? chunk.a : chunk.b, 0, piece.count);
                }
            }
        }
    }

    /** Four sums side by side: one alone would wait for each addition. */
    static double sumOfSquares(float[] x, int count) {
        double sum0 = 0;
        double sum1 = 0;
        double sum2 = 0;
        double sum3 = 0;
        int i = 0;
        for (; i + 3 < count; i += 4) {
            sum0 += (double) x[i] * x[i];
            sum1 += (double) x[i + 1] * x[i + 1];
            sum2 += (double) x[i + 2] * x[i + 2];
            sum3 += (double) x[i + 3] * x[i + 3];
        }
        for (; i < count; i++) {
            sum0 += (double) x[i] * x[i];
        }
        return (sum0 + sum1) + (sum2 + sum3);
    }

    /** The arithmetic of one rule. */
    private interface Rule {
        void set(UpdateScalars scalars);

        /** Leaves in g what the tensor's length is compared with. */
        void compare(Chunk chunk, int count, float decay);

        float localRate(double weightNorm, double otherNorm);

        void step(Chunk chunk, int count, float decay, float localRate);

        /** Whether the state changes in the second pass, or else in the first. */
        boolean stepWritesState();

        static Rule of(UpdateRule rule) {
            if (rule instanceof UpdateRule.Lars lars) {
                return new Lars(lars.trust());
            } else if (rule instanceof UpdateRule.Lamb lamb) {
                return new Lamb(lamb.beta2(), lamb.epsilon());
            }
            throw new IllegalArgumentException(rule + " does not look at the norms of tensors");
        }
    }

    /** v ← m·v + r·(g + λ·w); w ← w − ε·v. */
    private static final class Lars implements Rule {
        private final double trust;
        private float rate;
        private float scale;
        private float momentum;
        private double decay;

        Lars(double trust) {
            this.trust = trust;
        }

        @Override
        public void set(UpdateScalars scalars) {
            rate = (float) scalars.learningRate();
            scale = (float) scalars.gradientScale();
            momentum = (float) scalars.momentum();
            decay = scalars.weightDecay();
        }

        @Override
        public void compare(Chunk chunk, int count, float decay) {
            float[] g = chunk.g;
            float scale = this.scale;
            for (int i = 0; i < count; i++) {
                g[i] *= scale;
            }
        }

        @Override
        public float localRate(double weightNorm, double gradientNorm) {
            double pull = gradientNorm + decay * weightNorm;
            return weightNorm > 0 && pull > 0 ? (float) (trust * weightNorm / pull) : 1;
        }

        @Override
        public void step(Chunk chunk, int count, float decay, float localRate) {
            float[] w = chunk.w;
            float[] g = chunk.g;
            float[] v = chunk.a;
            float rate = this.rate;
            float scale = this.scale;
            float momentum = this.momentum;
            for (int i = 0; i < count; i++) {
                float velocity = momentum * v[i] + localRate * (scale * g[i] + decay * w[i]);
                v[i] = velocity;
                w[i] -= rate * velocity;
            }
        }

        @Override
        public boolean stepWritesState() {
            return true;
        }
    }

    /** u from Adam's moments and the decay; w ← w − ε·r·u. */
    private static final class Lamb implements Rule {
        private final double beta2;
        private final float epsilon;
        private float rate;
        private float scale;
        private double beta1;
        private float firstCorrection;
        private float rootCorrection;

        Lamb(double beta2, double epsilon) {
            this.beta2 = beta2;
            this.epsilon = (float) epsilon;
        }

        @Override
        public void set(UpdateScalars scalars) {
            rate = (float) scalars.learningRate();
            scale = (float) scalars.gradientScale();
            beta1 = scalars.momentum();
            firstCorrection = (float) (1 / (1 - Math.pow(beta1, (double) scalars.update())));
            rootCorrection = (float) (1 / Math.sqrt(1 - Math.pow(beta2, (double) scalars.update())));
        }

        @Override
        public void compare(Chunk chunk, int count, float decay) {
            float[] g = chunk.g;
            float[] a = chunk.a;
            float[] b = chunk.b;
            float scale = this.scale;
            float keep1 = (float) beta1;
            float keep2 = (float) beta2;
            float rest1 = (float) (1 - beta1);
            float rest2 = (float) (1 - beta2);
            for (int i = 0; i < count; i++) {
                float gradient = scale * g[i];
                a[i] = keep1 * a[i] + rest1 * gradient;
                b[i] = keep2 * b[i] + rest2 * gradient * gradient;
            }
            direction(chunk, count, decay);
        }

        /** Leaves u in g. */
        private void direction(Chunk chunk, int count, float decay) {
            float[] w = chunk.w;
            float[] u = chunk.g;
            float[] a = chunk.a;
            float[] b = chunk.b;
            float first = firstCorrection;
            float root = rootCorrection;
            float epsilon = this.epsilon;
            for (int i = 0; i < count; i++) {
                u[i] = first * a[i] / ((float) Math.sqrt(b[i]) * root + epsilon) + decay * w[i];
            }
        }

        @Override
        public float localRate(double weightNorm, double directionNorm) {
            return weightNorm > 0 && directionNorm > 0 ? (float) (weightNorm / directionNorm) : 1;
        }

        @Override
        public void step(Chunk chunk, int count, float decay, float localRate) {
            direction(chunk, count, decay);
            float[] w = chunk.w;
            float[] u = chunk.g;
            float local = rate * localRate;
            for (int i = 0; i < count; i++) {
                w[i] -= local * u[i];
            }
        }

        @Override
        public boolean stepWritesState() {
            return false;
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
