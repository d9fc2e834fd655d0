package io.crescendo.memory;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * What fills the workspace at the moment it is fullest.
 *
 * @param totalBytes what the plan takes
 * @param lowerBoundBytes what any plan must take
 * @param samplesAtOnce samples of the micro-batch that lie in it together; shapes speak of the whole micro-batch
 * @param moment the operation at which the most is alive
 * @param largest what is alive then, the largest first; values that share memory are one
 */
public record WorkspaceReport(
        long totalBytes, long lowerBoundBytes, int samplesAtOnce, String moment, List<Entry> largest) {
    public WorkspaceReport {
        largest = List.copyOf(largest);
    }

    /**
     * One stretch of memory.
     *
     * @param name of the value or operation it belongs to
     * @param bytes how large it is
     */
    public record Entry(String name, long bytes) {}

    /** Describes a plan, with at most so many entries. */
    public static WorkspaceReport of(
            Program program, MemoryRequirements requirements, WorkspacePlan plan, int entries) {
        Liveness liveness = Liveness.of(program);
        List<Entry> fullest = List.of();
        long most = -1;
        String moment = "";
        for (int i = 0; i < program.ops().size(); i++) {
            List<Entry> alive = alive(program, liveness, requirements, plan, i);
            long bytes = alive.stream().mapToLong(Entry::bytes).sum();
            if (bytes > most) {
                most = bytes;
                fullest = alive;
                moment = program.describe(i);
            }
        }
        return new WorkspaceReport(
                plan.totalBytes(),
                plan.lowerBoundBytes(),
                requirements.samplesAtOnce(program.microBatch()),
                moment,
                fullest.stream()
                        .sorted(Comparator.comparingLong(Entry::bytes).reversed())
                        .limit(entries)
                        .toList());
    }

    private static List<Entry> alive(
            Program program, Liveness liveness, MemoryRequirements requirements, WorkspacePlan plan, int index) {
        Map<Long, Entry> byOffset = new HashMap<>();
        for (Value value : program.values()) {
            if (liveness.contains(value) && liveness.first(value) <= index && index <= liveness.last(value)) {
                // What is defined last is the name that people look for.
                byOffset.put(plan.offset(value), new Entry(value.toString(), requirements.bytes(value)));
            }
        }
        List<Entry> alive = new ArrayList<>(byOffset.values());
        long scratch = requirements.scratchBytes(index);
        if (scratch > 0) {
            Op op = program.ops().get(index);
            alive.add(new Entry("scratch of " + op.name(), scratch));
        }
        for (int i = 0; i <= index; i++) {
            if (requirements.heldBytes(i) > 0) {
                alive.add(new Entry("held by " + program.ops().get(i).name(), requirements.heldBytes(i)));
            }
        }
        return alive;
    }
}
