package io.crescendo.backend;

import java.util.ArrayList;
import java.util.List;

/**
 * A reference backend whose readings are done late, as those of a device that works beside the host; like such a device
 * it skips updates on its own once a loss that was taken is not finite.
 */
public class DelayedBackend extends TamperedBackend {
    private final int delay;
    private final List<Late> readings = new ArrayList<>();
    private boolean skipping;
    private int waits;

    /**
     * Opens it.
     *
     * @param delay readings that must be taken after one before it is done on its own
     */
    public DelayedBackend(int delay) {
        this.delay = delay;
    }

    /** How often a caller had to wait for a reading. */
    public int waits() {
        return waits;
    }

    /** How many readings are on their way now. */
    public long underWay() {
        return readings.stream().filter(r -> !r.done).count();
    }

    private final class Late implements StepMetrics.Reading {
        private final StepMetrics.Sums sums;
        private boolean done;

        private Late(StepMetrics.Sums sums) {
            this.sums = sums;
        }

        @Override
        public boolean isDone() {
            return done;
        }

        @Override
        public StepMetrics.Sums sums() {
            if (!done) {
                waits++;
                finish(readings.indexOf(this));
            }
            return sums;
        }
    }

    private void finish(int last) {
        for (int i = 0; i <= last; i++) {
            readings.get(i).done = true;
        }
    }

    @Override
    void apply(UpdateKernel kernel, UpdateScalars scalars, ModelMemory model) {
        if (!skipping) {
            kernel.apply(scalars);
        }
    }

    @Override
    public StepMetrics metrics() {
        return new StepMetrics() {
            @Override
            public Sums read() {
                return honest.metrics().read();
            }

            @Override
            public void clear() {
                honest.metrics().clear();
                skipping = false;
            }

            @Override
            public Reading take() {
                Sums sums = honest.metrics().take().sums();
                skipping |= !Double.isFinite(sums.loss());
                Late reading = new Late(sums);
                readings.add(reading);
                finish(readings.size() - 1 - delay);
                return reading;
            }
        };
    }
}
