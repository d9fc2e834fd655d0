package io.crescendo.cli.config;

import io.crescendo.cli.UserError;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The experiments that come with the program: YAML files beside the models. */
public final class Presets {
    private static final String FOLDER = "/io/crescendo/models/presets/";

    private Presets() {}

    /** Their names, in the order they are listed to users. */
    public static List<String> names() {
        return text("index.txt").lines().filter(line -> !line.isBlank()).toList();
    }

    /** One preset as YAML text. */
    static String yaml(String name) {
        if (!names().contains(name)) {
            throw UserError.usage("unknown preset '" + name + "'" + Suggestion.didYouMean(name, names())
                    + "\nKnown presets: " + String.join(", ", names())
                    + "\nA file of your own is given with --config FILE.yaml");
        }
        return text(name + ".yaml");
    }

    /** What every configuration starts from. */
    static String defaults() {
        return text("defaults.yaml");
    }

    private static String text(String file) {
        try (@Nullable InputStream input = Presets.class.getResourceAsStream(FOLDER + file)) {
            if (input == null) {
                throw new IllegalStateException(
                        "the program is incomplete: no " + FOLDER + file + " on the class path");
            }
            return new String(input.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
