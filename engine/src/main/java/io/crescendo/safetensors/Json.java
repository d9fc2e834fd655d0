package io.crescendo.safetensors;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * As much JSON as headers need: objects, arrays, strings and whole numbers, strictly.
 *
 * <p>Apart from a library because the engine depends on none. Anything else (fractions, true, null) is refused, as is a
 * key that comes twice.
 */
final class Json {
    /** Headers nest three deep; a damaged one must not exhaust the stack. */
    private static final int DEEPEST = 8;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** Reads one object: values are Map, List, String or Long. */
    static Map<String, Object> object(String text) {
        Json json = new Json(text);
        Map<String, Object> object = json.object(0);
        json.space();
        if (json.at < text.length()) {
            throw json.fault("the end");
        }
        return object;
    }

    /** A string with its quotation marks. */
    static String quoted(String value) {
        StringBuilder quoted = new StringBuilder("\"");
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            if (c == '"' || c == '\\') {
                quoted.append('\\').append(c);
            } else if (c == '\n') {
                quoted.append("\\n");
            } else if (c < ' ' || Character.isSurrogate(c)) {
                // Surrogates too, so that a lone one survives UTF-8.
                quoted.append(String.format(Locale.ROOT, "\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }

    private Object value(int depth) {
        space();
        if (depth > DEEPEST) {
            throw fault("something less deeply nested");
        }
        char c = peek();
        if (c == '{') {
            return object(depth);
        }
        if (c == '[') {
            return array(depth);
        }
        return c == '"' ? string() : number();
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> members = new LinkedHashMap<>();
        expect('{');
        for (boolean more = !closes('}'); more; more = continues('}')) {
            space();
            String key = string();
            expect(':');
            if (members.put(key, value(depth + 1)) != null) {
                throw new IllegalArgumentException("the header names '" + key + "' twice");
            }
        }
        return members;
    }

    private List<Object> array(int depth) {
        List<Object> elements = new ArrayList<>();
        expect('[');
        for (boolean more = !closes(']'); more; more = continues(']')) {
            elements.add(value(depth + 1));
        }
        return elements;
    }

    private boolean closes(char bracket) {
        space();
        if (peek() != bracket) {
            return false;
        }
        at++;
        return true;
    }

    private boolean continues(char bracket) {
        if (closes(bracket)) {
            return false;
        }
        expect(',');
        return true;
    }

    private String string() {
        expect('"');
        StringBuilder value = new StringBuilder();
        while (peek() != '"') {
            char c = next();
            if (c < ' ') {
                throw fault("no control character in a string");
            }
            value.append(c == '\\' ? escaped() : c);
        }
        at++;
        return value.toString();
    }

    private char escaped() {
        char c = next();
        return switch (c) {
            case '"', '\\', '/' -> c;
            case 'n' -> '\n';
            case 't' -> '\t';
            case 'r' -> '\r';
            case 'b' -> '\b';
            case 'f' -> '\f';
            case 'u' -> {
                int code = 0;
                for (int i = 0; i < 4; i++) {
                    int digit = Character.digit(next(), 16);
                    if (digit < 0) {
                        throw fault("four hexadecimal digits");
                    }
                    code = 16 * code + digit;
                }
                yield (char) code;
            }
            default -> throw fault("a known escape");
        };
    }

    private long number() {
        int start = at;
        while (at < text.length() && "-0123456789".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        try {
            return Long.parseLong(text.substring(start, at));
        } catch (NumberFormatException e) {
            at = start;
            throw fault("a value");
        }
    }

    private void space() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private void expect(char c) {
        space();
        if (peek() != c) {
            throw fault("'" + c + "'");
        }
        at++;
    }

    private char peek() {
        if (at >= text.length()) {
            throw fault("more");
        }
        return text.charAt(at);
    }

    private char next() {
        char c = peek();
        at++;
        return c;
    }

    private IllegalArgumentException fault(String expected) {
        return new IllegalArgumentException("the header is damaged at character " + at + ": expected " + expected
                + (at < text.length() ? ", found '" + text.charAt(at) + "'" : ", found its end"));
    }
}
