package io.crescendo.cpu;

import io.crescendo.backend.UpdateRule;
import io.crescendo.backend.UpdateScalars;

/** The formula of an update on Java arrays: plain loops of a shape that the compiler vectorises. */
interface Arithmetic {
    /** Takes the numbers of this update. */
    void set(UpdateScalars scalars);

    /**
     * Updates the first {@code count} weights and their state.
     *
     * @param w weights
     * @param g summed gradients
     * @param a first state slot, if the rule has one
     * @param b second state slot, if the rule has one
     * @param decay λ for these parameters
     */
    void update(float[] w, float[] g, float[] a, float[] b, int count, float decay);

    static Arithmetic of(UpdateRule rule) {
        if (rule instanceof UpdateRule.Sgd) {
            return new Sgd();
        } else if (rule instanceof UpdateRule.Momentum) {
            return new Momentum();
        } else if (rule instanceof UpdateRule.Nesterov) {
            return new Nesterov();
        } else if (rule instanceof UpdateRule.Adam adam) {
            return new Adam(adam.beta2(), adam.epsilon(), false);
        } else if (rule instanceof UpdateRule.AdamW adamW) {
            return new Adam(adamW.beta2(), adamW.epsilon(), true);
        }
        throw new IllegalArgumentException("the cpu backend does not know the update rule " + rule);
    }

    /** w ← w − ε·g. */
    final class Sgd implements Arithmetic {
        private float rate;
        private float scale;

        @Override
        public void set(UpdateScalars scalars) {
            rate = (float) scalars.learningRate();
            scale = (float) scalars.gradientScale();
        }

        @Override
        public void update(float[] w, float[] g, float[] a, float[] b, int count, float decay) {
            float rate = this.rate;
            float scale = this.scale;
            for (int i = 0; i < count; i++) {
                w[i] -= rate * (scale * g[i] + decay * w[i]);
            }
        }
    }

    /** v ← m·v + g; w ← w − ε·v. */
    final class Momentum implements Arithmetic {
        private float rate;
        private float scale;
        private float momentum;

        @Override
        public void set(UpdateScalars scalars) {
            rate = (float) scalars.learningRate();
            scale = (float) scalars.gradientScale();
            momentum = (float) scalars.momentum();
        }

        @Override
        public void update(float[] w, float[] g, float[] v, float[] b, int count, float decay) {
            float rate = this.rate;
            float scale = this.scale;
            float momentum = this.momentum;
            for (int i = 0; i < count; i++) {
                float velocity = momentum * v[i] + scale * g[i] + decay * w[i];
                v[i] = velocity;
                w[i] -= rate * velocity;
            }
        }
    }

    /** v ← m·v + g; w ← w − ε·(g + m·v). */
    final class Nesterov implements Arithmetic {
        private float rate;
        private float scale;
        private float momentum;

        @Override
        public void set(UpdateScalars scalars) {
            rate = (float) scalars.learningRate();
            scale = (float) scalars.gradientScale();
            momentum = (float) scalars.momentum();
        }

        @Override
        public void update(float[] w, float[] g, float[] v, float[] b, int count, float decay) {
            float rate = this.rate;
            float scale = this.scale;
            float momentum = this.momentum;
            for (int i = 0; i < count; i++) {
                float gradient = scale * g[i] + decay * w[i];
                float velocity = momentum * v[i] + gradient;
                v[i] = velocity;
                w[i] -= rate * (gradient + momentum * velocity);
            }
        }
    }

    /** Adam, or with decoupled decay AdamW; the bias corrections are computed once per update, in double precision. */
    final class Adam implements Arithmetic {
        private final double beta2;
        private final float epsilon;
        private final boolean decoupled;
        private float rate;
        private float scale;
        private float beta1;
        private float correctedRate;
        private float inverseRootCorrection;

        Adam(double beta2, double epsilon, boolean decoupled) {
            this.beta2 = beta2;
            this.epsilon = (float) epsilon;
            this.decoupled = decoupled;
        }

        @Override
        public void set(UpdateScalars scalars) {
            rate = (float) scalars.learningRate();
            scale = (float) scalars.gradientScale();
            beta1 = (float) scalars.momentum();
            correctedRate =
                    (float) (scalars.learningRate() / (1 - Math.pow(scalars.momentum(), (double) scalars.update())));
            inverseRootCorrection = (float) (1 / Math.sqrt(1 - Math.pow(beta2, (double) scalars.update())));
        }

        @Override
        public void update(float[] w, float[] g, float[] a, float[] b, int count, float decay) {
            float coupledDecay = decoupled ? 0 : decay;
            float shrink = decoupled ? 1 - rate * decay : 1;
            float scale = this.scale;
            float beta1 = this.beta1;
            float beta2 = (float) this.beta2;
            float rest1 = 1 - beta1;
            float rest2 = (float) (1 - this.beta2);
            float rate = correctedRate;
            float root = inverseRootCorrection;
            float epsilon = this.epsilon;
            for (int i = 0; i < count; i++) {
                float gradient = scale * g[i] + coupledDecay * w[i];
                float first = beta1 * a[i] + rest1 * gradient;
                float second = beta2 * b[i] + rest2 * gradient * gradient;
                a[i] = first;
                b[i] = second;
                w[i] = shrink * w[i] - rate * first / ((float) Math.sqrt(second) * root + epsilon);
            }
        }
    }
}
