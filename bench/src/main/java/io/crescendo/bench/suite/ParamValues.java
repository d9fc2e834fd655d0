package io.crescendo.bench.suite;

import io.crescendo.bench.TrainingStep;
import io.crescendo.optim.Optimizer;
import java.util.Set;

/** Which values a parameter takes: a wrong one would be found row by row, after all the others were measured. */
final class ParamValues {
    private ParamValues() {}

    /**
     * Fails for a value that no benchmark can read.
     *
     * @param offered the values that are measured unless others are asked for: they show the parameter's type
     * @throws IllegalArgumentException naming parameter, value and what is expected
     */
    static void require(String name, String value, Set<String> offered) {
        if (offered.contains(value)) {
            return;
        }
        if (offered.stream().allMatch(one -> one.matches("\\d+"))) {
            wholeNumber(name, value, offered.contains("0") ? 0 : 1);
        } else if (offered.stream().allMatch(one -> one.matches("[\\d.]+"))) {
            if (!value.matches("\\d{1,9}(\\.\\d+)?") || Double.parseDouble(value) == 0) {
                throw wrong(name, value, "expected a number above 0, for example " + String.join(",", offered));
            }
        } else {
            switch (name) {
                case "network" -> network(value);
                case "optimizer" -> named(name, value, () -> Optimizer.named(value, TrainingStep.WEIGHT_DECAY));
                case "device", "precision" -> {} // opened before anything is measured
                default -> throw wrong(name, value, "known are " + String.join(", ", offered));
            }
        }
    }

    /** The number that a value is. */
    static int wholeNumber(String name, String value, int least) {
        if (!value.matches("\\d{1,9}") || Integer.parseInt(value) < least) {
            throw wrong(name, value, "expected a whole number from " + least + " to 999999999");
        }
        return Integer.parseInt(value);
    }

    /** Fails unless there is a network of this name. */
    static void network(String value) {
        named("network", value, () -> TrainingStep.network(value));
    }

    /**
     * Does what fails for a name that nothing has.
     *
     * @throws IllegalArgumentException that says of which parameter this is the value
     */
    private static void named(String name, String value, Runnable use) {
        try {
            use.run();
        } catch (IllegalArgumentException | IllegalStateException e) {
            throw new IllegalArgumentException("--param " + name + "=" + value + ": " + e.getMessage(), e);
        }
    }

    private static IllegalArgumentException wrong(String name, String value, String what) {
        return new IllegalArgumentException("--param " + name + "=" + value + ": " + what);
    }
}
