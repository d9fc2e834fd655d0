package io.crescendo.reference;

import io.crescendo.backend.DeviceMemory;
import io.crescendo.backend.HostStepMetrics;
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

/** The formulas of {@link UpdateRule}, one parameter after another; the gaps between parameters stay zero. */
final class ReferenceUpdate implements UpdateKernel {
    private final UpdateRule rule;
    private final ParameterPack parameters;
    private final Predicate<Parameter> decayed;
    private final HostStepMetrics metrics;
    private final double[] weights;
    private final double[] gradients;
    private final List<ReferenceMemory> state = new ArrayList<>();

    ReferenceUpdate(
            UpdateRule rule,
            ModelMemory model,
            ParameterPack parameters,
            Predicate<Parameter> decayed,
            HostStepMetrics metrics) {
        this.rule = rule;
        this.parameters = parameters;
        this.decayed = decayed;
        this.metrics = metrics;
        model.requireFor(parameters, ReferenceMemory.class);
        weights = ReferenceMemory.of(model.weights()).values();
        gradients = ReferenceMemory.of(model.gradients()).values();
        for (int slot = 0; slot < rule.stateSlots(); slot++) {
            state.add(new ReferenceMemory(parameters.elements()));
        }
    }

    @Override
    public void apply(UpdateScalars given) {
        double norm = given.gradientScale() * norm(gradients);
        if (!Double.isFinite(norm)) {
            metrics.gradientWasNotFinite();
        }
        if (!metrics.skips()) {
            update(given.clipped(norm));
        }
        Arrays.fill(gradients, 0);
    }

    private void update(UpdateScalars scalars) {
        for (Parameter parameter : parameters.parameters()) {
            double decay = decayed.test(parameter) ? scalars.weightDecay() : 0;
            boolean adapts = decayed.test(parameter);
            if (rule instanceof UpdateRule.Lars lars) {
                lars(parameter, scalars, decay, adapts ? lars.trust() : 0);
            } else if (rule instanceof UpdateRule.Lamb lamb) {
                lamb(parameter, scalars, decay, lamb, adapts);
            } else {
                for (int i = (int) parameter.offset(); i < parameter.end(); i++) {
                    update(i, scalars, decay);
                }
            }
        }
    }

    private static double norm(double[] values) {
        double squares = 0;
        for (double value : values) {
            squares += value * value;
        }
        return Math.sqrt(squares);
    }

    private void update(int i, UpdateScalars scalars, double decay) {
        double rate = scalars.learningRate();
        double bare = scalars.gradientScale() * gradients[i];
        double g = bare + decay * weights[i];
        if (rule instanceof UpdateRule.Sgd) {
            weights[i] -= rate * g;
        } else if (rule instanceof UpdateRule.Momentum) {
            double[] v = state.get(0).values();
            v[i] = scalars.momentum() * v[i] + g;
            weights[i] -= rate * v[i];
        } else if (rule instanceof UpdateRule.Nesterov) {
            double[] v = state.get(0).values();
            v[i] = scalars.momentum() * v[i] + g;
            weights[i] -= rate * (g + scalars.momentum() * v[i]);
        } else if (rule instanceof UpdateRule.Adam adam) {
            weights[i] -= rate * adamStep(i, g, scalars, adam.beta2(), adam.epsilon());
        } else if (rule instanceof UpdateRule.AdamW adam) {
            weights[i] -= rate * decay * weights[i];
            weights[i] -= rate * adamStep(i, bare, scalars, adam.beta2(), adam.epsilon());
        } else {
            throw new IllegalStateException("no loops for " + rule);
        }
    }

    /** A trust of zero means a local rate of one. */
    private void lars(Parameter parameter, UpdateScalars scalars, double decay, double trust) {
        double weightSquares = 0;
        double gradientSquares = 0;
        for (int i = (int) parameter.offset(); i < parameter.end(); i++) {
            double bare = scalars.gradientScale() * gradients[i];
            weightSquares += weights[i] * weights[i];
            gradientSquares += bare * bare;
        }
        double size = Math.sqrt(weightSquares);
        double pull = Math.sqrt(gradientSquares) + decay * size;
        double localRate = trust > 0 && size > 0 && pull > 0 ? trust * size / pull : 1;
        double[] v = state.get(0).values();
        for (int i = (int) parameter.offset(); i < parameter.end(); i++) {
            double g = scalars.gradientScale() * gradients[i] + decay * weights[i];
            v[i] = scalars.momentum() * v[i] + localRate * g;
            weights[i] -= scalars.learningRate() * v[i];
        }
    }

    private void lamb(Parameter parameter, UpdateScalars scalars, double decay, UpdateRule.Lamb lamb, boolean adapts) {
        int first = (int) parameter.offset();
        double[] step = new double[(int) parameter.end() - first];
        double weightSquares = 0;
        double stepSquares = 0;
        for (int j = 0; j < step.length; j++) {
            double weight = weights[first + j];
            double bare = scalars.gradientScale() * gradients[first + j];
            step[j] = adamStep(first + j, bare, scalars, lamb.beta2(), lamb.epsilon()) + decay * weight;
            weightSquares += weight * weight;
            stepSquares += step[j] * step[j];
        }
        double localRate = adapts && weightSquares > 0 && stepSquares > 0 ? Math.sqrt(weightSquares / stepSquares) : 1;
        for (int j = 0; j < step.length; j++) {
            weights[first + j] -= scalars.learningRate() * localRate * step[j];
        }
    }

    private double adamStep(int i, double g, UpdateScalars scalars, double beta2, double epsilon) {
        double beta1 = scalars.momentum();
        double[] a = state.get(0).values();
        double[] b = state.get(1).values();
        a[i] = beta1 * a[i] + (1 - beta1) * g;
        b[i] = beta2 * b[i] + (1 - beta2) * g * g;
        double first = a[i] / (1 - Math.pow(beta1, (double) scalars.update()));
        double second = b[i] / (1 - Math.pow(beta2, (double) scalars.update()));
        return first / (Math.sqrt(second) + epsilon);
    }

    @Override
    public List<DeviceMemory> state() {
        return List.copyOf(state);
    }

    @Override
    public void close() {}
}
