package io.crescendo.cli.commands;

import io.crescendo.cli.run.MemoryBudget;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Reads a memory budget: {@code 8GiB}, {@code 512MiB}, {@code 1.5GB}, {@code 1073741824}, or a share {@code 80%}. */
final class MemorySize implements ITypeConverter<MemoryBudget> {
    private static final Pattern FORM = Pattern.compile("(\\d+(?:\\.\\d+)?)\\s*([a-zA-Z]*)");
    private static final Map<String, Long> UNITS = Map.ofEntries(
            Map.entry("", 1L),
            Map.entry("b", 1L),
            Map.entry("kib", 1L << 10),
            Map.entry("mib", 1L << 20),
            Map.entry("gib", 1L << 30),
            Map.entry("tib", 1L << 40),
            Map.entry("k", 1L << 10),
            Map.entry("m", 1L << 20),
            Map.entry("g", 1L << 30),
            Map.entry("kb", 1000L),
            Map.entry("mb", 1000_000L),
            Map.entry("gb", 1000_000_000L),
            Map.entry("tb", 1000_000_000_000L));

    private static final Pattern SHARE = Pattern.compile("(\\d+(?:\\.\\d+)?)\\s*%");

    @Override
    public MemoryBudget convert(String value) {
        Matcher share = SHARE.matcher(value.trim());
        if (share.matches()) {
            double percent = Double.parseDouble(share.group(1));
            if (!(percent > 0 && percent <= 100)) {
                throw new TypeConversionException("'" + value + "' must be more than 0% and at most 100%");
            }
            return new MemoryBudget(Long.MAX_VALUE, percent / 100);
        }
        Matcher matcher = FORM.matcher(value.trim());
        Long unit = matcher.matches() ? UNITS.get(matcher.group(2).toLowerCase(Locale.ROOT)) : null;
        if (unit == null) {
            throw new TypeConversionException(
                    "'" + value
                            + "' is not an amount of memory; write 8GiB, 512MiB, bytes, or a share of the device's such as 80%");
        }
        BigDecimal bytes = new BigDecimal(matcher.group(1)).multiply(BigDecimal.valueOf(unit));
        if (bytes.signum() <= 0 || bytes.compareTo(BigDecimal.valueOf(Long.MAX_VALUE)) > 0) {
            throw new TypeConversionException("'" + value + "' must be more than 0 and less than 8 EiB");
        }
        return new MemoryBudget(bytes.setScale(0, RoundingMode.FLOOR).longValueExact(), 0);
    }
}
