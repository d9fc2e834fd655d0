package io.crescendo.cli.commands;

import io.crescendo.cli.run.Experiment;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** {@code never}, or epochs such as 0.5. */
final class CheckpointInterval implements ITypeConverter<Experiment.Saving> {
    @Override
    public Experiment.Saving convert(String value) {
        if (value.equals("never")) {
            return new Experiment.Saving(false, 0);
        }
        try {
            double epochs = Double.parseDouble(value);
            if (epochs > 0 && epochs < Double.POSITIVE_INFINITY) {
                return new Experiment.Saving(true, epochs);
            }
        } catch (NumberFormatException e) {
            // Said below, as for numbers that make no sense.
        }
        throw new TypeConversionException("'" + value + "' must be a positive number of epochs, or never");
    }
}
