package io.crescendo.schedule;

import static io.crescendo.schedule.TrainingPlan.batch;
import static io.crescendo.schedule.TrainingPlan.momentum;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class PlanTableTest {
    private static TrainingPlan cifar() {
        return TrainingPlan.of(Schedule.staircase(0.1, 0.2, 60, 120, 160), batch(128), momentum(0.9))
                .forEpochs(200, 50_000);
    }

    @Test
    void textIsAligned() {
        assertEquals("""
                epochs     batch  learning rate  momentum  noise scale  updates
                0 - 60       128            0.1       0.9       390.63    23400
                60 - 120     640            0.1       0.9       78.125     4680
                120 - 160   3200            0.1       0.9       15.625      600
                160 - 200   5120          0.032       0.9        3.125      360
                total                                                     29040""", cifar().growBatchInstead(5120).table(RaggedEpoch.DROP).text());
    }

    @Test
    void csvHoldsFullPrecision() {
        String csv = TrainingPlan.of(Schedule.staircase(0.5, 0.5, 1), batch(4), momentum(0.5))
                .forEpochs(2.5, 10)
                .table(RaggedEpoch.KEEP)
                .csv();
        assertEquals("""
                firstEpoch,lastEpoch,batch,learningRate,momentum,noiseScale,updates,lastLearningRate,lastNoiseScale
                0.0,1.0,4,0.5,0.5,2.5,3,0.5,2.5
                1.0,2.5,4,0.25,0.5,1.25,5,0.25,1.25
                """, csv);
    }

    @Test
    void aSmoothScheduleHasOneRowPerBatchWithItsFirstAndLastValues() {
        PlanTable table = TrainingPlan.of(Schedule.linear(0.1, 0.02, 8), batch(10), momentum(0))
                .growBatchInstead(40)
                .forEpochs(8, 1000)
                .table();
        assertEquals(4, table.rows().size(), table::text);
        for (PlanRow row : table.rows()) {
            assertTrue(row.lastLearningRate() < row.learningRate(), table::text);
        }
    }

    /** 0.1 at the first of ten updates falls by 0.01 with each; g = ε · 10 samples per epoch / batch 10. */
    @Test
    void whatMovesWithinAPhaseIsToldByItsFirstAndLast() {
        PlanTable table = TrainingPlan.of(Schedule.linear(0.1, 0, 10), batch(10), momentum(0))
                .forEpochs(10, 10)
                .table();
        assertEquals("""
                epochs  batch  learning rate  momentum  noise scale  updates
                0 - 10     10    0.1 .. 0.01         0  0.1 .. 0.01       10
                total                                                     10""", table.text());
        PlanRow row = table.rows().get(0);
        assertEquals(row.lastLearningRate(), row.lastNoiseScale(), 1e-15);
    }

    @Test
    void variantsHaveTheNamesOfTheComparison() {
        for (PlanVariant variant : PlanVariant.values()) {
            assertEquals(variant, PlanVariant.named(variant.label()));
        }
        TrainingPlan cosine = TrainingPlan.of(Schedule.cosine(0.1, 0, 10), batch(10), momentum(0.9))
                .forEpochs(10, 10_000);
        long decaying = PlanVariant.DECAYING.of(cosine, 1000).updates();
        long hybrid = PlanVariant.HYBRID.of(cosine, 1000).updates();
        long increasing = PlanVariant.INCREASING.of(cosine, 1000).updates();
        assertTrue(decaying > hybrid && hybrid > increasing, decaying + " " + hybrid + " " + increasing);
        assertEquals(
                100,
                PlanVariant.HYBRID.of(cosine, 1000).distinctBatches().stream()
                        .mapToLong(size -> size)
                        .max()
                        .orElseThrow());
    }
}
