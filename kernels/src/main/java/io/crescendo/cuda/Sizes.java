package io.crescendo.cuda;

import io.crescendo.autograd.Home;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import io.crescendo.memory.MemoryRequirements;
import java.util.List;

/** What the plans of a program's operations say to the planner. */
final class Sizes implements MemoryRequirements {
    private final List<OpPlan> plans;
    private final long[] valueBytes;

    Sizes(Program program, List<OpPlan> plans) {
        this.plans = plans;
        this.valueBytes = new long[program.values().size()];
        for (int i = 0; i < plans.size(); i++) {
            for (Value output : program.ops().get(i).outputs()) {
                if (output.home() == Home.ARENA) {
                    int index = i;
                    valueBytes[output.id()] = plans.get(i)
                            .bytes(output)
                            .orElseThrow(() -> new IllegalStateException("the plan of " + program.describe(index)
                                    + " does not say how large " + output + " is"));
                }
            }
        }
    }

    @Override
    public long bytes(Value value) {
        return valueBytes[value.id()];
    }

    @Override
    public long scratchBytes(int opIndex) {
        return plans.get(opIndex).scratchBytes();
    }

    @Override
    public long heldBytes(int opIndex) {
        return plans.get(opIndex).heldBytes();
    }

    @Override
    public boolean mayOverwrite(int opIndex, Value input) {
        return plans.get(opIndex).mayOverwrite(input);
    }
}
