package io.crescendo.cpu;

import io.crescendo.autograd.Value;
import java.util.List;
import java.util.Map;

/**
 * A program lowered for one size of shard.
 *
 * @param samples samples per run of the section
 * @param ops one plan per operation of the program
 * @param layouts the layout of every tensor in the arena, by value id
 * @param bytes what each arena value takes, by value id
 */
record Section(int samples, List<OpPlan> ops, Map<Integer, Layout> layouts, Map<Integer, Long> bytes) {
    long bytes(Value value) {
        return bytes.getOrDefault(value.id(), 0L);
    }

    Layout layout(Value value) {
        Layout layout = layouts.get(value.id());
        if (layout == null) {
            throw new IllegalArgumentException(value + " is no tensor of this program's arena");
        }
        return layout;
    }
}
