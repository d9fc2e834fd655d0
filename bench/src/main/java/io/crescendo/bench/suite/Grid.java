package io.crescendo.bench.suite;

import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.openjdk.jmh.annotations.Param;

/** The values of a benchmark class's parameters and their combinations. */
public final class Grid {
    private Grid() {}

    /** All values a class lists, by parameter: its own, its superclasses' and those of the states nested in it. */
    public static Map<String, List<String>> values(Class<?> benchmark) {
        List<Class<?>> states = new ArrayList<>();
        for (Class<?> c = benchmark; c != null; c = c.getSuperclass()) {
            states.add(c);
        }
        states.addAll(List.of(benchmark.getDeclaredClasses()));
        Map<String, List<String>> values = new LinkedHashMap<>();
        for (Class<?> state : states) {
            for (Field field : state.getDeclaredFields()) {
                Param param = field.getAnnotation(Param.class);
                if (param != null) {
                    values.putIfAbsent(field.getName(), List.of(param.value()));
                }
            }
        }
        return values;
    }

    /**
     * Every combination.
     *
     * @param listed what the class lists
     * @param part what the part of the suite takes of it
     * @param asked what the user wants instead; networks are only chosen from among the part's
     */
    static List<Map<String, String>> combinations(
            Map<String, List<String>> listed, Map<String, List<String>> part, Map<String, List<String>> asked) {
        List<Map<String, String>> combinations = List.of(Map.of());
        for (Map.Entry<String, List<String>> parameter : listed.entrySet()) {
            String name = parameter.getKey();
            List<String> values = asked.getOrDefault(name, part.getOrDefault(name, parameter.getValue()));
            if (name.equals("network") && part.containsKey(name)) {
                // A part that gives each network batches of its own is not asked to mix them.
                values = values.stream()
                        .filter(part.getOrDefault(name, List.of())::contains)
                        .toList();
            }
            List<Map<String, String>> next = new ArrayList<>();
            for (Map<String, String> combination : combinations) {
                for (String value : values) {
                    Map<String, String> longer = new LinkedHashMap<>(combination);
                    longer.put(name, value);
                    next.add(longer);
                }
            }
            combinations = next;
        }
        return combinations;
    }
}
