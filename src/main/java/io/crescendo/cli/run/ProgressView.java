package io.crescendo.cli.run;

import io.crescendo.train.TrainingListener;

/** Shows a run while it trains. */
public sealed interface ProgressView extends TrainingListener, AutoCloseable permits BarView, PlainView {
    /**
     * A bar where the output is a terminal, lines elsewhere.
     *
     * @param firstEpoch where the run begins, or goes on
     */
    static ProgressView of(Screen screen, String label, double epochs, double firstEpoch) {
        return screen.terminal()
                ? new BarView(System.out, label, epochs, firstEpoch)
                : new PlainView(screen.out(), label, epochs, firstEpoch);
    }

    @Override
    void close();
}
