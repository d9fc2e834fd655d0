package io.crescendo.cli.commands;

import io.crescendo.cli.config.Suggestion;
import io.crescendo.schedule.PlanVariant;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Reads the name of a schedule. */
final class ScheduleOption implements ITypeConverter<PlanVariant> {
    /** For help and shell completion. */
    static final class Names implements Iterable<String> {
        @Override
        public Iterator<String> iterator() {
            return names().iterator();
        }
    }

    @Override
    public PlanVariant convert(String value) {
        if (!names().contains(value)) {
            throw new TypeConversionException("unknown schedule '" + value + "'" + Suggestion.didYouMean(value, names())
                    + " Known: " + String.join(", ", names()));
        }
        return PlanVariant.named(value);
    }

    private static List<String> names() {
        return Arrays.stream(PlanVariant.values()).map(PlanVariant::label).toList();
    }
}
