package io.crescendo.safetensors;

import io.crescendo.tensor.DType;
import io.crescendo.tensor.Shape;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * The header of a file: what is in it and where.
 *
 * @param metadata free texts
 * @param tensors by name, in the order of their places
 */
record Header(Map<String, String> metadata, Map<String, Place> tensors) {
    private static final String METADATA = "__metadata__";

    /**
     * A tensor and where it lies.
     *
     * @param entry what it is
     * @param begin first byte, counted from the end of the header
     */
    record Place(TensorEntry entry, long begin) {}

    /** The header of tensors that lie one after another. */
    static Header of(Map<String, String> metadata, List<TensorEntry> entries) {
        Map<String, Place> tensors = new LinkedHashMap<>();
        long end = 0;
        for (TensorEntry entry : entries) {
            if (entry.name().equals(METADATA)) {
                throw new IllegalArgumentException("a tensor cannot be named " + METADATA);
            }
            if (tensors.put(entry.name(), new Place(entry, end)) != null) {
                throw new IllegalArgumentException(
                        "two tensors are named '" + entry.name() + "'; names must be unique in a file");
            }
            end = Math.addExact(end, entry.bytes());
        }
        return new Header(metadata, tensors);
    }

    // ---- Writing

    String toJson() {
        StringBuilder json = new StringBuilder("{");
        if (!metadata.isEmpty()) {
            json.append(Json.quoted(METADATA)).append(":{");
            metadata.forEach((key, value) ->
                    separated(json).append(Json.quoted(key)).append(':').append(Json.quoted(value)));
            json.append('}');
        }
        tensors.forEach((name, place) -> {
            separated(json).append(Json.quoted(name)).append(":{\"dtype\":\"").append(typeName(place.entry.dtype()));
            json.append("\",\"shape\":[");
            for (long extent : place.entry.shape().dims()) {
                separated(json).append(extent);
            }
            json.append("],\"data_offsets\":[").append(place.begin).append(',');
            json.append(place.begin + place.entry.bytes()).append("]}");
        });
        return json.append('}').toString();
    }

    private static StringBuilder separated(StringBuilder json) {
        char last = json.charAt(json.length() - 1);
        return last == '{' || last == '[' ? json : json.append(',');
    }

    // ---- Reading

    /**
     * Reads a header and checks every field.
     *
     * @param dataBytes bytes of the file behind the header
     * @throws IllegalArgumentException saying what is wrong
     */
    static Header parse(String json, long dataBytes) {
        Map<String, String> metadata = new LinkedHashMap<>();
        List<Place> places = new ArrayList<>();
        Json.object(json).forEach((name, value) -> {
            if (!(value instanceof Map<?, ?> fields)) {
                throw new IllegalArgumentException("'" + name + "' must be an object");
            }
            if (name.equals(METADATA)) {
                fields.forEach((key, text) -> {
                    if (!(text instanceof String string)) {
                        throw new IllegalArgumentException("the text '" + key + "' must be a string");
                    }
                    metadata.put(String.valueOf(key), string);
                });
            } else {
                places.add(place(name, fields));
            }
        });
        places.sort(Comparator.comparingLong(Place::begin));
        Map<String, Place> tensors = new LinkedHashMap<>();
        long end = 0;
        for (Place place : places) {
            if (place.begin != end) {
                throw new IllegalArgumentException("tensor '" + place.entry.name() + "' begins at byte " + place.begin
                        + " of the data, but the one before it ends at " + end);
            }
            end = Math.addExact(end, place.entry.bytes());
            tensors.put(place.entry.name(), place);
        }
        if (end != dataBytes) {
            throw new IllegalArgumentException("its tensors need " + end + " bytes, but " + dataBytes
                    + (dataBytes < end ? " are there: it is cut off" : " are there"));
        }
        return new Header(metadata, tensors);
    }

    private static Place place(String name, Map<?, ?> fields) {
        String what = "tensor '" + name + "'";
        if (!(fields.get("dtype") instanceof String type)
                || !(fields.get("shape") instanceof List<?> extents)
                || !(fields.get("data_offsets") instanceof List<?> offsets)
                || fields.size() != 3
                || offsets.size() != 2) {
            throw new IllegalArgumentException(what + " must have dtype, shape and two data_offsets, and nothing else");
        }
        TensorEntry entry;
        try {
            entry = new TensorEntry(
                    name,
                    type(what, type),
                    Shape.of(extents.stream().mapToLong(Header::number).toArray()));
            entry.bytes();
        } catch (ArithmeticException e) {
            throw new IllegalArgumentException(what + " of shape " + extents + " is too large", e);
        }
        long begin = number(offsets.get(0));
        long end = number(offsets.get(1));
        if (begin < 0 || end - begin != entry.bytes()) {
            throw new IllegalArgumentException(what + " of shape " + extents + " needs " + entry.bytes()
                    + " bytes, but lies at " + begin + " to " + end);
        }
        return new Place(entry, begin);
    }

    private static long number(Object value) {
        if (value instanceof Long number) {
            return number;
        }
        throw new IllegalArgumentException("'" + value + "' must be a whole number");
    }

    private static String typeName(DType dtype) {
        return switch (dtype) {
            case FLOAT64 -> "F64";
            case FLOAT32 -> "F32";
            case BFLOAT16 -> "BF16";
            case INT32 -> "I32";
            case UINT8 -> "U8";
        };
    }

    private static DType type(String what, String name) {
        for (DType dtype : DType.values()) {
            if (typeName(dtype).equals(name)) {
                return dtype;
            }
        }
        throw new IllegalArgumentException(
                what + " has the type '" + name.toUpperCase(Locale.ROOT) + "', which this program does not use");
    }
}
