package io.crescendo.optim;

import io.crescendo.backend.UpdateRule;
import java.util.Locale;

/**
 * How gradients become new weights.
 *
 * @param rule the formula
 * @param weightDecay λ, at least 0
 * @param decay which parameters it applies to
 * @param clipNorm the longest the averaged gradient of all parameters together may be; infinite for any length
 */
public record Optimizer(UpdateRule rule, double weightDecay, DecayPolicy decay, double clipNorm) {
    public Optimizer {
        if (!(clipNorm > 0)) {
            throw new IllegalArgumentException(
                    "the norm that gradients are clipped to must be positive, but is " + clipNorm);
        }
        if (!(weightDecay >= 0 && weightDecay < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("weight decay must be at least 0 and finite, but is " + weightDecay);
        }
    }

    /** Without clipping. */
    public Optimizer(UpdateRule rule, double weightDecay, DecayPolicy decay) {
        this(rule, weightDecay, decay, Double.POSITIVE_INFINITY);
    }

    /** Plain stochastic gradient descent; takes a plan without momentum. */
    public static Optimizer sgd(double weightDecay) {
        return new Optimizer(new UpdateRule.Sgd(), weightDecay, DecayPolicy.WEIGHTS);
    }

    /** SGD with momentum. */
    public static Optimizer momentum(double weightDecay) {
        return new Optimizer(new UpdateRule.Momentum(), weightDecay, DecayPolicy.WEIGHTS);
    }

    /** SGD with Nesterov's momentum. */
    public static Optimizer nesterov(double weightDecay) {
        return new Optimizer(new UpdateRule.Nesterov(), weightDecay, DecayPolicy.WEIGHTS);
    }

    /** Adam with β₂ = 0.999 and epsilon = 1e-8; β₁ is the plan's momentum. */
    public static Optimizer adam(double weightDecay) {
        return new Optimizer(new UpdateRule.Adam(0.999, 1e-8), weightDecay, DecayPolicy.WEIGHTS);
    }

    /** AdamW with β₂ = 0.999 and epsilon = 1e-8; β₁ is the plan's momentum. */
    public static Optimizer adamW(double weightDecay) {
        return new Optimizer(new UpdateRule.AdamW(0.999, 1e-8), weightDecay, DecayPolicy.WEIGHTS);
    }

    /** LARS with the trust 0.001 of its paper; momentum is the plan's. */
    public static Optimizer lars(double weightDecay) {
        return new Optimizer(new UpdateRule.Lars(1e-3), weightDecay, DecayPolicy.WEIGHTS);
    }

    /** LAMB with β₂ = 0.999 and the epsilon = 1e-6 of its paper; β₁ is the plan's momentum. */
    public static Optimizer lamb(double weightDecay) {
        return new Optimizer(new UpdateRule.Lamb(0.999, 1e-6), weightDecay, DecayPolicy.WEIGHTS);
    }

    /**
     * The optimizer of this name: sgd, momentum, nesterov, adam, adamw, lars or lamb.
     *
     * @throws IllegalArgumentException if there is none of this name
     */
    public static Optimizer named(String name, double weightDecay) {
        return switch (name.toLowerCase(Locale.ROOT)) {
            case "sgd" -> sgd(weightDecay);
            case "momentum" -> momentum(weightDecay);
            case "nesterov" -> nesterov(weightDecay);
            case "adam" -> adam(weightDecay);
            case "adamw" -> adamW(weightDecay);
            case "lars" -> lars(weightDecay);
            case "lamb" -> lamb(weightDecay);
            default ->
                throw new IllegalArgumentException("unknown optimizer '" + name
                        + "'; known are sgd, momentum, nesterov, adam, adamw, lars," + " lamb");
        };
    }

    /** The same with another decay policy. */
    public Optimizer withDecay(DecayPolicy policy) {
        return new Optimizer(rule, weightDecay, policy, clipNorm);
    }

    /** The same with longer gradients shortened to this norm. */
    public Optimizer withClipping(double norm) {
        return new Optimizer(rule, weightDecay, decay, norm);
    }
}
