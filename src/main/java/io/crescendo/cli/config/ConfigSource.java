package io.crescendo.cli.config;

import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.exc.InputCoercionException;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.exc.InvalidFormatException;
import com.fasterxml.jackson.databind.exc.MismatchedInputException;
import com.fasterxml.jackson.databind.exc.UnrecognizedPropertyException;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import io.crescendo.cli.UserError;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.RecordComponent;
import java.nio.charset.MalformedInputException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.yaml.snakeyaml.error.Mark;
import org.yaml.snakeyaml.error.MarkedYAMLException;
import org.yaml.snakeyaml.reader.ReaderException;

/**
 * Where a configuration comes from: a preset, a file, and options on top.
 *
 * <p>Each layer replaces whole top-level keys of the one before: a file that states {@code learningRate} states all of
 * it.
 */
public final class ConfigSource {
    private final @Nullable String preset;
    private final @Nullable Path file;
    private final Map<String, Object> options = new LinkedHashMap<>();

    private ConfigSource(@Nullable String preset, @Nullable Path file) {
        this.preset = preset;
        this.file = file;
    }

    /** A preset, a file, or a file on top of a preset. */
    public static ConfigSource of(@Nullable String preset, @Nullable Path file) {
        return new ConfigSource(preset, file);
    }

    /** Replaces a key by an option's value; null leaves it as it is. */
    public ConfigSource with(String key, @Nullable Object value) {
        if (value != null) {
            options.put(key, value);
        }
        return this;
    }

    /**
     * Reads and checks everything.
     *
     * @throws UserError naming file, line and key
     */
    public RunConfig load() {
        YAMLMapper mapper = Yaml.mapper();
        ObjectNode merged = parse(mapper, "built-in defaults", Presets.defaults());
        if (preset != null) {
            merged.setAll(parse(mapper, "preset '" + preset + "'", Presets.yaml(preset)));
        }
        String text = "";
        if (file != null) {
            text = read(file);
            merged.setAll(parse(mapper, file.toString(), text));
            if (preset == null && !merged.has("name")) {
                merged.put("name", stem(file));
            }
        }
        double statedEpochs = merged.path("epochs").asDouble();
        options.forEach((key, value) -> merged.set(key, mapper.valueToTree(value)));
        try {
            // "momentum:" without a value would be read as zero, and train.
            for (RecordComponent component : RunConfig.class.getRecordComponents()) {
                JsonNode stated = merged.path(component.getName());
                if (component.getType().isPrimitive() && stated.isMissingNode()) {
                    RunConfig.require(component.getName(), null);
                }
                boolean empty = stated.isNull()
                        || (stated.isTextual() && stated.asText().isBlank());
                if (component.getType().isPrimitive() && empty) {
                    throw new InvalidKeyException(component.getName(), "has no value; give one or remove the line");
                }
            }
            RunConfig config = mapper.treeToValue(merged, RunConfig.class);
            // A shorter run keeps the shape of its learning rate.
            if (options.containsKey("epochs") && statedEpochs > 0 && config.learningRate() != null) {
                LearningRateConfig stretched = config.learningRate().stretched(config.epochs() / statedEpochs);
                merged.set("learningRate", mapper.valueToTree(stretched));
                config = mapper.treeToValue(merged, RunConfig.class);
            }
            return config.validated();
        } catch (InvalidKeyException e) {
            throw UserError.usage(place(e.key(), text) + e.getMessage(), e);
        } catch (JsonProcessingException e) {
            throw UserError.usage(describe(place("", text), text, e), e);
        }
    }

    /** For messages: where the user said it. */
    public String origin() {
        return file != null ? file.toString() : "preset '" + preset + "'";
    }

    private String place(String key, String text) {
        // Whether a shape of the learning rate is possible depends on how far it is stretched.
        String top =
                key.equals("learningRate") && options.containsKey("epochs") ? "epochs" : key.replaceAll("\\..*", "");
        if (options.containsKey(top)) {
            return "--" + top.replaceAll("([A-Z])", "-$1").toLowerCase(Locale.ROOT) + ": ";
        }
        if (file == null) {
            return "preset '" + preset + "': ";
        }
        long line = lineOf(key, text, Long.MAX_VALUE);
        return file + (line > 0 ? ":" + line : "") + ": ";
    }

    /** The last line up to a given one that states a dotted key, or 0 if none does. */
    private static long lineOf(String key, String text, long upTo) {
        String name = key.substring(key.lastIndexOf('.') + 1);
        Pattern stated = Pattern.compile((name.equals(key) ? "^" : "(^\\s+|[{,]\\s*)") + Pattern.quote(name) + "\\s*:");
        List<String> lines = text.lines().toList();
        for (int i = (int) Math.min(lines.size(), upTo) - 1; i >= 0; i--) {
            if (stated.matcher(lines.get(i)).find()) {
                return i + 1L;
            }
        }
        return 0;
    }

    private static ObjectNode parse(YAMLMapper mapper, String origin, String text) {
        try {
            JsonNode tree = mapper.readTree(text);
            if (tree == null || tree.isMissingNode() || tree.isNull()) {
                return mapper.createObjectNode();
            }
            if (!(tree instanceof ObjectNode object)) {
                throw UserError.usage(origin + ": expected keys and values such as 'epochs: 20', found "
                        + tree.getNodeType().toString().toLowerCase(Locale.ROOT));
            }
            // Read once for its faults: a tree no longer knows its lines.
            mapper.readValue(text, RunConfig.class);
            return object;
        } catch (JsonProcessingException e) {
            throw UserError.usage(describe(origin + ": ", text, e), e);
        }
    }

    private static String describe(String place, String text, JsonProcessingException e) {
        // Jackson keeps neither the reason nor the place that YAML's own exceptions tell of.
        if (e.getCause() instanceof MarkedYAMLException marked) {
            return at(place, marked.getProblemMark().getLine() + 1L) + "not readable as YAML: " + problem(marked);
        }
        if (e.getCause() instanceof ReaderException unreadable) {
            int end = text.indexOf(unreadable.getCodePoint()) + 1;
            return at(place, text.substring(0, end).lines().count())
                    + String.format(
                            Locale.ROOT,
                            "not readable as YAML: the character U+%04X is not allowed",
                            unreadable.getCodePoint());
        }
        @Nullable JsonLocation location = e.getLocation();
        long line = location == null ? 0 : location.getLineNr();
        if (e instanceof JsonMappingException mapping && !mapping.getPath().isEmpty()) {
            // The reader may have gone on to the next line before it found the fault.
            line = lineOf(path(mapping), text, line);
        }
        String at = at(place, line);
        Throwable fault = e instanceof JsonMappingException && e.getCause() != null ? e.getCause() : e;
        if (fault instanceof InputCoercionException tooLarge && e.getProcessor() instanceof JsonParser parser) {
            boolean isInt = tooLarge.getTargetType() == int.class;
            return at + number(parser) + ", but must be a whole number from "
                    + (isInt ? Integer.MIN_VALUE : Long.MIN_VALUE) + " to "
                    + (isInt ? Integer.MAX_VALUE : Long.MAX_VALUE);
        }
        if (fault.getCause() instanceof NumberFormatException && e.getProcessor() instanceof JsonParser parser) {
            return at + number(parser) + ", but must be a finite number";
        }
        if (e instanceof UnrecognizedPropertyException unknown) {
            List<String> known = Objects.requireNonNullElse(unknown.getKnownPropertyIds(), List.of()).stream()
                    .map(String::valueOf)
                    .sorted()
                    .toList();
            return at + "unknown key '" + path(unknown) + "'"
                    + (unknown.getPropertyName().matches("\\d+")
                            ? "; numbers are written with a point, as in 0.03"
                            : "")
                    + Suggestion.didYouMean(unknown.getPropertyName(), known) + "\nKnown here: "
                    + String.join(", ", known);
        }
        if (e instanceof InvalidFormatException wrong) {
            return at + path(wrong) + " is '" + wrong.getValue() + "', but must be " + kind(wrong.getTargetType());
        }
        if (e instanceof MismatchedInputException mismatch) {
            return at + path(mismatch) + " has the wrong form: must be " + kind(mismatch.getTargetType());
        }
        return at + "not readable as YAML: "
                + e.getOriginalMessage().lines().findFirst().orElse("");
    }

    private static String at(String place, long line) {
        return line > 0 ? place.substring(0, place.length() - 2) + ":" + line + ": " : place;
    }

    /** What is not closed is often noticed lines later: then both places are told. */
    private static String problem(MarkedYAMLException e) {
        @Nullable Mark context = e.getContextMark();
        if (context == null) {
            return e.getProblem();
        }
        return e.getProblem() + " " + e.getContext()
                + (context.getLine() == e.getProblemMark().getLine()
                        ? ""
                        : ", which began on line " + (context.getLine() + 1));
    }

    /** {@code seed is .nan}: faults of a number are the parser's own, which stands at it and knows its key. */
    private static String number(JsonParser parser) {
        String key = parser.getParsingContext().pathAsPointer().toString().substring(1);
        try {
            return key.replace('/', '.').replaceAll("\\.(\\d+)", ".[$1]") + " is " + parser.getText();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String path(JsonMappingException e) {
        return e.getPath().stream()
                .map(reference ->
                        reference.getFieldName() == null ? "[" + reference.getIndex() + "]" : reference.getFieldName())
                .collect(Collectors.joining("."));
    }

    private static String kind(@Nullable Class<?> type) {
        if (type == null) {
            return "something else";
        }
        if (type == int.class || type == long.class || type == Integer.class || type == Long.class) {
            return "a whole number";
        }
        if (type == double.class || type == Double.class) {
            return "a number";
        }
        if (type == boolean.class) {
            return "true or false";
        }
        if (type == String.class) {
            return "text";
        }
        return List.class.isAssignableFrom(type) ? "a list, such as [60, 120, 160]" : "keys and values";
    }

    private static String read(Path file) {
        try {
            return Files.readString(file);
        } catch (NoSuchFileException e) {
            throw UserError.usage(
                    "--config " + file + ": there is no such file; `crescendo plan --preset NAME --yaml` prints one to"
                            + " start from",
                    e);
        } catch (MalformedInputException e) {
            throw UserError.usage("--config " + file + ": is not UTF-8 text", e);
        } catch (IOException e) {
            throw UserError.usage("--config " + file + ": cannot be read (" + e + ")", e);
        }
    }

    private static String stem(Path file) {
        String name = String.valueOf(file.getFileName());
        int dot = name.lastIndexOf('.');
        return dot > 0 ? name.substring(0, dot) : name;
    }
}
