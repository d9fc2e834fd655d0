package io.crescendo.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.autograd.Fusion;
import io.crescendo.autograd.Program;
import io.crescendo.autograd.Value;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class RecomputationTest {
    private static final MemoryRequirements NOMINAL = new MemoryRequirements() {
        @Override
        public long bytes(Value value) {
            return value.bytes();
        }

        @Override
        public long scratchBytes(int opIndex) {
            return 0;
        }

        @Override
        public boolean mayOverwrite(int opIndex, Value input) {
            return true;
        }
    };

    @Test
    void laterWaysCostMoreAndNeedLess() {
        for (RealNetwork network : RealNetwork.all()) {
            for (Set<Fusion> fusions : List.of(EnumSet.allOf(Fusion.class), EnumSet.noneOf(Fusion.class))) {
                Program program = network.program(fusions);
                List<Recomputation> ways = Recomputation.ways(program);
                assertEquals(Recomputation.NONE, ways.get(0));
                long least = WorkspacePlanner.plan(program, NOMINAL).totalBytes();
                double time = 0;
                StringBuilder table = new StringBuilder(network + (fusions.isEmpty() ? " unfused" : " fused") + "\n");
                for (Recomputation way : ways) {
                    WorkspacePlan plan = WorkspacePlanner.plan(way.of(program), NOMINAL);
                    double ratio = (double) plan.totalBytes() / plan.lowerBoundBytes();
                    table.append(String.format(
                            "%-16s %7.1f MiB, %.3f of the bound, %4.1f %% more time%n",
                            way.name(), plan.totalBytes() / 0x1p20, ratio, 100 * way.extraTime()));
                    assertTrue(ratio <= 1.03, table.toString());
                    if (!way.equals(ways.get(0))) {
                        assertTrue(plan.totalBytes() < least, table.toString());
                        assertTrue(way.extraTime() >= time && way.extraTime() < 0.5, table.toString());
                    }
                    least = plan.totalBytes();
                    time = way.extraTime();
                }
                if (Boolean.getBoolean("crescendo.print")) {
                    System.err.println(table);
                }
            }
        }
    }

    @Test
    void aWideResNetNeedsAThirdLessForAFewPercentOfTimeAndHalfForAThird() {
        Program program = RealNetwork.all().get(1).program(EnumSet.allOf(Fusion.class));
        List<Recomputation> ways = Recomputation.ways(program);
        long all = WorkspacePlanner.plan(program, NOMINAL).totalBytes();
        Recomputation cheap = ways.stream()
                .filter(w -> w.extraTime() < 0.06)
                .reduce((a, b) -> b)
                .orElseThrow();
        Recomputation last = ways.get(ways.size() - 1);
        assertTrue(WorkspacePlanner.plan(cheap.of(program), NOMINAL).totalBytes() < 0.75 * all, ways.toString());
        assertTrue(WorkspacePlanner.plan(last.of(program), NOMINAL).totalBytes() < 0.55 * all, ways.toString());
        assertTrue(last.extraTime() < 0.4, ways.toString());
    }
}
